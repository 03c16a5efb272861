"""What a configuration says of a model's sizes, where families call the same thing by several names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.errors import ModelError

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


def text_part(config: PretrainedConfig) -> PretrainedConfig:
    """The part of a configuration that is of text, where a model reads pictures or sound too; else all of it."""
    part: PretrainedConfig = config.get_text_config()
    return part


def told(config: PretrainedConfig, *names: str) -> int | None:
    """The first of these sizes that a configuration tells; None where it tells none, or one for each layer."""
    for name in names:
        if not differs_by_layer(config, name) and (found := getattr(config, name, None)):
            return int(found)
    return None


def differs_by_layer(config: PretrainedConfig, name: str) -> bool:
    """Whether a configuration has this size for each layer."""
    try:
        getattr(config, name, None)
    except RuntimeError:  # transformers' own of such a size
        return True
    return False


def max_length_of(config: PretrainedConfig) -> int | None:
    """The longest sequence that the model's positions allow, in tokens; None where there is no limit."""
    config = text_part(config)
    named = (getattr(config, name, None) for name in LENGTHS)
    limit = next((int(value) for value in named if value), 0)
    if limit < 1:  # XLNet says -1
        return None
    if config.model_type in AFTER_PADDING:
        return limit - int(config.pad_token_id or 0) - 1
    return limit


def feature_width(config: PretrainedConfig) -> int:
    """Width of the last hidden states, which a head reads: OPT 350M's are projected to that of its embeddings.

    Raises ModelError for a family whose configuration does not tell it."""
    return int(getattr(text_part(config), "word_embed_proj_dim", None) or hidden_width(config))


def hidden_width(config: PretrainedConfig) -> int:
    """Width of the states between blocks. Raises ModelError for a family whose configuration does not tell it."""
    found = getattr(text_part(config), "hidden_size", None)
    if not isinstance(found, int):
        raise ModelError(
            f"The configuration of {config.model_type} does not say how wide its hidden states are: choose a model "
            "of another family."
        )
    return found


def rows_of_embeddings(config: PretrainedConfig) -> int | None:
    """How many token ids the model has a vector for; None where its configuration does not say."""
    found = getattr(text_part(config), "vocab_size", None)
    return found if isinstance(found, int) else None
