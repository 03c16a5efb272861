"""One run, from its spec to its record. Executed in a process of its own."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from whichtune.errors import DataError, ModelError
from whichtune.records import Cost, Metrics, MetricsBySplit, Role, RunRecord, RunStatus
from whichtune.spec import RunSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from whichtune.data.splits import Dataset
    from whichtune.models.heads import Classifier

# A warm-up that takes more than this share of the steps is worth a warning.
LONG_WARMUP = 0.2

Event = dict[str, Any]
Listener = Callable[[Event], None]


@dataclass
class RunResult:
    """A record with the larger things that are stored beside it."""

    record: RunRecord
    curves: list[dict[str, Any]] = field(default_factory=list)
    predictions: pd.DataFrame | None = None
    save: Callable[[Any], None] | None = None  # writes the trained state into a folder


def run_one(
    spec: RunSpec,
    on_event: Listener = lambda event: None,
    memory_baseline: int = 0,
    cache: dict[str, Any] | None = None,
) -> RunResult:
    """Load, train, evaluate and measure. Errors are raised; the executor turns them into records.

    `memory_baseline` is the anonymous memory in bytes that this process began with. `cache` says where the
    states of lower blocks are kept (the fields of `shortcuts.CacheSettings`).
    """
    from whichtune.data.splits import load_dataset

    started = datetime.now(UTC)
    dataset = load_dataset(spec.data)
    if dataset.fingerprint != spec.fingerprints.get("data", dataset.fingerprint):
        raise DataError(f"The data of {dataset.name} changed after the study began: start the command again.")
    if spec.role is Role.BASELINE:
        result = _run_baseline(spec, dataset, memory_baseline)
    else:
        result = _run_method(spec, dataset, on_event, memory_baseline, cache or {})
    result.record = result.record.model_copy(
        update={
            "labels": dataset.labels,
            "started_at": started.isoformat(timespec="seconds"),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    return result


def base_record(spec: RunSpec, status: RunStatus, **fields: Any) -> RunRecord:
    """A record with everything that follows from the spec alone."""
    shown = spec.model_dump(mode="json", exclude={"fingerprints", "label", "role"})
    return RunRecord(
        run_id=spec.run_id,
        label=spec.label,
        role=spec.role,
        status=status,
        seed=spec.seed,
        method=spec.method,
        spec=shown,
        fingerprints=spec.fingerprints,
        **fields,
    )


def _run_baseline(spec: RunSpec, dataset: Dataset, memory_baseline: int) -> RunResult:
    import torch

    from whichtune.baselines import BASELINES
    from whichtune.cost import MemoryMonitor, Timers, latency_ms
    from whichtune.environment import environment

    device = torch.device("cpu")
    timers = Timers(device)
    train = dataset.splits["train"]
    with timers.phase("load"):
        baseline = BASELINES[spec.method]
    with MemoryMonitor(device, memory_baseline) as memory, timers.phase("train"):
        fitted = baseline.fit(train.texts, train.labels, len(dataset.labels))
    with timers.phase("evaluate"):
        logits = {name: fitted.logits(split.texts) for name, split in dataset.splits.items()}
    metrics, predictions = _figures(logits, dataset.splits, None)
    texts = dataset.splits["test"].texts
    cost = Cost(
        trainable_parameters=fitted.parameters,
        total_parameters=fitted.parameters,
        load_seconds=timers.seconds["load"],
        train_seconds=timers.seconds["train"],
        max_epoch_seconds=timers.seconds["train"],
        evaluate_seconds=timers.seconds["evaluate"],
        peak_memory_bytes=memory.peak,
        inference_ms=latency_ms(lambda i: fitted.logits([texts[i % len(texts)]]), device, 20),
        inference_ms_batch_32=latency_ms(lambda i: fitted.logits((texts * 32)[:32]), device, 5) / 32,
        examples_seen=len(train),
    )
    record = base_record(spec, RunStatus.COMPLETED, metrics=metrics, cost=cost, environment=environment("cpu"))
    return RunResult(record, predictions=predictions, save=fitted.save)


def _figures(
    logits: dict[str, np.ndarray], splits: Any, ignore_index: int | None
) -> tuple[MetricsBySplit, pd.DataFrame]:
    """Metrics and prediction rows of every split that logits are given for."""
    import pandas as pd

    from whichtune.evaluate import measure, prediction_table

    metrics: dict[str, Metrics] = {}
    tables = []
    for name, scores in logits.items():
        part = splits[name]
        metrics[name] = measure(
            scores,
            part.labels,
            duplicate_of_train=part.duplicate_of_train,
            truncated=getattr(part, "truncated", 0),
            ignore_index=ignore_index,
        )
        tables.append(prediction_table(name, part, scores))
    return MetricsBySplit(**metrics), pd.concat(tables, ignore_index=True)


def build_classifier(spec: RunSpec, classes: int) -> tuple[Classifier, Any]:
    """The classifier with its method attached, in float32 on the CPU, and its tokenizer."""
    from whichtune.methods import METHODS
    from whichtune.models.heads import Classifier
    from whichtune.models.loading import inspect_model, load_backbone, load_tokenizer
    from whichtune.random_streams import streams_of

    info = inspect_model(spec.model, spec.revision, spec.weights, spec.remote_code)
    for name, value in info.fingerprints.items():
        if spec.fingerprints.get(name, value) != value:
            raise ModelError(f"The {name} of '{spec.model}' changed after the study began: start the command again.")
    backbone = load_backbone(spec, info.path)
    streams = streams_of(spec)
    head = streams.head(backbone.config.hidden_size, classes)
    assert spec.token_position is not None  # resolved before a run starts
    classifier = Classifier(backbone, head, spec.token_position)
    method = METHODS[spec.method]
    method.attach(classifier, method.Settings(**spec.method_settings), spec.seed or 0)
    streams.draw_adapters(classifier)
    if spec.gradient_checkpointing:
        backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return classifier, load_tokenizer(info.path, spec.remote_code)


def encode_for(spec: RunSpec, dataset: Dataset, tokenizer: Any, config: Any) -> Any:
    """The data set as tokens, with the spec's context and padding."""
    from whichtune.data.encoding import encode
    from whichtune.models.loading import max_length_of

    assert spec.padding is not None
    return encode(
        dataset,
        tokenizer,
        context_length=spec.context_length,
        max_length=max_length_of(config),
        padding=spec.padding,
        attend_to_padding=spec.attend_to_padding,
    )


