"""The rows of a study with their test answers, aligned example by example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whichtune.errors import DataError
from whichtune.records import Role, RunRecord, RunStatus
from whichtune.stats.costs import median_costs
from whichtune.stats.scores import Scores, scores

if TYPE_CHECKING:
    import pandas as pd

ReadPredictions = Callable[[str], "pd.DataFrame"]


@dataclass(frozen=True)
class TestSet:
    """The examples that all rows were tested on; arrays `(E,)`."""

    __test__ = False

    ids: NDArray[np.object_]
    labels: NDArray[np.int64]
    duplicate_of_train: NDArray[np.bool_]
    classes: int

    @property
    def n(self) -> int:
        return len(self.labels)


@dataclass
class Row:
    """One label: its runs by seed, the failed ones, and its test answers and losses by seed, `(E,)` each."""

    label: str
    role: Role
    method: str
    completed: dict[int | None, RunRecord] = field(default_factory=dict)
    failed: list[RunRecord] = field(default_factory=list)
    predictions: dict[int | None, NDArray[np.int64]] = field(default_factory=dict)
    losses: dict[int | None, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int | None]:
        return sorted(self.predictions, key=lambda seed: -1 if seed is None else seed)

    @property
    def deterministic(self) -> bool:
        """True where the row draws nothing, so that its one run stands for any seed."""
        return list(self.predictions) == [None]

    @property
    def costs(self) -> dict[str, float | None]:
        return median_costs(run.cost for run in self.completed.values())

    def median_count(self, key: str) -> float | None:
        """Median over seeds of a count in the costs, such as `optimiser_steps`."""
        found = [v for run in self.completed.values() if (v := getattr(run.cost, key)) is not None]
        return float(np.median(found)) if found else None

    def mean_metric(self, split: str, metric: str) -> float | None:
        """Mean over seeds of a recorded metric; None where some run lacks it."""
        figures = [getattr(run.metrics, split) for run in self.completed.values()]
        values = [getattr(f, metric) for f in figures if f is not None]
        if not values or len(values) < len(figures) or any(v is None for v in values):
            return None
        return float(np.mean(values))

    def scores(self, metric: str, test: TestSet, seeds: Sequence[int | None]) -> Scores:
        """Scores `(S, E)` for these seeds; a deterministic row repeats itself."""
        keys = [None if self.deterministic else seed for seed in seeds]
        losses = np.stack([self.losses[key] for key in keys]) if metric == "loss" else None
        return scores(metric, test.labels, np.stack([self.predictions[k] for k in keys]), test.classes, losses)


def common_seeds(a: Row, b: Row) -> list[int | None]:
    """Seeds on which the two can be paired: `[None]` where neither draws, empty where none is common."""
    if a.deterministic:
        return b.seeds
    if b.deterministic:
        return a.seeds
    return [seed for seed in a.seeds if seed in b.predictions]


def group(records: Iterable[RunRecord]) -> dict[str, Row]:
    """Rows by label in the order of the records; draws of a hyper-parameter search are left out."""
    rows: dict[str, Row] = {}
    for record in records:
        if record.role is Role.DRAW:
            continue
        row = rows.setdefault(record.label, Row(record.label, record.role, record.method))
        if record.status is RunStatus.COMPLETED:
            row.completed[record.seed] = record
        else:
            row.failed.append(record)
    return rows


def load_answers(rows: Iterable[Row], read_predictions: ReadPredictions, classes: int | None = None) -> TestSet | None:
    """Fill the rows' test answers and return the test set; None where no run completed.

    Raises DataError where runs were tested on different examples, or an example stands twice.
    """
    test: TestSet | None = None
    for row in rows:
        for seed, record in row.completed.items():
            frame = read_predictions(record.run_id)
            frame = frame[frame["split"] == "test"]
            if frame["example_id"].duplicated().any():
                raise DataError(f"A test example stands twice in the predictions of '{row.label}'.")
            frame = frame.set_index("example_id")
            if test is None:
                test = _test_set(frame, classes)
            row.predictions[seed], row.losses[seed] = _aligned(frame, test, row.label)
    return test


def _test_set(frame: pd.DataFrame, classes: int | None) -> TestSet:
    if frame.empty:
        raise DataError("The predictions hold no test examples, so nothing can be compared.")
    labels = frame["label"].to_numpy(dtype=np.int64)
    duplicate = np.zeros(len(frame), dtype=bool)
    if "duplicate_of_train" in frame:
        duplicate = frame["duplicate_of_train"].fillna(False).to_numpy(dtype=bool)
    most = int(max(labels.max(), frame["prediction"].max())) + 1
    return TestSet(frame.index.to_numpy(), labels, duplicate, max(classes or 0, most))


def _aligned(frame: pd.DataFrame, test: TestSet, label: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if len(frame) != test.n or not frame.index.isin(test.ids).all():
        raise DataError(
            f"'{label}' was tested on other examples than the rows before it: only runs on one test set "
            "can be compared."
        )
    frame = frame.loc[list(test.ids)]
    if not np.array_equal(frame["label"].to_numpy(dtype=np.int64), test.labels):
        raise DataError(f"'{label}' was tested against other labels than the rows before it.")
    losses = frame["loss"].to_numpy(dtype=np.float64) if "loss" in frame else np.full(test.n, np.nan)
    return frame["prediction"].to_numpy(dtype=np.int64), losses
