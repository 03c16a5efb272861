"""A run's tagger with its method attached, and its data as tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.study.spec import RunSpec
from whichtune.tasks.tagging.settings import TaggingSettings

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from whichtune.data.tag_encoding import EncodedSentences
    from whichtune.data.tagged import TaggedDataset
    from whichtune.models.tagger import Tagger


def build_tagger(spec: RunSpec, tags: int) -> tuple[Tagger, PreTrainedTokenizerBase]:
    """The tagger with its method attached, in float32 on the CPU, and its tokenizer."""
    from whichtune.methods import METHODS
    from whichtune.models.loading import inspect_unchanged, load_backbone, load_tokenizer
    from whichtune.models.low_precision import quantise
    from whichtune.models.sizes import feature_width
    from whichtune.models.tagger import Tagger
    from whichtune.training.streams import streams_of

    info = inspect_unchanged(spec)
    streams = streams_of(spec)
    backbone = load_backbone(spec, info.path, streams.seed_weights)
    head = streams.head(feature_width(backbone.config), tags)
    tokenizer = load_tokenizer(info.path, spec.remote_code)
    tagger = Tagger(backbone, head, tokenizer)
    quantise(backbone, spec.base_precision)
    method = METHODS[spec.method]
    method.attach(tagger, method.Settings(**spec.method_settings), spec.seed or 0)
    if spec.gradient_checkpointing:
        backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return tagger, tokenizer


def meta_tagger(spec: RunSpec, config: PretrainedConfig, tags: int) -> Tagger:
    """The tagger with its method attached, shapes only (torch's meta device)."""
    import torch
    from transformers import AutoModel

    from whichtune.methods import METHODS
    from whichtune.models.loading import set_dropout
    from whichtune.models.sizes import feature_width
    from whichtune.models.tagger import Tagger

    if spec.dropout != "model":
        set_dropout(config, float(spec.dropout))
    config.use_cache = False
    with torch.device("meta"):
        backbone = AutoModel.from_config(config, trust_remote_code=spec.remote_code, dtype=torch.float32)
        if getattr(backbone, "pooler", None) is not None:
            backbone.pooler = None
        tagger = Tagger(backbone, torch.nn.Linear(feature_width(config), tags))
    method = METHODS[spec.method]
    method.attach(tagger, method.Settings(**spec.method_settings), spec.seed or 0)
    return tagger.to("meta").train()


def encode_for(
    spec: RunSpec, dataset: TaggedDataset, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
) -> EncodedSentences:
    """The data set as tokens, with the spec's context and padding."""
    from whichtune.data.encoding import refuse_tokens_beyond
    from whichtune.data.tag_encoding import encode_sentences
    from whichtune.models.sizes import max_length_of, rows_of_embeddings

    assert spec.padding is not None  # resolved before a run starts
    found = encode_sentences(
        dataset,
        tokenizer,
        context_length=spec.context_length,
        max_length=max_length_of(config),
        padding=spec.padding,
        long_texts_keep=spec.long_texts_keep,
        token=TaggingSettings(**spec.task_settings).tag_token,
        reserved=reserved_tokens(spec),
    )
    for name, split in found.splits.items():
        refuse_tokens_beyond(rows_of_embeddings(config), split.tokens, f"{name} sentence", split.ids)
    return found


def reserved_tokens(spec: RunSpec) -> int:
    """How many of the model's positions the run's method fills."""
    from whichtune.methods import METHODS

    method = METHODS[spec.method]
    return method.reserved_tokens(method.Settings(**spec.method_settings))