def _run_method(
    spec: RunSpec, dataset: Dataset, on_event: Listener, memory_baseline: int, cache: dict[str, Any]
) -> RunResult:
    import torch

    from whichtune.cost import MemoryMonitor, Timers, count_parameters
    from whichtune.environment import environment
    from whichtune.evaluate import predict_split
    from whichtune.models.saving import trained_state
    from whichtune.precision import changed_predictions
    from whichtune.shortcuts import CacheSettings, prepare_forward
    from whichtune.train import Trainer

    device = torch.device(spec.device)
    timers = Timers(device)
    on_event({"event": "phase", "phase": "load"})
    with timers.phase("load"):
        classifier, tokenizer = build_classifier(spec, len(dataset.labels))
        encoded = encode_for(spec, dataset, tokenizer, classifier.backbone.config)
        classifier.to(device)
    trainable, total = count_parameters(classifier)
    on_event({"event": "phase", "phase": "train"})
    with MemoryMonitor(device, memory_baseline) as memory:
        prepared = prepare_forward(spec, classifier, encoded, device, timers, CacheSettings(**cache))
        forward = prepared.forward
        training = (
            _solve(classifier, forward, timers)
            if _is_closed_form(spec)
            else Trainer(classifier, forward, spec, timers, on_event).train()
        )
    on_event({"event": "phase", "phase": "evaluate"})
    gc.collect()
    with timers.phase("evaluate"):
        judged = _judged(encoded, training)
        logits = {name: predict_split(classifier, forward, name, rows) for name, rows in judged.items()}
    splits = {name: encoded.splits[name].take(rows) for name, rows in judged.items()}
    metrics, predictions = _figures(logits, splits, spec.ignore_index)
    changed = changed_predictions(classifier, encoded, device, logits, spec.precision)
    state = trained_state(classifier)
    cost = _cost(training, timers.seconds, trainable, total).model_copy(
        update={
            "cache_seconds_alone": prepared.seconds_alone,
            "flops": training.flops + prepared.flops,
            "cache_flops": prepared.flops,
            "cache_flops_alone": prepared.flops_alone,
            "peak_memory_bytes": memory.peak,
            "peak_memory_reserved_bytes": memory.peak_reserved,
            "adapter_bytes": sum(t.numel() * t.element_size() for t in state.values()),
            **_latencies(spec, classifier, forward),
        }
    )
    record = base_record(
        spec,
        RunStatus.COMPLETED,
        metrics=metrics,
        cost=cost,
        shortcuts=prepared.shortcuts,
        context_length=encoded.context_length,
        environment=environment(spec.device),
        notes=_notes(encoded, training) + prepared.notes + changed,
        stopping=training.stopping,
    )
    from safetensors.torch import save_file

    def save(folder: Any) -> None:
        save_file(state, folder / "weights.safetensors")

    return RunResult(record, training.curves, predictions, save)


