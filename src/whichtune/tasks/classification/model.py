"""A run's classifier with its method attached, and its data as tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from whichtune.data.encoding import Encoded
    from whichtune.data.field_encoding import FieldEncoder
    from whichtune.data.splits import Dataset
    from whichtune.models.heads import Classifier


def build_classifier(
    spec: RunSpec, classes: int, labels: Sequence[str] = ()
) -> tuple[Classifier, PreTrainedTokenizerBase]:
    """The classifier with its method attached, in float32 on the CPU, and its tokenizer. `labels` are the classes'
    names, which a method that asks in words needs."""
    from whichtune.methods import METHODS
    from whichtune.models.heads import Classifier
    from whichtune.models.loading import inspect_unchanged, load_backbone, load_tokenizer
    from whichtune.models.low_precision import quantise
    from whichtune.models.reading import refuse_unreadable
    from whichtune.models.segments import read_segments
    from whichtune.models.sizes import feature_width
    from whichtune.training.streams import streams_of

    info = inspect_unchanged(spec)
    streams = streams_of(spec)
    if METHODS[spec.method].in_words:
        from whichtune.tasks.classification.prompted import build_prompted

        return build_prompted(spec, info.path, streams.seed_weights, labels)
    head: nn.Module
    if spec.head == "native":
        backbone, head = _with_native_head(spec, info.path, streams.seed_weights, classes)
    else:
        backbone = load_backbone(spec, info.path, streams.seed_weights)
        head = streams.head(feature_width(backbone.config), classes)
    assert spec.token_position is not None  # resolved before a run starts
    tokenizer = load_tokenizer(info.path, spec.remote_code)
    refuse_unreadable(backbone, spec.model, tokenizer.pad_token_id if spec.padding == "dynamic" else None)
    fields = field_encoder(spec, tokenizer, backbone.config)
    if fields is not None and fields.rows is not None:
        read_segments(backbone, fields.rows)
    classifier = Classifier(backbone, head, spec.token_position, tokenizer)
    quantise(backbone, spec.base_precision)
    method = METHODS[spec.method]
    method.attach(classifier, method.Settings(**spec.method_settings), spec.seed or 0)
    streams.draw_adapters(classifier)
    if spec.gradient_checkpointing:
        backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return classifier, tokenizer


def _with_native_head(
    spec: RunSpec, path: Path, seed_weights: Callable[[], None], classes: int
) -> tuple[PreTrainedModel, nn.Module]:
    """The backbone and the head of its family's class. What the model's files do not have of the head is drawn from the
    stream of heads, the same for every method."""
    from whichtune.models.loading import load_backbone
    from whichtune.models.native import native_head
    from whichtune.models.pooler import drop_pooler
    from whichtune.seeding import HEAD, seed_global

    seed_global(spec.seed or 0, HEAD)  # a pooler that the files lack is drawn while they are loaded
    backbone = load_backbone(spec, path, seed_weights, keep_pooler=True)
    pooler = getattr(backbone, "pooler", None)
    drop_pooler(backbone)  # the head's now
    seed_global(spec.seed or 0, HEAD)
    return backbone, native_head(backbone.config, classes, pooler)


def encode_for(
    spec: RunSpec, dataset: Dataset, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
) -> Encoded:
    """The data set as tokens, with the spec's context and padding, and without texts whose label is ignored."""
    from whichtune.data.encoding import encode, refuse_tokens_beyond
    from whichtune.methods import METHODS
    from whichtune.models.sizes import max_length_of, rows_of_embeddings
    from whichtune.tasks.classification.ignored import counted

    assert spec.padding is not None
    if METHODS[spec.method].in_words:
        from whichtune.tasks.classification.prompted import encode_prompted

        return encode_prompted(spec, counted(spec, dataset), tokenizer, config)
    fields = field_encoder(spec, tokenizer, config)
    method = METHODS[spec.method]
    found = encode(
        counted(spec, dataset),
        tokenizer,
        context_length=spec.context_length,
        max_length=max_length_of(config),
        padding=spec.padding,
        attend_to_padding=spec.attend_to_padding,
        long_texts_keep=spec.long_texts_keep,
        reserved=method.reserved_tokens(method.Settings(**spec.method_settings)),
        fields=fields,
    )
    rows = rows_of_embeddings(config) if fields is None or fields.rows is None else 2 * fields.rows
    for name, split in found.splits.items():
        refuse_tokens_beyond(rows, split.tokens, f"{name} text", split.ids)
    return found


def field_encoder(
    spec: RunSpec, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, labels: Sequence[str] = ()
) -> FieldEncoder | None:
    """How the run reads texts of several fields, or puts them into a prompt; None where it reads them as they are.

    By the template where one is set, else as an encoder's tokenizer pairs texts; where it puts nothing between two
    texts, and for decoders, which were not trained on pairs, by the template that names each column.
    """
    from whichtune.data.field_encoding import Frame, Paired, Templated, default_template
    from whichtune.methods import METHODS
    from whichtune.models.loading import kind_of
    from whichtune.models.segments import tells_segments
    from whichtune.models.sizes import rows_of_embeddings

    if METHODS[spec.method].in_words:
        from whichtune.tasks.classification.prompted import prompts_of

        return prompts_of(spec, tokenizer, labels)
    names = spec.data.text_columns
    if len(names) < 2:
        return None
    if spec.fields_template is None and kind_of(config, spec.model) == "encoder":
        frame = Frame.of(tokenizer)
        if frame.between:
            return Paired(tokenizer, frame, rows_of_embeddings(config) if tells_segments(config) else None)
    return Templated(tokenizer, spec.fields_template or default_template(names), names)
