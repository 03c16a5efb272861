"""What an executor must keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from whichtune.executors.base import Executor, ExecutorOptions
from whichtune.records.events import Event
from whichtune.records.record import RunStatus
from whichtune.records.store import StudyFolder
from whichtune.study.spec import RunSpec
from whichtune.testing.small import small_study, specs_of


@dataclass(frozen=True)
class ExecutorCase:
    """An executor by how it is made from options, as it is registered in `executors.base.EXECUTORS`."""

    make: Callable[[ExecutorOptions], Executor]
    jobs: int = 1

    def open(self) -> Executor:
        return self.make(ExecutorOptions(threads=1, jobs=self.jobs))


class StopError(Exception):
    """What the listener raises in the check of cancellation."""


def makes_every_run_once(case: ExecutorCase, folder: Path) -> None:
    """All runs are there, each is told of from start to end, and a second call starts none."""
    specs, place = _specs(folder), StudyFolder(folder / "made", create=True)
    told: list[Event] = []
    with case.open() as executor:
        executor.warm_up()
        started = executor.execute(specs, place, True, told.append)
        assert started == len(specs), f"{started} of {len(specs)} runs were started"
        for spec in specs:
            assert place.is_complete(spec.run_id), f"the run {spec.label} is not complete"
            assert place.weight_files(spec.run_id), f"the weights of {spec.label} were not kept"
            kinds = [event["event"] for event in told if event.get("run_id") == spec.run_id]
            assert kinds[0] == "start", f"{spec.label} began with the event '{kinds[0]}'"
            assert kinds[-1] == "end", f"{spec.label} ended with the event '{kinds[-1]}'"
        assert executor.execute(specs, place, True, told.append) == 0, "complete runs were made again"


def records_what_fails(case: ExecutorCase, folder: Path) -> None:
    """A run that fails is a record with its reason, and the others are made."""
    specs, place = _specs(folder), StudyFolder(folder / "made", create=True)
    broken = specs[0].model_copy(update={"model": str(folder / "nowhere")})
    with case.open() as executor:
        executor.execute([broken, *specs[1:]], place, False, lambda event: None)
    record = place.read_run(broken.run_id)
    assert record is not None, "the run that failed left no record"
    assert record.status is RunStatus.FAILED, f"the run that failed is {record.status}"
    assert record.error, "the run that failed has no reason"
    assert all(place.is_complete(spec.run_id) for spec in specs[1:]), "a run that failed kept others from being made"


def stops_when_its_listener_raises(case: ExecutorCase, folder: Path) -> None:
    """What the listener raises comes out, nothing half-written stays, and the same call goes on from there."""
    specs, place = _specs(folder), StudyFolder(folder / "made", create=True)

    def stop(event: Event) -> None:
        if event["event"] == "start" and event["run_id"] == specs[-1].run_id:
            raise StopError

    raised = False
    with case.open() as executor:
        try:
            executor.execute(specs, place, False, stop)
        except StopError:
            raised = True
    assert raised, "what the listener raised was swallowed"
    assert not place.is_complete(specs[-1].run_id), "the run went on after its listener had raised"
    assert not list(place.runs.glob(".*")), "something half-written stayed in the study's folder"
    with case.open() as executor:
        executor.execute(specs, place, False, lambda event: None)
    assert all(place.is_complete(spec.run_id) for spec in specs), "the study did not resume"


def leaves_what_another_makes(case: ExecutorCase, folder: Path) -> None:
    """A run that another process has claimed and finished is not made a second time."""
    specs, place = _specs(folder), StudyFolder(folder / "made", create=True)
    with case.open() as executor:
        executor.execute(specs[:1], place, False, lambda event: None)
        before = (place.run_folder(specs[0].run_id) / "run.json").stat().st_mtime_ns
        assert executor.execute(specs, place, False, lambda event: None) == len(specs) - 1
    assert (place.run_folder(specs[0].run_id) / "run.json").stat().st_mtime_ns == before, (
        "a complete run was made again"
    )


def _specs(folder: Path) -> list[RunSpec]:
    return specs_of(small_study(folder, methods=["head_only", "last_block", "linear_probe"], baselines=["majority"]))


EXECUTOR_CHECKS: dict[str, Callable[[ExecutorCase, Path], None]] = {
    check.__name__: check
    for check in (
        makes_every_run_once,
        records_what_fails,
        stops_when_its_listener_raises,
        leaves_what_another_makes,
    )
}
