"""One run, from its spec to its record. Executed in a process of its own."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypedDict, Unpack

from pydantic import JsonValue

from whichtune.errors import DataError
from whichtune.records.events import Listener
from whichtune.records.record import Cost, CurvePoint, Environment, MetricsBySplit, RunRecord, RunStatus, Stopping
from whichtune.records.verify import ASIDE
from whichtune.runs.costs import training_cost
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from transformers import PretrainedConfig

    from whichtune.models.course import Course
    from whichtune.tasks.base import AnyDataset, DatasetT, EncodedT, FittedBaseline, ForwardT, ModelT, Task
    from whichtune.training.aside import State
    from whichtune.training.objective import EncodedData
    from whichtune.training.trainer import Training

# A warm-up that takes more than this share of the steps is worth a warning.
LONG_WARMUP = 0.2


Sibling = tuple[str, dict[str, JsonValue]]  # a method and its settings


class CacheFields(TypedDict, total=False):
    """Where the states of frozen blocks are kept, and for whom else: the fields of `shortcuts.CacheSettings`."""

    folder: Path | str | None
    limit: int | None
    siblings: Sequence[Sibling]
    shared: str


class RecordFields(TypedDict, total=False):
    """What a record has beside what follows from its spec."""

    metrics: MetricsBySplit
    cost: Cost
    stopping: Stopping | None
    error: str | None
    error_kind: str | None
    notes: list[str]
    shortcuts: dict[str, JsonValue]
    environment: Environment
    context_length: int
    room: dict[str, int | None] | None


@dataclass
class RunResult:
    """A record with the larger things that are stored beside it."""

    record: RunRecord
    curves: list[CurvePoint] = field(default_factory=list)
    predictions: pd.DataFrame | None = None
    save: Callable[[Path], None] | None = None  # writes the trained state into a folder


def run_one(
    spec: RunSpec,
    on_event: Listener = lambda event: None,
    memory_baseline: int = 0,
    cache: CacheFields | None = None,
    runs_at_once: Callable[[], int] = lambda: 1,
    aside: Path | None = None,
) -> RunResult:
    """Load, train, evaluate and measure. Errors are raised; the executor turns them into records.

    `memory_baseline` is the anonymous memory in bytes that this process began with; `runs_at_once` tells how many runs
    have shared the machine so far. `aside` is the file of the state that a trial goes on from; without it one that was
    put aside begins anew, and comes to the same.
    """
    started = datetime.now(UTC)
    task = task_of(spec)
    dataset: AnyDataset = task.load(spec.data)
    if dataset.fingerprint != spec.fingerprints.get("data", dataset.fingerprint):
        raise DataError(f"The data of {dataset.name} changed after the study began: start the command again.")
    if spec.role is Role.DRAW:
        dataset = dataset.without_test()
    if spec.role is Role.BASELINE:
        result = _run_baseline(task, spec, dataset, memory_baseline)
    else:
        result = _run_method(task, spec, dataset, on_event, memory_baseline, cache or {}, runs_at_once, aside)
    result.record = result.record.model_copy(
        update={
            "labels": dataset.labels,
            "started_at": started.isoformat(timespec="seconds"),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    if spec.role is not Role.DRAW and result.save is not None:
        result.save = _proven(spec, dataset, result, result.save)
    return result


def _proven(
    spec: RunSpec, dataset: AnyDataset, result: RunResult, save: Callable[[Path], None]
) -> Callable[[Path], None]:
    """`save` that has what it wrote answer a few test texts as the run did. Raises StoreError where it does not."""
    from whichtune.runs.proof import known_answers, proven

    test = dataset.splits["test"]
    known = known_answers(result.predictions, dict(zip(test.ids, test.texts, strict=True)))

    def save_proven(folder: Path) -> None:
        save(folder)
        if known is not None:
            proven(spec, result.record, folder, known)

    return save_proven


def told_spec(spec: RunSpec) -> dict[str, JsonValue]:
    """The spec as a record tells it; of the parts of a trial where the run is one."""
    of_trials = {name for name in ("part", "goes_on_from") if getattr(spec, name) is None}
    return spec.model_dump(mode="json", exclude={"fingerprints", "label", "role", *of_trials})


def base_record(spec: RunSpec, status: RunStatus, **fields: Unpack[RecordFields]) -> RunRecord:
    """A record with everything that follows from the spec alone."""
    return RunRecord(
        run_id=spec.run_id,
        label=spec.label,
        role=spec.role,
        status=status,
        seed=spec.seed,
        method=spec.method,
        spec=told_spec(spec),
        fingerprints=spec.fingerprints,
        **fields,
    )


def _run_baseline(
    task: Task[DatasetT, ModelT, EncodedT, ForwardT], spec: RunSpec, dataset: DatasetT, memory_baseline: int
) -> RunResult:
    import torch

    from whichtune.measure.cost import MemoryMonitor, Timers, latency_ms
    from whichtune.measure.energy import EnergyMeter
    from whichtune.measure.environment import environment

    device = torch.device("cpu")
    timers, energy = Timers(device), EnergyMeter(device)
    with MemoryMonitor(device, memory_baseline) as memory, timers.phase("train"):
        fitted = task.fit_baseline(spec, dataset)
    joules = energy.joules
    with timers.phase("evaluate"):
        judged = fitted.evaluate()
    with timers.phase("latency"):
        one = latency_ms(lambda i: fitted.answer([i]), device, 20)
        batch = latency_ms(lambda i: fitted.answer(list(range(32))), device, 8).of_each(32)
    cost = Cost(
        trainable_parameters=fitted.parameters,
        total_parameters=fitted.parameters,
        load_seconds=0.0,
        train_seconds=timers.seconds["train"],
        training_joules=joules,
        max_epoch_seconds=timers.seconds["train"],
        evaluate_seconds=timers.seconds["evaluate"],
        peak_memory_bytes=memory.peak,
        adapter_bytes=_saved_bytes(fitted),
        latency_seconds=timers.seconds["latency"],
        **one.costs("inference_ms"),
        **batch.costs("inference_ms_batch_32"),
        examples_seen=len(dataset.splits["train"]),
    )
    record = base_record(
        spec,
        RunStatus.COMPLETED,
        metrics=judged.metrics,
        cost=cost,
        environment=environment("cpu"),
        notes=judged.notes,
    )
    return RunResult(record, predictions=judged.predictions, save=fitted.save)


def _saved_bytes(fitted: FittedBaseline) -> int:
    """Bytes of the files that a baseline is kept in."""
    with TemporaryDirectory() as name:
        fitted.save(Path(name))
        return sum(file.stat().st_size for file in Path(name).iterdir())


def _run_method(
    task: Task[DatasetT, ModelT, EncodedT, ForwardT],
    spec: RunSpec,
    dataset: DatasetT,
    on_event: Listener,
    memory_baseline: int,
    cache: CacheFields,
    runs_at_once: Callable[[], int],
    aside: Path | None,
) -> RunResult:
    import torch
    from safetensors.torch import save_file

    from whichtune.measure.cost import MemoryMonitor, Timers, count_parameters
    from whichtune.measure.energy import EnergyMeter
    from whichtune.measure.environment import environment
    from whichtune.methods import METHODS
    from whichtune.models.adaptable import Adaptable
    from whichtune.models.retention import retention
    from whichtune.models.saving import trained_state
    from whichtune.shortcuts.frozen_blocks import Conditions
    from whichtune.shortcuts.prepared import CacheSettings
    from whichtune.training.aside import read_state, write_state
    from whichtune.training.finite import told_with_step
    from whichtune.training.streams import streams_of
    from whichtune.training.trainer import Trainer, Training

    device = torch.device(spec.device)
    timers = Timers(device)
    on_event({"event": "phase", "phase": "load"})
    with timers.phase("load"):
        model, tokenizer = task.build(spec, dataset)
        encoded = task.encode(spec, dataset, tokenizer, _config_of(model))
        model.to(device)
    trainable, total = count_parameters(model)
    on_event({"event": "phase", "phase": "train"})
    with MemoryMonitor(device, memory_baseline) as memory:
        pass_energy = EnergyMeter(device)

        def conditions() -> Conditions:
            return Conditions(memory.so_far(), runs_at_once(), pass_energy.joules)

        prepared = task.prepare(spec, model, encoded, device, timers, CacheSettings(**cache, conditions=conditions))
        steps_energy = EnergyMeter(device)
        forward: ForwardT = prepared.forward
        before = None if aside is None else read_state(aside)
        waiting: State | None = None
        fitted = Training()
        if METHODS[spec.method].closed_form or (METHODS[spec.method].fits_first and before is None):
            with told_with_step(spec, 0):
                fitted = task.solve(spec, model, forward, timers)
        if METHODS[spec.method].closed_form:
            training = fitted
            trainable, total = count_parameters(model)  # a head of another kind may stand there now
        elif trainable:
            streams = streams_of(spec)
            objective = task.objective(spec, model, forward)
            watcher = task.watcher(spec, model, forward, streams)
            course = _course(spec, model)
            trainer = Trainer(model, forward, spec, timers, objective, on_event, streams, watcher, course)
            trainer.result.flops, trainer.result.notes = fitted.flops, fitted.notes
            training, waiting = trainer.train(spec.part, before), trainer.aside
            _say_recorded(training, prepared.shortcuts)
            if METHODS[spec.method].in_pairs:
                fitted = task.solve(spec, model, forward, timers)
                training.flops, training.notes = training.flops + fitted.flops, training.notes + fitted.notes
                training.final_train_rows = None  # its rows were pairs: the model is judged on all texts
        else:
            training = Training()  # the model as it is
        steps_joules = _sum(steps_energy.joules, before["joules"] if before else 0.0)
        joules = _sum(prepared.conditions.joules, steps_joules)
    peak = max(memory.peak, prepared.conditions.peak_memory, before["peak_memory"] if before else 0)
    on_event({"event": "phase", "phase": "evaluate"})
    gc.collect()
    with told_with_step(spec, training.steps):
        judged = task.evaluate(spec, model, forward, training, tokenizer, timers)
    state = trained_state(model)
    latencies: Mapping[str, float] = {}
    if spec.role is not Role.DRAW:  # timed on test texts
        with timers.phase("latency"):
            latencies = task.latencies(spec, model, forward)
    cost = training_cost(training, timers.seconds, prepared).model_copy(
        update={
            "trainable_parameters": trainable,
            "total_parameters": total,
            "training_joules": joules,
            "peak_memory_bytes": peak,
            "peak_memory_reserved_bytes": memory.peak_reserved,
            "adapter_bytes": sum(t.numel() * t.element_size() for t in state.values()),
            **({} if spec.role is Role.DRAW else retention(spec, model)),
            "latency_seconds": timers.seconds.get("latency"),
            **latencies,
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
        environment=environment(spec.device, max(runs_at_once(), prepared.conditions.runs_at_once)),
        notes=[
            *(METHODS[spec.method].remarks(model) if isinstance(model, Adaptable) else []),
            *task.notes(encoded),
            *training.notes,
            *_notes(spec, encoded, training, prepared.shortcuts),
            *prepared.notes,
            *judged.notes,
        ],
        stopping=training.stopping,
    )

    def save(folder: Path) -> None:
        if waiting is None:
            save_file(state, folder / "weights.safetensors")
        else:
            write_state({**waiting, "joules": steps_joules, "peak_memory": peak}, folder / ASIDE)

    return RunResult(record, training.curves, judged.predictions, save)


def _say_recorded(training: Training, shortcuts: dict[str, JsonValue]) -> None:
    """How many steps a GPU has played from recordings, and why no more were recorded, where it has any."""
    used = shortcuts.get("used")
    if not isinstance(used, dict) or not (training.recorded_steps or training.why_not_recorded):
        return
    used["recorded_steps"] = training.recorded_steps
    if training.why_not_recorded:
        used["not_recorded"] = training.why_not_recorded


def _sum(*parts: float | None) -> float | None:
    """Of all parts; None where one is not known."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _config_of(model: torch.nn.Module) -> PretrainedConfig:
    """The configuration of the transformer inside."""
    return model.get_submodule("backbone").config


