"""A study as the report looks at it: rows, marks, intervals and seeds, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from whichtune.records.record import Role, RunStatus
from whichtune.report.summary import METRIC_NAMES, group_by_label, table_rows, writes_texts

# What a mark says; each has its own colour and its own shape, so that neither is needed alone.
MARKS = {
    "recommended": "recommended",
    "best": "best on validation",
    "run": "trained",
    "baseline": "baseline",
}


@dataclass(frozen=True)
class View:
    """A summary with the curves of its runs. Scores are percentages from here on, losses nats."""

    summary: dict[str, Any]
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def study(self) -> dict[str, Any]:
        return self.summary["study"]

    @property
    def verdict(self) -> dict[str, Any]:
        return self.summary.get("verdict") or {}

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        return self.summary.get("comparisons") or []

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        return table_rows(self.summary)

    @cached_property
    def groups(self) -> dict[str, list[dict[str, Any]]]:
        return group_by_label(self.summary["runs"])

    @property
    def done(self) -> list[dict[str, Any]]:
        """Completed runs, draws of a search left out."""
        return [r for runs in self.groups.values() for r in runs if r["status"] == RunStatus.COMPLETED]

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [r for runs in self.groups.values() for r in runs if r["status"] != RunStatus.COMPLETED]

    @property
    def metric(self) -> str:
        """Key of the primary metric in the records."""
        named = self.verdict.get("metric") or self.study.get("primary_metric")
        return named if named in METRIC_NAMES and named != "loss" else "rougeL" if self.writes_texts else "accuracy"

    @property
    def writes_texts(self) -> bool:
        """Whether the runs write texts; else they name classes."""
        return writes_texts(self.summary)

    @property
    def metric_name(self) -> str:
        return METRIC_NAMES[self.metric]

    @cached_property
    def class_names(self) -> list[str]:
        """Names in the order of the confusion matrices."""
        named = [str(name) for name in self.study.get("labels") or []]
        if not named:
            named = next((run["labels"] for run in self.done if run["labels"]), [])
        size = max(
            (len(m.get("confusion_matrix", [])) for run in self.done if (m := run["metrics"]["test"])), default=0
        )
        return named + [f"class {i}" for i in range(len(named), size)]

    def mark(self, label: str) -> str:
        """Which of MARKS a row carries."""
        if label == self.verdict.get("recommended"):
            return "recommended"
        if label == self.verdict.get("best"):
            return "best"
        return "baseline" if self.groups[label][0]["role"] == Role.BASELINE else "run"

    @property
    def method_figures(self) -> list[dict[str, Any]]:
        """What the statistics say of each row over its seeds."""
        return (self.summary.get("intervals") or {}).get("methods") or []

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of the primary metric by label, in percent, where the statistics gave one."""
        return {
            figures["label"]: (100 * figures["interval"][0], 100 * figures["interval"][1])
            for figures in self.method_figures
            if figures.get("interval") and figures.get("metric") == self.metric
        }

    @cached_property
    def interval_kinds(self) -> list[str]:
        """What the intervals hold for, each once."""
        kinds = [f.get("interval_holds_for") for f in self.method_figures if f.get("interval")]
        return list(dict.fromkeys(kind for kind in kinds if kind))

    def seeds(self, label: str, split: str = "test") -> list[tuple[int | None, float]]:
        """Each completed run's seed and primary metric in percent."""
        found = []
        for run in self.groups[label]:
            metrics = run["metrics"][split]
            if run["status"] == RunStatus.COMPLETED and metrics is not None and metrics.get(self.metric) is not None:
                found.append((run["seed"], 100 * metrics[self.metric]))
        return found

    def score(self, row: dict[str, Any], split: str = "test") -> float | None:
        """A row's mean of the primary metric in percent."""
        value = row[f"{split}_{self.metric}"]
        return None if value is None else 100 * value

    @cached_property
    def scored(self) -> list[dict[str, Any]]:
        """Rows with a test figure, highest first."""
        able = [row for row in self.rows if self.score(row) is not None]
        return sorted(able, key=lambda row: (-(self.score(row) or 0.0), row["label"]))
