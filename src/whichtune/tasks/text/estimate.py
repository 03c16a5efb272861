"""What a run that writes texts will take, told before it starts: `--dry-run` and `plan`.

Writing is counted as two operations a parameter and token, over prompts and texts of the full length kept for them.
"""

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
from whichtune.tasks.text.forward import PlainTextForward
from whichtune.tasks.text.model import build_language_model, encode_for, meta_language_model
from whichtune.tasks.text.planned import (
    PlannedTextForward,
    frozen_text_blocks,
    make_text_plan,
    texts_of_pairs,
)

if TYPE_CHECKING:
    from whichtune.data.pair_encoding import EncodedPairs
    from whichtune.data.pairs import PairDataset


def estimate_run(spec: RunSpec, dataset: PairDataset, speed: float) -> Estimate:
    """The estimate of one run alone at `speed` operations a second: its pass through frozen blocks, and its steps."""
    path = locate(spec.model, spec.revision, spec.weights)
    config = load_config(path, spec.remote_code)
    encoded = encode_for(spec, dataset, load_tokenizer(path, spec.remote_code), config)
    model = meta_language_model(spec, config)
    trainable, total = count_parameters(model)
    forward = PlainTextForward(model, encoded, torch.device("meta"), "float32")
    lengths = [len(ids) for ids in encoded.splits["train"].tokens]
    batches = training_batches(spec, lengths)
    flops = training_operations(spec, forward, batches) if trainable else 0
    if trainable and (frozen := frozen_text_blocks(spec, model)) is not None:
        lower = flops_of_length(lambda length: lower_sum(*frozen, length), encoded.context_length)
        flops = with_one_pass(flops, spec, lengths, batches, lower)
    heaviest = max(batches, key=lambda rows: len(rows) * max(lengths[row] for row in rows))
    width = max(lengths[row] for row in heaviest)
    activations = (
        saved_bytes(model, lambda: states_sum(model, len(heaviest), width, forward.device)) if trainable else 0
    )
    evaluation = 2 * total * _tokens_evaluated(spec, encoded)
    found = estimate_of(flops, evaluation, speed, trainable, total, activations, examples_in(encoded))
    return in_fewer_bits(found, bytes_saved(config, spec.base_precision, spec.remote_code))


def _tokens_evaluated(spec: RunSpec, encoded: EncodedPairs) -> int:
    """Tokens that pass through the model for losses and written texts, those of the curves included."""
    validation = encoded.splits["validation"]
    seen = spec.epochs * sum(len(ids) for ids in validation.tokens)
    for split in (part for name, part in encoded.splits.items() if name != "train"):
        seen += sum(len(ids) for ids in split.tokens)
        seen += sum(length + encoded.room.writing for length in split.prompt_lengths)
    return seen


def preview_run(spec: RunSpec, dataset: PairDataset) -> Preview:
    """The plan of one run with its predicted operations and cache size. Loads the model, as the run will."""
    device = torch.device(spec.device)
    model, tokenizer = build_language_model(spec)
    encoded = encode_for(spec, dataset, tokenizer, model.backbone.config)
    model.to(device)
    plan, plain = make_text_plan(spec, model), PlainTextForward(model, encoded, device, spec.precision)

    def planned() -> PlannedTextForward:
        return PlannedTextForward(model, encoded, device, spec.precision, plan, {})

    return preview_tokens(spec, model, plan, plain, planned, lambda: texts_of_pairs(encoded), device)
