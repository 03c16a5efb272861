"""What a task must keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whichtune.compare import compare, prepare
from whichtune.metrics import METRICS
from whichtune.tasks import TASKS
from whichtune.testing.small import small_study


@dataclass(frozen=True)
class TaskCase:
    """A task by its registered name, with the keys of a small study of it: `data` at least where it reads no labels."""

    name: str
    study: dict[str, Any] = field(default_factory=dict)
    method: str = "head_only"


def names_what_it_is_judged_by(case: TaskCase, folder: Path) -> None:
    """Its metrics stand in the table, what can be watched is one of them or the loss, and `auto` means one of them."""
    task = TASKS[case.name]
    for name in task.metrics:
        assert name in METRICS, f"{case.name} is judged by '{name}', which the table of metrics does not know"
    for name in task.watched:
        assert name == "loss" or name in task.metrics, f"{case.name} cannot watch '{name}'"
    expansion, _ = prepare(_study(case, folder))
    assert expansion.primary_metric in task.metrics, f"auto means '{expansion.primary_metric}' for {case.name}"


def makes_and_resumes_a_study(case: TaskCase, folder: Path) -> None:
    """From data to verdict: runs, baselines, metrics, tables and page; and nothing is made twice."""
    study = _study(case, folder)
    result = compare(study, folder / "made", threads=1, save="all")
    for run in result.records:
        assert run.status == "completed", f"{run.label} ended as {run.status}: {run.error}"
        assert run.metrics.test is not None, f"{run.label} has no figures of the test split"
    assert result.summary.verdict is not None
    for name in ("table.md", "table.csv", "report.html"):
        assert (result.folder / name).stat().st_size > 0, f"{name} is empty"
    assert compare(study, folder / "made", threads=1, save="all").started == 0, "the study does not resume"


def tells_what_it_will_take(case: TaskCase, folder: Path) -> None:
    """Estimates and plans of its runs, before any is made."""
    from whichtune.runs.estimate import estimate_runs
    from whichtune.runs.preview import preview_study

    expansion, dataset = prepare(_study(case, folder))
    estimates = estimate_runs(expansion.specs, dataset)
    trained = [spec for spec in expansion.specs if spec.role == "run"]
    assert all(estimates[spec.run_id].seconds > 0 for spec in trained), "a run is estimated to take no time"
    assert len(preview_study(expansion.specs, dataset)) == len({spec.label for spec in trained})


def computes_the_same_by_its_plan(case: TaskCase, folder: Path) -> None:
    """What the plan leaves out changes neither losses nor answers."""
    from whichtune.testing.methods import _alike, _run

    runs = []
    for plan in ("off", "auto"):
        study = _study(case, folder / plan).model_copy(update={"plan": plan, "baselines": []})
        runs.append(_run(prepare(study)[0].specs[0], folder))
    _alike(runs[0], runs[1], f"{case.name} by its plan and the plain way")


def _study(case: TaskCase, folder: Path) -> Any:
    changes = {"task": case.name, "methods": [case.method], **case.study}
    if "baselines" not in changes:
        changes["baselines"] = list(TASKS[case.name].default_baselines)
    return small_study(folder, **changes)


TASK_CHECKS: dict[str, Callable[[TaskCase, Path], None]] = {
    check.__name__: check
    for check in (
        names_what_it_is_judged_by,
        makes_and_resumes_a_study,
        tells_what_it_will_take,
        computes_the_same_by_its_plan,
    )
}
