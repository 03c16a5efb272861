"""A study as the report looks at it: rows, marks, intervals and seeds, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from whichtune.evidence.summary import Summary
from whichtune.metrics import METRICS, Metric, Split, metrics_of
from whichtune.records.record import CurvePoint, Metrics, RunRecord, RunStatus
from whichtune.report.drawing.kinds import Mark
from whichtune.report.rows import TableRow, group_by_label, table_row
from whichtune.stats.results import Comparison, MethodFigures, Verdict
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.roles import Role


@dataclass(frozen=True)
class View:
    """A summary with the curves of its runs. Scores are percentages from here on, losses nats."""

    summary: Summary
    curves: dict[str, list[CurvePoint]] = field(default_factory=dict)

    @property
    def study(self) -> ResolvedStudy:
        return self.summary.study

    @property
    def verdict(self) -> Verdict | None:
        return self.summary.verdict

    @property
    def comparisons(self) -> list[Comparison]:
        return self.summary.comparisons

    @cached_property
    def groups(self) -> dict[str, list[RunRecord]]:
        """The runs of each row by its label, draws of a search left out."""
        return group_by_label(self.summary.runs)

    @cached_property
    def rows(self) -> list[TableRow]:
        return [table_row(label, runs) for label, runs in self.groups.items()]

    @cached_property
    def done(self) -> list[RunRecord]:
        """Completed runs, draws of a search left out."""
        return [run for runs in self.groups.values() for run in runs if run.status is RunStatus.COMPLETED]

    @cached_property
    def failed(self) -> list[RunRecord]:
        return [run for runs in self.groups.values() for run in runs if run.status is not RunStatus.COMPLETED]

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of the study's kind of answers, in the order of tables.

        The kind is that of the primary metric; where this is the loss, a study with class names names classes.
        """
        answers = METRICS[self._primary].answers if self._primary in METRICS else "loss"
        if answers == "loss":
            answers = "classes" if self.study.labels or any(run.labels for run in self.summary.runs) else "texts"
        return metrics_of(answers, self._primary)

    @property
    def _primary(self) -> str:
        return self.verdict.metric if self.verdict is not None else self.study.primary_metric

    @cached_property
    def metric(self) -> str:
        """Key of the score that is drawn: the primary metric, or, where that is the loss, the main one."""
        return self._primary if any(metric.name == self._primary for metric in self.metrics) else self.main.name

    @property
    def main(self) -> Metric:
        """The metric that is meant where none is named: the first with a column for validation."""
        return next((metric for metric in self.metrics if "validation" in metric.splits), self.metrics[0])

    @property
    def metric_name(self) -> str:
        return METRICS[self.metric].title

    @cached_property
    def class_names(self) -> list[str]:
        """Names in the order of the confusion matrices."""
        named = self.study.labels or next((run.labels for run in self.done if run.labels), [])
        tests = [run.metrics.test for run in self.done]
        size = max((len(test.confusion_matrix) for test in tests if isinstance(test, Metrics)), default=0)
        return named + [f"class {i}" for i in range(len(named), size)]

    @cached_property
    def places(self) -> dict[str, tuple[str, str]]:
        """The range of ranks and the tie group of each row that was judged; empty for studies of earlier versions."""
        rows = [] if self.verdict is None else self.verdict.candidates
        return {
            row.label: ("-".join(str(rank) for rank in sorted(set(row.ranks))), str(row.tie_group))
            for row in rows
            if row.ranks is not None
        }

    @cached_property
    def partial(self) -> set[str]:
        """Rows that train on fewer texts than the study's largest number."""
        if self.summary.learning is None:
            return set()
        return {point.label for curve in self.summary.learning.curves for point in curve.points[:-1]}

    def mark(self, label: str) -> Mark:
        """Which of MARKS a row carries."""
        if self.verdict is not None and label == self.verdict.recommended:
            return "recommended"
        if self.verdict is not None and label == (self.verdict.leader or self.verdict.best):
            return "best"
        return "baseline" if self.groups[label][0].role is Role.BASELINE else "run"

    @property
    def method_figures(self) -> list[MethodFigures]:
        """What the statistics say of each row over its seeds."""
        return self.summary.intervals.methods

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of the primary metric by label, in percent, where the statistics gave one."""
        return {
            figures.label: (100 * figures.interval[0], 100 * figures.interval[1])
            for figures in self.method_figures
            if figures.interval and figures.metric == self.metric
        }

    @cached_property
    def interval_kinds(self) -> list[str]:
        """What the intervals hold for, each once."""
        kinds = [figures.interval_holds_for for figures in self.method_figures if figures.interval]
        return list(dict.fromkeys(kind for kind in kinds if kind))

    def seeds(self, label: str, split: Split = "test") -> list[tuple[int | None, float]]:
        """Each completed run's seed and primary metric in percent."""
        found = []
        for run in self.groups[label]:
            metrics = run.metrics.of(split)
            value = None if metrics is None else metrics.value(self.metric)
            if run.status is RunStatus.COMPLETED and value is not None:
                found.append((run.seed, 100 * value))
        return found

    def score(self, row: TableRow, split: Split = "test") -> float | None:
        """A row's mean of the primary metric in percent."""
        value = row.mean(split, self.metric)
        return None if value is None else 100 * value

    @cached_property
    def scored(self) -> list[TableRow]:
        """Rows with a test figure, the best first; those on a part of the training texts are points of curves."""
        able = [row for row in self.rows if self.score(row) is not None and row.label not in self.partial]
        sign = -1 if METRICS[self.metric].higher_is_better else 1
        return sorted(able, key=lambda row: (sign * (self.score(row) or 0.0), row.label))
