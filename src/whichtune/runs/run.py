"""One run, from its spec to its record. Executed in a process of its own."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from whichtune.errors import DataError
from whichtune.records.record import Cost, Role, RunRecord, RunStatus
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

if TYPE_CHECKING:
    import pandas as pd

    from whichtune.tasks.base import AnyDataset

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
    started = datetime.now(UTC)
    dataset = task_of(spec).load(spec.data)
    if dataset.fingerprint != spec.fingerprints.get("data", dataset.fingerprint):
        raise DataError(f"The data of {dataset.name} changed after the study began: start the command again.")
    if spec.role is Role.DRAW:
        dataset = dataset.without_test()
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


def _run_baseline(spec: RunSpec, dataset: AnyDataset, memory_baseline: int) -> RunResult:
    import torch

    from whichtune.measure.cost import MemoryMonitor, Timers, latency_ms
    from whichtune.measure.environment import environment

    device = torch.device("cpu")
    timers = Timers(device)
    with timers.phase("load"):
        task = task_of(spec)
    with MemoryMonitor(device, memory_baseline) as memory, timers.phase("train"):
        fitted = task.fit_baseline(spec, dataset)
    with timers.phase("evaluate"):
        judged = fitted.evaluate()
    cost = Cost(
        trainable_parameters=fitted.parameters,
        total_parameters=fitted.parameters,
        load_seconds=timers.seconds["load"],
        train_seconds=timers.seconds["train"],
        max_epoch_seconds=timers.seconds["train"],
        evaluate_seconds=timers.seconds["evaluate"],
        peak_memory_bytes=memory.peak,
        inference_ms=latency_ms(lambda i: fitted.answer([i]), device, 20),
        inference_ms_batch_32=latency_ms(lambda i: fitted.answer(list(range(32))), device, 5) / 32,
        examples_seen=len(dataset.splits["train"]),
    )
    record = base_record(spec, RunStatus.COMPLETED, metrics=judged.metrics, cost=cost, environment=environment("cpu"))
    return RunResult(record, predictions=judged.predictions, save=fitted.save)


def _run_method(
    spec: RunSpec, dataset: AnyDataset, on_event: Listener, memory_baseline: int, cache: dict[str, Any]
) -> RunResult:
    import torch

    from whichtune.measure.cost import MemoryMonitor, Timers, count_parameters
    from whichtune.measure.environment import environment
    from whichtune.models.saving import trained_state
    from whichtune.shortcuts.prepared import CacheSettings
    from whichtune.training.streams import streams_of
    from whichtune.training.trainer import Trainer, Training

    task, device = task_of(spec), torch.device(spec.device)
    timers = Timers(device)
    on_event({"event": "phase", "phase": "load"})
    with timers.phase("load"):
        classifier, tokenizer = task.build(spec, dataset)
        encoded = task.encode(spec, dataset, tokenizer, classifier.backbone.config)
        classifier.to(device)
    trainable, total = count_parameters(classifier)
    on_event({"event": "phase", "phase": "train"})
    with MemoryMonitor(device, memory_baseline) as memory:
        prepared = task.prepare(spec, classifier, encoded, device, timers, CacheSettings(**cache))
        forward = prepared.forward
        if _is_closed_form(spec):
            training = task.solve(classifier, forward, timers)
        elif trainable:
            streams = streams_of(spec)
            objective = task.objective(spec, classifier, forward)
            watcher = task.watcher(spec, classifier, forward, streams)
            training = Trainer(classifier, forward, spec, timers, objective, on_event, streams, watcher).train()
        else:
            training = Training()  # the model as it is
    on_event({"event": "phase", "phase": "evaluate"})
    gc.collect()
    judged = task.evaluate(spec, classifier, forward, training, tokenizer, timers)
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
            **({} if spec.role is Role.DRAW else task.latencies(spec, classifier, forward)),  # timed on test texts
        }
    )
    record = base_record(
        spec,
        RunStatus.COMPLETED,
        metrics=judged.metrics,
        cost=cost,
        shortcuts=prepared.shortcuts,
        context_length=encoded.context_length,
        room=task.room(encoded),
        environment=environment(spec.device),
        notes=task.notes(encoded) + _notes(spec, encoded, training, prepared.shortcuts) + prepared.notes + judged.notes,
        stopping=training.stopping,
    )
    from safetensors.torch import save_file

    def save(folder: Any) -> None:
        save_file(state, folder / "weights.safetensors")

    return RunResult(record, training.curves, judged.predictions, save)


def _is_closed_form(spec: RunSpec) -> bool:
    from whichtune.methods import METHODS

    return METHODS[spec.method].closed_form


def _cost(training: Any, seconds: dict[str, float], trainable: int, total: int) -> Cost:
    busy = seconds.get("train") or None
    return Cost(
        trainable_parameters=trainable,
        total_parameters=total,
        load_seconds=seconds.get("load"),
        cache_seconds=seconds.get("cache", 0.0),
        train_seconds=seconds.get("train", 0.0),
        evaluate_seconds=seconds.get("evaluate"),
        max_epoch_seconds=max(training.epoch_seconds, default=None),
        curve_seconds=training.curve_seconds,
        real_tokens_per_second=training.real_tokens / busy if busy else None,
        padding_tokens_per_second=training.padding_tokens / busy if busy else None,
        optimiser_steps=training.steps,
        examples_seen=training.examples,
        epochs=training.epochs,
    )


def _notes(spec: RunSpec, encoded: Any, training: Any, shortcuts: dict[str, Any]) -> list[str]:
    """How long the warm-up was, where it was long, and what batches of similar length have saved."""
    from whichtune.training.batching import bucketing_note

    notes = []
    if training.warmup_steps > LONG_WARMUP * training.planned_steps:
        steps, total = min(training.warmup_steps, training.planned_steps), training.planned_steps
        notes.append(
            f"Warm-up takes {steps:,} of {total:,} steps ({100 * steps / total:.0f} %): the learning rate is below its "
            "set value for that long. Set a smaller warmup_steps, or warmup_ratio."
        )
    if spec.batching == "bucketed" and training.steps:
        lengths = [len(ids) for ids in encoded.splits["train"].tokens]
        notes.append(bucketing_note(spec, lengths, _why_no_padding(spec, shortcuts.get("used", {}))))
    return notes


def _why_no_padding(spec: RunSpec, used: dict[str, Any]) -> str | None:
    """Why batches of similar length save this run nothing; None where they do."""
    if spec.padding == "right" and used.get("texts") != "unpadded":
        return "all texts are padded to one width"
    if spec.padding == "none":
        return "each text is computed alone"
    if used.get("cached") == "features":
        return "the head reads cached features"
    if used.get("texts") == "first token":
        return "the first token alone is computed"
    return None if used.get("packing", "none") == "none" else "the plan packs texts without padding"
