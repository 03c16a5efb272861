"""What a classifier's run will take, told before it starts: `--dry-run` and `plan`.

The model is built without storage (torch's meta device), so even a large one is judged in seconds. Operations
and saved activations are counted on short texts and extended exactly to the study's own lengths.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from whichtune.data.batch import Batch
from whichtune.measure.cost import count_parameters
from whichtune.measure.flops import flops_of_length
from whichtune.methods import METHODS
from whichtune.models.heads import Classifier
from whichtune.models.loading import load_config, load_tokenizer, locate, set_dropout
from whichtune.models.low_precision import bytes_saved
from whichtune.models.native import native_head
from whichtune.models.partition import lower_sum, without_values
from whichtune.models.pooler import drop_pooler
from whichtune.models.sizes import feature_width
from whichtune.shortcuts.boundary import Decision, frozen_below, make_plan, texts_of
from whichtune.shortcuts.planned import PlanFailedError, PlannedForward
from whichtune.shortcuts.prepared import CacheSettings, lower_pass
from whichtune.shortcuts.texts import Want
from whichtune.shortcuts.vocabulary import vocabulary_decision
from whichtune.study.spec import RunSpec
from whichtune.tasks.classification.contrastive import PairForward, pairs_of
from whichtune.tasks.classification.model import build_classifier, encode_for
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
from whichtune.training.batching import first_epoch
from whichtune.training.forward import PlainForward
from whichtune.training.trainer import steps_in_total

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from whichtune.data.encoding import Encoded
    from whichtune.data.splits import Dataset
    from whichtune.shortcuts.boundary import Plan
    from whichtune.shortcuts.features import Route
    from whichtune.training.forward import Forward


def estimate_run(spec: RunSpec, dataset: Dataset, speed: float) -> Estimate:
    """The estimate of one run alone at `speed` operations a second: its pass through frozen blocks, and its steps."""
    if METHODS[spec.method].in_words:
        from whichtune.tasks.classification.prompted import estimate_prompted

        return estimate_prompted(spec, dataset, speed)
    path = locate(spec.model, spec.revision, spec.weights)
    config = load_config(path, spec.remote_code)
    encoded = encode_for(spec, dataset, load_tokenizer(path, spec.remote_code), config)
    classifier = meta_classifier(spec, config, dataset.outputs)
    trainable, total = count_parameters(classifier)
    train = flops_of_length(lambda length: meta_loss(classifier, length), encoded.context_length)
    with torch.no_grad():
        infer = flops_of_length(lambda length: meta_loss(classifier, length).detach(), encoded.context_length)
        reading = sum(infer(len(ids)) for part in encoded.splits.values() for ids in part.tokens)
    lengths = [len(ids) for ids in encoded.splits["train"].tokens]
    batches = first_epoch(spec, lengths)
    widths = [_width(encoded, lengths, rows) for rows in batches]
    evaluations = 1 + (spec.epochs * len(encoded.splits["validation"]) / examples_in(encoded))
    shared = 0.0
    if METHODS[spec.method].in_pairs:
        pairs = pairs_of(spec, encoded)
        steps = steps_in_total(len(pairs), spec)
        epoch = sum(train(lengths[a]) + train(lengths[b]) for a, b, _ in pairs)
        flops = epoch * steps * spec.accumulation_steps * spec.batch_size // len(pairs) + sum(map(infer, lengths))
        batches, widths = [list(range(min(2 * spec.batch_size, len(lengths))))], [max(lengths)]
    elif METHODS[spec.method].closed_form:
        flops, steps = sum(infer(length) for length in lengths), 0
        shared = flops + reading * evaluations
    else:
        epoch = sum(len(rows) * train(width) for rows, width in zip(batches, widths, strict=True))
        steps = steps_in_total(len(lengths), spec)
        flops = epoch * steps * spec.accumulation_steps // max(1, len(batches))
        if (frozen := frozen_below(spec, classifier)) is not None:
            lower = flops_of_length(lambda length: lower_sum(*frozen, length), encoded.context_length)
            padded = [encoded.context_length] * len(lengths) if encoded.padding == "right" else lengths
            flops = with_one_pass(flops, spec, padded, batches, lower)
            everything = sum(lower(len(ids)) for part in encoded.splits.values() for ids in part.tokens)
            shared = sum(map(lower, padded)) + everything * evaluations
    heaviest, width = max(zip(batches, widths, strict=True), key=lambda pair: len(pair[0]) * pair[1])
    activations = saved_bytes(classifier, lambda: meta_loss(classifier, width, len(heaviest)))
    found = estimate_of(
        flops,
        reading * evaluations,
        speed,
        trainable,
        total,
        activations,
        examples_in(encoded),
        by_steps=steps > 0,
        shared_flops=shared,
    )
    return in_fewer_bits(found, bytes_saved(config, spec.base_precision, spec.remote_code))


def _width(encoded: Encoded, lengths: list[int], rows: list[int]) -> int:
    return encoded.context_length if encoded.padding == "right" else max(lengths[row] for row in rows)


def meta_classifier(spec: RunSpec, config: PretrainedConfig, classes: int) -> Classifier:
    """The classifier with its method attached, shapes only."""
    from transformers import AutoModel

    if spec.dropout != "model":
        set_dropout(config, float(spec.dropout))
    config.use_cache = False
    with torch.device("meta"):
        backbone = AutoModel.from_config(config, trust_remote_code=spec.remote_code, dtype=torch.float32)
        pooler = getattr(backbone, "pooler", None)
        drop_pooler(backbone)
        head: torch.nn.Module = torch.nn.Linear(feature_width(config), classes)
        if spec.head == "native":
            head = native_head(config, classes, pooler)
    classifier = Classifier(backbone, head, spec.token_position or "last")
    method = METHODS[spec.method]
    method.attach(classifier, method.Settings(**spec.method_settings), spec.seed or 0)
    return classifier.to("meta").train()


def meta_loss(classifier: Classifier, length: int, batch: int = 1) -> torch.Tensor:
    """The loss of `batch` made-up texts of `length` tokens, without values."""
    ids = torch.zeros(batch, length, dtype=torch.long, device="meta")
    labels = torch.zeros(batch, dtype=torch.long, device="meta")
    lengths = torch.full((batch,), length, device="meta")

    def loss(mask: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(classifier(Batch(ids, lengths, mask)), labels)

    return without_values(classifier.backbone, batch, length, loss)


# -- the plan --------------------------------------------------------------------------------------


def preview_run(spec: RunSpec, dataset: Dataset) -> Preview:
    """The plan of one run with its predicted operations and cache size. Loads the model, as the run will."""
    if METHODS[spec.method].in_words:
        off = Decision("plan", "off", "the model is asked in words, and nothing is trained")
        return Preview(spec.label, [off], 0, 0, 0, 0)
    classifier, tokenizer = build_classifier(spec, dataset.outputs, dataset.labels)
    encoded = encode_for(spec, dataset, tokenizer, classifier.backbone.config)
    device = torch.device(spec.device)
    classifier.to(device)
    return describe_plan(spec, make_plan(spec, classifier, encoded), classifier, encoded, device)


def stepping(spec: RunSpec, classifier: Classifier, forward: Forward) -> Forward | PairForward:
    """The pass that the run's steps make: over texts, or over pairs of them."""
    if not METHODS[spec.method].in_pairs:
        return forward
    return PairForward(classifier, forward, pairs_of(spec, forward.encoded))


