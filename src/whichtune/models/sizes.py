"""What a configuration says of a model's sizes, where families call the same thing by several names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Families of encoders that number positions from pad_token_id + 1, as RoBERTa does.
AFTER_PADDING = (
    "camembert",
    "data2vec-text",
    "esm",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)
LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len")


def max_length_of(config: PretrainedConfig) -> int | None:
    """The longest sequence that the model's positions allow, in tokens; None where there is no limit."""
    named = (getattr(config, name, None) for name in LENGTHS)
    limit = next((int(value) for value in named if value), 0)
    if limit < 1:  # XLNet says -1
        return None
    if config.model_type in AFTER_PADDING:
        return limit - int(config.pad_token_id or 0) - 1
    return limit


def feature_width(config: PretrainedConfig) -> int:
    """Width of the last hidden states, which a head reads: OPT 350M's are projected to that of its embeddings."""
    return int(getattr(config, "word_embed_proj_dim", None) or config.hidden_size)


def rows_of_embeddings(config: PretrainedConfig) -> int | None:
    """How many token ids the model has a vector for; None where its configuration does not say."""
    found = getattr(config, "vocab_size", None)
    return found if isinstance(found, int) else None
