"""One run, from its spec to its record. Executed in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from whichtune.errors import DataError
from whichtune.records.events import Listener
from whichtune.records.record import Cost, RunStatus
from whichtune.runs.records import CacheFields as CacheFields
from whichtune.runs.records import RunResult as RunResult
from whichtune.runs.records import Sibling as Sibling
from whichtune.runs.records import base_record as base_record
from whichtune.runs.records import told_spec as told_spec
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset, AnyTask, DatasetT, EncodedT, FittedBaseline, ForwardT, ModelT, Task


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
    dataset = loaded_data(task, spec)
    if spec.role is Role.BASELINE:
        result = _run_baseline(task, spec, dataset, memory_baseline)
    else:
        from whichtune.runs.method import judged_run, train_run

        trained = train_run(task, spec, dataset, on_event, memory_baseline, cache or {}, runs_at_once, aside)
        result = judged_run(trained, on_event)
    return finished(spec, dataset, result, started)


def loaded_data(task: AnyTask, spec: RunSpec) -> AnyDataset:
    """A run's data; of a draw without the test split. Raises DataError, also where they are not what they were."""
    dataset: AnyDataset = task.load(spec.data)
    if dataset.fingerprint != spec.fingerprints.get("data", dataset.fingerprint):
        raise DataError(f"The data of {dataset.name} changed after the study began: start the command again.")
    return dataset.without_test() if spec.role is Role.DRAW else dataset


def finished(spec: RunSpec, dataset: AnyDataset, result: RunResult, started: datetime) -> RunResult:
    """A run's result with its labels and times; what saves it proves what it wrote, but for a draw."""
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