def describe_plan(spec: RunSpec, plan: Plan, classifier: Classifier, encoded: Encoded, device: torch.device) -> Preview:
    """Predicted operations and cache size of a plan; nothing of the data is computed but a few texts' check."""
    plain = PlainForward(classifier, encoded, device, spec.precision)
    over = stepping(spec, classifier, plain)
    batches = training_batches(spec, [len(ids) for ids in over.encoded.splits["train"].tokens])
    flops_plain = training_operations(spec, over, batches)
    partition = plan.partition
    if plan.is_off or partition is None:
        return Preview(spec.label, plan.decisions, 0, flops_plain, flops_plain, flops_plain)
    texts = {name: texts_of(plan, encoded, name) for name in encoded.splits}

    def planned(route: Route, features_cached: bool) -> PlannedForward:
        return PlannedForward(
            classifier, encoded, device, spec.precision, partition, texts, plan.position, route, {}, features_cached
        )

    whole = planned(replace(plan.route, boundary=0), False)
    try:
        whole.settle()
    except PlanFailedError:
        return Preview(spec.label, plan.decisions, 0, flops_plain, flops_plain, flops_plain)
    route = replace(whole.route, boundary=plan.route.boundary)
    steps = planned(route, plan.cached == "features")
    over = stepping(spec, classifier, steps)
    shared = training_operations(spec, over, batches)
    lower_flops = cache_bytes = 0
    if plan.cached != "nothing":
        want = Want(plan.boundary, plan.position if plan.cached == "features" else None)
        lower = lower_pass(spec, plan, classifier, device, CacheSettings())
        lower_flops = lower.operations([want], texts["train"])
        for part in texts.values():
            cache_bytes += lower.stored_bytes(want, part)
    method = METHODS[spec.method]
    course = method.course(classifier, method.Settings(**spec.method_settings))
    vocabulary = vocabulary_decision(spec, classifier, steps, course)
    decisions = [*plan.decisions, *whole.as_decisions(), *vocabulary]
    return Preview(spec.label, decisions, cache_bytes, flops_plain, shared + lower_flops, shared)
