"""The rows of a study with their test answers, aligned example by example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from whichtune.errors import DataError
from whichtune.metrics import METRICS, Split, possible_metrics
from whichtune.metrics.entities import counted
from whichtune.metrics.labels import as_indicators, probabilities_of
from whichtune.metrics.terms import USUAL, Classified, Terms
from whichtune.records.record import RunRecord, RunStatus
from whichtune.stats.costs import Count, count_of, median_costs, seconds_of_run
from whichtune.stats.scores import (
    Scores,
    class_scores,
    cost_scores,
    figure_scores,
    loss_scores,
    most_of_one,
    ratio_scores,
    split_scores,
    total_scores,
)
from whichtune.study.roles import Role

if TYPE_CHECKING:
    import pandas as pd

    from whichtune.stats.asked import Asked

ReadPredictions = Callable[[str], "pd.DataFrame"]


@dataclass(frozen=True)
class TestSet:
    """The examples that all rows were tested on; arrays `(E,)`. Where texts are written there are no classes.

    Where each seed has a split of its own these are the examples of all of them, and `test_by_train` is how many times
    as many a split has for test as for training; None where all runs share one split. `terms` are the study's.
    """

    __test__ = False

    ids: NDArray[np.object_]
    labels: NDArray[np.int64]
    duplicate_of_train: NDArray[np.bool_]
    classes: int
    test_by_train: float | None = None
    terms: Terms = USUAL

    def part(self, answers: Answers) -> TestSet:
        """The examples that these answers are to."""
        if answers.at is None or self.test_by_train is None:
            return self
        at = answers.at
        return TestSet(self.ids[at], self.labels[at], self.duplicate_of_train[at], self.classes, terms=self.terms)

    @property
    def n(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Judged:
    """What metrics of a kind are computed from, in the order that they take it; examples along the first axis."""

    kind: Literal["numbers", "labels", "tags"]
    parts: tuple[NDArray[Any], ...]

    def of(self, keep: NDArray[np.bool_]) -> Judged:
        """The same of some examples."""
        return Judged(self.kind, tuple(part[keep] for part in self.parts))


@dataclass(frozen=True)
class Answers:
    """What one run answered to the test set, `(E,)` each.

    `predictions` are classes; none where texts were written, and `figures` hold each text's scores then. `losses`
    are an example's, summed over its `tokens` where it has several; NaN where there is no model. `judged` are answers
    whose figures are computed anew for some examples: foretold and true numbers (E,), chosen labels, probabilities and
    true labels (E, L), or counts of entities (E, K, 3) and of words (E, 2). `at` are the places in the test set of the
    examples that were answered; None: all of them. `logits` (E, C) are read where a metric that is asked for needs
    them. `parts` (E, K) are what each written text adds to the totals of a metric.
    """

    predictions: NDArray[np.int64]
    losses: NDArray[np.float64]
    tokens: NDArray[np.int64] | None = None
    figures: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    judged: Judged | None = None
    at: NDArray[np.int64] | None = None
    logits: NDArray[np.float32] | None = None
    parts: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def of(self, keep: NDArray[np.bool_]) -> Answers:
        """The answers to some examples."""
        at = None if self.at is None else self.at[keep]
        if self.judged is not None:
            tokens = None if self.tokens is None else self.tokens[keep]
            return replace(figured(self.judged.of(keep), self.losses[keep]), at=at, tokens=tokens)
        return Answers(
            self.predictions[keep] if len(self.predictions) else self.predictions,
            self.losses[keep],
            None if self.tokens is None else self.tokens[keep],
            {name: values[keep] for name, values in self.figures.items() if name not in self.parts},
            at=at,
            logits=None if self.logits is None else self.logits[keep],
        ).with_parts({name: values[keep] for name, values in self.parts.items()})

    def with_parts(self, parts: dict[str, NDArray[np.float64]]) -> Answers:
        """The same with what texts add to totals, and the figures that follow from it."""
        scores = {name: total_scores(METRICS[name], values) for name, values in parts.items()}
        return replace(self, figures=self.figures | scores, parts=parts)

    def has(self, metric: str) -> bool:
        """Whether the metric can be told from these answers."""
        wanted = METRICS[metric]
        if wanted.answers == "loss":
            return bool(np.isfinite(self.losses).all())
        if wanted.answers != "classes":
            return metric in self.figures
        return not self.figures and (self.logits is not None or not wanted.of_probabilities)

    def each(self, metric: str, test: TestSet) -> NDArray[np.float64]:
        """A metric of classes example by example `(E,)`, where it has such figures."""
        of_each = METRICS[metric].of_each
        assert of_each is not None
        return of_each(Classified(test.labels, self.predictions, self.logits, test.classes), test.terms)


def of_numbers(numbers: NDArray[np.float64], losses: NDArray[np.float64]) -> Answers:
    """Answers that are numbers (2, E): foretold and true ones."""
    return figured(Judged("numbers", (numbers[0], numbers[1])), losses)


def of_labels(
    logits: NDArray[np.floating],
    places: Sequence[Sequence[int]],
    targets: NDArray[np.bool_],
    losses: NDArray[np.float64],
) -> Answers:
    """Answers that are sets of labels: logits (E, L), the places of those chosen, and the true ones (E, L) bool."""
    chosen = as_indicators(places, logits.shape[1])
    return figured(Judged("labels", (chosen, probabilities_of(logits), targets)), losses)


def of_tags(
    predictions: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    losses: NDArray[np.float64],
    words: NDArray[np.int64],
) -> Answers:
    """Answers that are tags of each word, with the loss of a sentence and the number of words that it is of (E,)."""
    return replace(figured(Judged("tags", counted(predictions, targets)), losses), tokens=words)


def figured(judged: Judged, losses: NDArray[np.float64]) -> Answers:
    """Answers with every metric of their kind, example by example."""
    figures = {}
    for metric in possible_metrics(judged.kind):
        compute = metric.of_numbers or metric.of_labels or metric.of_tags
        if compute is not None:
            figures[metric.name] = compute(*judged.parts)
    return Answers(np.zeros(0, dtype=np.int64), losses, None, figures, judged)


@dataclass
class Row:
    """One label: its runs by seed, the failed ones, and its answers to the test set by seed."""

    label: str
    role: Role
    method: str
    completed: dict[int | None, RunRecord] = field(default_factory=dict)
    failed: list[RunRecord] = field(default_factory=list)
    answers: dict[int | None, Answers] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int | None]:
        return sorted(self.answers, key=lambda seed: -1 if seed is None else seed)

    @property
    def run_ids(self) -> set[str]:
        """The completed runs; two rows of a reproduction on one model can have the same."""
        return {run.run_id for run in self.completed.values()}

    @property
    def deterministic(self) -> bool:
        """True where the row draws nothing, so that its one run stands for any seed."""
        return list(self.answers) == [None]

    @property
    def costs(self) -> dict[str, float | None]:
        return median_costs(run.cost for run in self.completed.values())

    def median_count(self, key: Count) -> float | None:
        """Median over seeds of a count in the costs."""
        found = [count for run in self.completed.values() if (count := count_of(run.cost, key)) is not None]
        return float(np.median(found)) if found else None

    def median_seconds(self) -> float | None:
        """Median over seeds of what a run took, evaluation included."""
        found = [seconds for run in self.completed.values() if (seconds := seconds_of_run(run.cost)) is not None]
        return float(np.median(found)) if found else None

    def mean_metric(self, split: Split, metric: str) -> float | None:
        """Mean over seeds of a recorded metric; None where some run lacks it."""
        figures = [run.metrics.of(split) for run in self.completed.values()]
        values = [value for f in figures if f is not None and (value := f.value(metric)) is not None]
        return float(np.mean(values)) if values and len(values) == len(figures) else None

    def can(self, metric: str) -> bool:
        """Whether the row has test answers that the metric can be told from."""
        return bool(self.answers) and all(answers.has(metric) for answers in self.answers.values())

    def scores(self, metric: str, test: TestSet, seeds: Sequence[int | None]) -> Scores:
        """Scores `(S, E)` for these seeds; a deterministic row repeats itself. Where each seed has a split of its own,
        one figure for each of several."""
        keys = [None if self.deterministic else seed for seed in seeds]
        chosen = [self.answers[key] for key in keys]
        if test.test_by_train is not None and len(chosen) > 1:
            each = [self.scores(metric, test, [seed]).per_seed[0] for seed in keys]
            return split_scores(np.array(each), test.test_by_train)
        test = test.part(chosen[0]) if len(chosen) == 1 else test
        wanted = METRICS[metric]
        if wanted.answers in ("texts", "numbers", "labels", "tags"):
            found = np.stack([answers.figures[metric] for answers in chosen])
            return figure_scores(found, most_of_one(found) if wanted.answers in ("labels", "tags") else None)
        if wanted.answers == "loss":
            losses = np.stack([answers.losses for answers in chosen])
            counts = [answers.tokens for answers in chosen if answers.tokens is not None]
            return ratio_scores(losses, np.stack(counts)) if counts else loss_scores(losses)
        if wanted.of_each is not None:
            values = np.stack([answers.each(metric, test) for answers in chosen])
            return cost_scores(values, test.terms) if wanted.in_unit else figure_scores(values)
        predictions = np.stack([answers.predictions for answers in chosen])
        return class_scores(wanted, test.labels, predictions, test.classes)


def common_seeds(a: Row, b: Row) -> list[int | None]:
    """Seeds on which the two can be paired: `[None]` where neither draws, empty where none is common."""
    if a.deterministic:
        return b.seeds
    if b.deterministic:
        return a.seeds
    return [seed for seed in a.seeds if seed in b.answers]


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


def load_answers(
    rows: Iterable[Row],
    read_predictions: ReadPredictions,
    classes: int | None = None,
    by_seed: bool = False,
    asked: Asked | None = None,
    common: bool = False,
) -> TestSet | None:
    """Fill the rows' test answers and return the test set; None where no run completed.

    `by_seed`: each seed has a split of its own. `asked` are the figures that the study asks for beside the usual ones.
    `common`: rows may leave test texts out, and all are judged on those that none of them does. Raises DataError where
    runs of one split were tested on different examples, or an example stands twice.
    """
    tests: dict[int | None, TestSet] = {}
    ratios: list[float] = []
    rows = list(rows)
    shared = _in_all(rows, read_predictions) if common else None
    for row in rows:
        for seed, record in row.completed.items():
            frame = read_predictions(record.run_id)
            frame = frame[frame["split"] == "test"]
            frame = frame if shared is None else frame[frame["example_id"].isin(shared)]
            frame = frame if asked is None else asked.completed(frame)
            if frame["example_id"].duplicated().any():
                raise DataError(f"A test example stands twice in the predictions of '{row.label}'.")
            frame = frame.set_index("example_id")
            split = seed if by_seed else None
            if split not in tests:
                tests[split] = replace(_test_set(frame, classes), terms=USUAL if asked is None else asked.terms)
            row.answers[seed] = _aligned(frame, tests[split], row.label, asked is not None and asked.logits)
            train = record.metrics.of("train")
            if by_seed and train is not None and train.n:
                ratios.append(len(frame) / train.n)
    if not by_seed:
        return tests.get(None)
    return _joined(rows, tests, float(np.mean(ratios)) if ratios else 1.0)


def _in_all(rows: Iterable[Row], read_predictions: ReadPredictions) -> set[object]:
    """The test examples that every run was tested on."""
    found: set[object] | None = None
    for row in rows:
        for record in row.completed.values():
            frame = read_predictions(record.run_id)
            own = set(frame.loc[frame["split"] == "test", "example_id"])
            found = own if found is None else found & own
    return found or set()


def _joined(rows: Iterable[Row], tests: dict[int | None, TestSet], ratio: float) -> TestSet | None:
    """The test examples of all splits, the rows' answers placed among them."""
    if not tests:
        return None
    labels: dict[object, int] = {}
    repeated = dict.fromkeys((i for test in tests.values() for i in test.ids), False)
    for test in tests.values():
        labels.update(zip(test.ids, test.labels, strict=True))
        repeated.update({i: True for i, again in zip(test.ids, test.duplicate_of_train, strict=True) if again})
    place = {i: number for number, i in enumerate(repeated)}
    for row in rows:
        for seed, answers in row.answers.items():
            at = np.array([place[i] for i in tests[seed].ids], dtype=np.int64)
            row.answers[seed] = replace(answers, at=at)
    return TestSet(
        np.array(list(place), dtype=object),
        np.array([labels[i] for i in place], dtype=np.int64),
        np.array(list(repeated.values()), dtype=bool),
        max(test.classes for test in tests.values()),
        ratio,
        next(iter(tests.values())).terms,
    )