def _course(spec: RunSpec, model: torch.nn.Module) -> Course | None:
    """What the run's method does in training beside plain steps."""
    from whichtune.methods import METHODS
    from whichtune.models.adaptable import Adaptable

    method = METHODS[spec.method]
    return method.course(model, method.Settings(**spec.method_settings)) if isinstance(model, Adaptable) else None


def _notes(spec: RunSpec, encoded: EncodedData, training: Training, shortcuts: Mapping[str, JsonValue]) -> list[str]:
    """How long the warm-up was, where it was long, and what batches of similar length have saved."""
    from whichtune.training.batching import bucketing_note

    notes = []
    if spec.base_precision != "float32":
        notes.append(
            f"The matrices of the model's blocks are kept in {spec.base_precision} (bitsandbytes "
            f"{version('bitsandbytes')}), all else in float32; adapters are not merged, which would round them."
        )
    if training.warmup_steps > LONG_WARMUP * training.planned_steps:
        steps, total = min(training.warmup_steps, training.planned_steps), training.planned_steps
        notes.append(
            f"Warm-up takes {steps:,} of {total:,} steps ({100 * steps / total:.0f} %): the learning rate is below its "
            "set value for that long. Set a smaller warmup_steps, or warmup_ratio."
        )
    if spec.batching == "bucketed" and training.steps:
        lengths = [len(ids) for ids in encoded.splits["train"].tokens]
        notes.append(bucketing_note(spec, lengths, _why_no_padding(spec, shortcuts.get("used"))))
    return notes


def _why_no_padding(spec: RunSpec, used: JsonValue) -> str | None:
    """Why batches of similar length save this run nothing; None where they do."""
    used = used if isinstance(used, dict) else {}
    if spec.padding == "right" and used.get("texts") != "unpadded":
        return "all texts are padded to one width"
    if spec.padding == "none":
        return "each text is computed alone"
    if used.get("cached") == "features":
        return "the head reads cached features"
    if used.get("texts") == "first token":
        return "the first token alone is computed"
    return None if used.get("packing", "none") == "none" else "the plan packs texts without padding"
