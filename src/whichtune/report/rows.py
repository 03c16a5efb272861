"""The rows of a study's table, computed from records alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean, median

from whichtune.metrics import Split
from whichtune.records.record import RunRecord, RunStatus
from whichtune.study.roles import Role


@dataclass(frozen=True)
class TableRow:
    """One row of the study over its seeds: what did not complete, means of figures, medians of costs."""

    label: str
    method: str
    role: Role
    seeds: list[int | None]  # of completed runs
    runs: int
    completed: int
    errors: list[str]
    statuses: list[RunStatus]  # of what did not complete
    done: list[RunRecord] = field(repr=False)

    def mean(self, split: Split, name: str) -> float | None:
        """The mean of a figure over seeds, scores as shares of 1; None where no completed run has it."""
        values = self._values(split, name)
        return mean(values) if values else None

    def span(self, split: Split, name: str) -> tuple[float, float] | None:
        """The lowest and the highest of a figure over seeds."""
        values = self._values(split, name)
        return (min(values), max(values)) if values else None

    @property
    def runs_at_once(self) -> int:
        """The most runs that shared the machine while the row's seconds were measured; 1: it was alone."""
        made = [run.environment for run in self.done if run.environment is not None]
        return max((max(one.jobs, one.runs_at_once) for one in made), default=1)

    def cost(self, name: str) -> float | None:
        """The median of a cost over seeds; None where no completed run has it."""
        values = [value for run in self.done if (value := getattr(run.cost, name)) is not None]
        return median(values) if values else None

    def _values(self, split: Split, name: str) -> list[float]:
        found = [run.metrics.of(split) for run in self.done]
        return [value for metrics in found if metrics is not None and (value := metrics.value(name)) is not None]


def group_by_label(runs: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Runs under their row's label, in the order of the study; draws of a search are no rows of a table."""
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        if run.role is not Role.DRAW:
            groups.setdefault(run.label, []).append(run)
    return groups


def table_row(label: str, runs: list[RunRecord]) -> TableRow:
    """One row from its runs."""
    done = [run for run in runs if run.status is RunStatus.COMPLETED]
    failed = [run for run in runs if run.status is not RunStatus.COMPLETED]
    return TableRow(
        label=label,
        method=runs[0].method,
        role=runs[0].role,
        seeds=[run.seed for run in done],
        runs=len(runs),
        completed=len(done),
        errors=sorted({run.error for run in failed if run.error}),
        statuses=sorted({run.status for run in failed}),
        done=done,
    )
