"""What a tagger's run will take, told before it starts: `--dry-run` and `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from whichtune.measure.cost import count_parameters
from whichtune.measure.flops import flops_of_length
from whichtune.models.loading import load_config, load_tokenizer, locate
from whichtune.models.low_precision import bytes_saved
from whichtune.models.partition import lower_sum
from whichtune.study.spec import RunSpec
from whichtune.tasks.by_tokens import preview_tokens, states_sum
from whichtune.tasks.estimates import (
    Estimate,
    Preview,
    estimate_of,
    examples_in,
    in_fewer_bits,
    saved_bytes,
    training_batches,
    training_operations,
    with_one_pass,
)
from whichtune.tasks.tagging.forward import PlainTagForward
from whichtune.tasks.tagging.model import build_tagger, encode_for, meta_tagger
from whichtune.tasks.tagging.planned import (
    PlannedTagForward,
    frozen_tag_blocks,
    make_tag_plan,
    texts_of_tags,
)

if TYPE_CHECKING:
    from whichtune.data.tagged import TaggedDataset


def estimate_run(spec: RunSpec, dataset: TaggedDataset, speed: float) -> Estimate:
    """The estimate of one run alone at `speed` operations a second: its pass through frozen blocks, and its steps."""
    path = locate(spec.model, spec.revision, spec.weights)
    config = load_config(path, spec.remote_code)
    encoded = encode_for(spec, dataset, load_tokenizer(path, spec.remote_code), config)
    model = meta_tagger(spec, config, dataset.outputs)
    trainable, total = count_parameters(model)
    device = torch.device("meta")
    lengths = [len(ids) for ids in encoded.splits["train"].tokens]
    batches = training_batches(spec, lengths)
    flops = training_operations(spec, PlainTagForward(model, encoded, device, "float32"), batches)
    with torch.no_grad():
        infer = flops_of_length(lambda length: states_sum(model, 1, length, device), encoded.context_length)
        reading = sum(infer(len(ids)) for part in encoded.splits.values() for ids in part.tokens)
    evaluations = 1 + spec.epochs * len(encoded.splits["validation"]) / examples_in(encoded)
    shared = 0.0
    if (frozen := frozen_tag_blocks(spec, model)) is not None:
        lower = flops_of_length(lambda length: lower_sum(*frozen, length), encoded.context_length)
        flops = with_one_pass(flops, spec, lengths, batches, lower)
        everything = sum(lower(len(ids)) for part in encoded.splits.values() for ids in part.tokens)
        shared = sum(map(lower, lengths)) + everything * evaluations
    heaviest = max(batches, key=lambda rows: len(rows) * max(lengths[row] for row in rows))
    width = max(lengths[row] for row in heaviest)
    activations = saved_bytes(model, lambda: states_sum(model, len(heaviest), width, device))
    found = estimate_of(
        flops,
        reading * evaluations,
        speed,
        trainable,
        total,
        activations,
        examples_in(encoded),
        shared_flops=shared,
    )
    return in_fewer_bits(found, bytes_saved(config, spec.base_precision, spec.remote_code))


def preview_run(spec: RunSpec, dataset: TaggedDataset) -> Preview:
    """The plan of one run with its predicted operations and cache size. Loads the model, as the run will."""
    device = torch.device(spec.device)
    model, tokenizer = build_tagger(spec, dataset.outputs)
    encoded = encode_for(spec, dataset, tokenizer, model.backbone.config)
    model.to(device)
    plan, plain = make_tag_plan(spec, model), PlainTagForward(model, encoded, device, spec.precision)

    def planned() -> PlannedTagForward:
        return PlannedTagForward(model, encoded, device, spec.precision, plan, {})

    return preview_tokens(spec, model, plan, plain, planned, lambda: texts_of_tags(plan, encoded), device)