def _test_set(frame: pd.DataFrame, classes: int | None) -> TestSet:
    if frame.empty:
        raise DataError("The predictions hold no test examples, so nothing can be compared.")
    duplicate = np.zeros(len(frame), dtype=bool)
    if "duplicate_of_train" in frame:
        duplicate = frame["duplicate_of_train"].fillna(False).to_numpy(dtype=bool)
    if "label" not in frame:
        return TestSet(frame.index.to_numpy(), np.zeros(len(frame), dtype=np.int64), duplicate, 0)
    labels = frame["label"].to_numpy(dtype=np.int64)
    most = int(max(labels.max(), frame["prediction"].max())) + 1
    return TestSet(frame.index.to_numpy(), labels, duplicate, max(classes or 0, most))


def _aligned(frame: pd.DataFrame, test: TestSet, label: str, logits: bool) -> Answers:
    if len(frame) != test.n or not frame.index.isin(test.ids).all():
        raise DataError(
            f"'{label}' was tested on other examples than the rows before it: only runs on one test set "
            "can be compared."
        )
    frame = frame.loc[list(test.ids)]
    losses = frame["loss"].to_numpy(dtype=np.float64) if "loss" in frame else np.full(test.n, np.nan)
    if "target" in frame and frame["prediction"].dtype.kind == "f":
        return of_numbers(frame[["prediction", "target"]].to_numpy(dtype=np.float64).T, losses)
    if "target" in frame and "words" in frame:
        counts = frame["words"].to_numpy(dtype=np.int64)
        return of_tags(list(frame["prediction"]), list(frame["target"]), losses, counts)
    if "target" in frame and "logits" in frame:
        return _label_sets(frame, losses)
    if "label" not in frame:
        names = [metric.name for metric in possible_metrics("texts")]
        figures = {name: frame[name].to_numpy(dtype=np.float64) for name in names if name in frame}
        totals = {name: np.stack(frame[f"{name}_totals"].to_list()) for name in names if f"{name}_totals" in frame}
        written = Answers(np.zeros(0, dtype=np.int64), losses, frame["tokens"].to_numpy(dtype=np.int64), figures)
        return written.with_parts(totals)
    if not np.array_equal(frame["label"].to_numpy(dtype=np.int64), test.labels):
        raise DataError(f"'{label}' was tested against other labels than the rows before it.")
    found = np.stack(frame["logits"].to_list()) if logits and "logits" in frame else None
    return Answers(frame["prediction"].to_numpy(dtype=np.int64), losses, logits=found)


def _label_sets(frame: pd.DataFrame, losses: NDArray[np.float64]) -> Answers:
    logits = np.stack([np.asarray(row) for row in frame["logits"]])
    return of_labels(logits, list(frame["prediction"]), as_indicators(list(frame["target"]), logits.shape[1]), losses)