def _judged(encoded: Any, training: Any) -> dict[str, Any]:
    """The rows of each split on which the trained model is judged: all, but where the reference leaves some out."""
    rows: dict[str, Any] = {name: range(len(part)) for name, part in encoded.splits.items()}
    if training.final_train_rows is not None:
        rows["train"] = training.final_train_rows
    return rows


def _is_closed_form(spec: RunSpec) -> bool:
    from whichtune.methods import METHODS

    return METHODS[spec.method].closed_form


def _solve(classifier: Classifier, forward: Any, timers: Any) -> Any:
    """Features of the training split, then the head in closed form. Time and operations count as training."""
    import torch

    from whichtune.evaluate import EVALUATION_BATCH, bucketed
    from whichtune.train import Training, fit_closed_form

    split = forward.encoded.splits["train"]
    tokens = [len(ids) for ids in split.tokens]
    training = Training(examples=len(split), real_tokens=sum(tokens), epochs=1.0, steps=0)
    head: Any = classifier.head
    classifier.head = torch.nn.Identity()
    classifier.eval()
    features = torch.empty(len(split), head.in_features)
    with timers.phase("train"), torch.no_grad():
        for rows in bucketed(tokens, EVALUATION_BATCH):
            features[rows] = forward.logits("train", rows).cpu()
            training.flops += forward.training_flops(rows)
        classifier.head = head
        fit_closed_form(classifier, features.numpy(), split.labels)
    training.epoch_seconds = [timers.seconds["train"]]
    return training


def _cost(training: Any, seconds: dict[str, float], trainable: int, total: int) -> Cost:
    busy = seconds.get("train") or None
    return Cost(
        trainable_parameters=trainable,
        total_parameters=total,
        load_seconds=seconds.get("load"),
        cache_seconds=seconds.get("cache", 0.0),
        train_seconds=busy,
        evaluate_seconds=seconds.get("evaluate"),
        max_epoch_seconds=max(training.epoch_seconds, default=None),
        curve_seconds=training.curve_seconds,
        real_tokens_per_second=training.real_tokens / busy if busy else None,
        padding_tokens_per_second=training.padding_tokens / busy if busy else None,
        optimiser_steps=training.steps,
        examples_seen=training.examples,
        epochs=training.epochs,
    )


def _latencies(spec: RunSpec, classifier: Classifier, forward: Any) -> dict[str, float]:
    """Milliseconds an example at batch sizes 1 and 32, with and without merged adapters. Done last: merging
    and unmerging moves the weights by rounding."""
    import torch

    from whichtune.cost import latency_ms
    from whichtune.forward import autocast
    from whichtune.methods import METHODS

    encoded, device = forward.encoded, forward.device
    n = len(encoded.splits["test"])
    padding = "right" if encoded.padding == "right" else "dynamic"

    def classify(rows: list[int]) -> None:
        with torch.no_grad(), autocast(spec.precision, device):
            classifier(encoded.batch("test", rows, padding).to(device))

    def both(suffix: str) -> dict[str, float]:
        many = [[(start * 32 + i) % n for i in range(32)] for start in range(3)]
        return {
            f"inference_ms{suffix}": latency_ms(lambda i: classify([i % n]), device, 20),
            f"inference_ms_batch_32{suffix}": latency_ms(lambda i: classify(many[i]), device, 3) / 32,
        }

    classifier.eval()
    figures = both("")
    with METHODS[spec.method].merged(classifier) as merged:
        if merged:
            figures |= both("_merged")
    return figures


def _notes(encoded: Any, training: Any) -> list[str]:
    notes = []
    cut = {name: part.truncated for name, part in encoded.splits.items() if part.truncated}
    if cut:
        counts = ", ".join(f"{count} in {name}" for name, count in cut.items())
        notes.append(f"Texts cut to {encoded.context_length} tokens: {counts}.")
    if training.warmup_steps > LONG_WARMUP * training.planned_steps:
        steps, total = min(training.warmup_steps, training.planned_steps), training.planned_steps
        notes.append(
            f"Warm-up takes {steps:,} of {total:,} steps ({100 * steps / total:.0f} %): the learning rate is below its "
            "set value for that long. Set a smaller warmup_steps, or warmup_ratio."
        )
    return notes
