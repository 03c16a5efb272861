"""Differences between rows, and results by class, as matrices of plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whichtune.records.record import Metrics, RunRecord
from whichtune.report import words
from whichtune.report.drawing.kinds import Cell, Classes, Confusion, Data, Differences, Figure
from whichtune.report.view import View
from whichtune.report.words import signed
from whichtune.stats.results import Verdict4
from whichtune.wording import plural

Counts = NDArray[np.int64]
MOST_COMPARED = 24  # rows in the difference matrix
MOST_CLASS_COLUMNS = 24  # rows of the study beside one another in the per-class table
MOST_CELLS = 12  # classes up to which a confusion matrix is written out cell by cell
MOST_CONFUSIONS = 12
VERDICT_SIGNS: dict[Verdict4, str] = {
    "better": "▲",
    "worse": "▼",
    "equivalent": "=",
    "undecided": "?",
    "not_tested": "?",
}
TURNED: dict[Verdict4, Verdict4] = {"better": "worse", "worse": "better"}


def matrix_figures(view: View) -> list[Figure]:
    """Differences, results by class, and a confusion matrix a row."""
    figures: list[Figure | None] = [difference_matrix(view), class_matrix(view)]
    return [figure for figure in figures if figure is not None] + list(confusion_matrices(view))


# -- differences --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TestedPair:
    """A comparison from one side: a difference in points, its corrected p, and what was found."""

    difference: float
    p: float | None
    verdict: Verdict4

    def turned(self) -> TestedPair:
        """The same from the other side."""
        return replace(self, difference=-self.difference, verdict=TURNED.get(self.verdict, self.verdict))


def tested_pairs(view: View) -> dict[tuple[str, str], TestedPair]:
    """The comparisons by (row, column), each seen from both sides."""
    found = {}
    for pair in view.comparisons:
        if pair.metric == view.metric and pair.difference is not None and pair.unit == "points":
            seen = TestedPair(pair.difference, pair.p_adjusted, pair.verdict)
            found[pair.a, pair.b], found[pair.b, pair.a] = seen, seen.turned()
    return found


def difference_matrix(view: View) -> Differences | None:
    """Test score of each row minus each other row's, with the adjusted p of the pairs that were tested."""
    pairs, rows = tested_pairs(view), view.scored
    if len(rows) < 2:
        return None
    named = {label for pair in pairs for label in pair}
    marked = [row for row in rows if view.mark(row.label) in ("recommended", "best") or row.label in named]
    shown = (marked + [row for row in rows if row not in marked])[:MOST_COMPARED]
    shown.sort(key=rows.index)
    labels = [row.label for row in shown]
    score = {row.label: view.score(row) or 0.0 for row in shown}
    cells = [
        [None if a == b else _difference_cell(score[a] - score[b], pairs.get((a, b))) for b in labels] for a in labels
    ]
    caption = (
        f"Test {view.metric_name} of the row minus that of the column, in points. With a sign: a pair that was tested "
        "(▲ better, ▼ worse, = equivalent, ? undecided), and its p corrected for all pairs. Without: not tested, "
        "a difference of means and nothing more."
    )
    if len(rows) > len(shown):
        caption += f" {len(shown)} of {len(rows)} rows are shown."
    tested = sum(1 for pair in pairs if pair[0] in score and pair[1] in score) // 2
    return Differences(
        name="differences",
        title="Differences between rows",
        caption=caption,
        alt=f"Matrix of the differences between {len(labels)} rows; {plural(tested, 'pair')} tested.",
        rows=labels,
        columns=labels,
        corner="row minus column",
        largest=max((abs(cell.value) for line in cells for cell in line if cell), default=0.0),
        cells=cells,
    )


def _difference_cell(plain: float, pair: TestedPair | None) -> Cell:
    if pair is None:
        return Cell(plain, signed(plain), tested=False)
    text = f"{signed(pair.difference)} {VERDICT_SIGNS[pair.verdict]}"
    return Cell(pair.difference, text, p_text(pair.p), strong=pair.verdict in ("better", "worse"))


def p_text(p: float | None) -> str:
    """`p = 0.034`, `p < 0.001`, or nothing."""
    if p is None:
        return ""
    text = words.probability(p)
    return f"p {text}" if text[0] in "<>" else f"p = {text}"


# -- classes ------------------------------------------------------------------------------------------


def summed_confusion(runs: Sequence[RunRecord]) -> Counts | None:
    """Confusion matrix `(C, C)` of the test split, summed over completed runs."""
    tested = [run.metrics.test for run in runs]
    found = [np.asarray(m.confusion_matrix) for m in tested if isinstance(m, Metrics) and m.confusion_matrix]
    found = [matrix for matrix in found if matrix.ndim == 2]
    return sum(found[1:], found[0]) if found and len({m.shape for m in found}) == 1 else None


def class_scores(matrix: Counts) -> dict[str, NDArray[np.float64]]:
    """Precision, recall and F1 of each class `(C,)`; NaN where a class was never predicted or is absent."""
    right = np.diag(matrix).astype(float)
    predicted, actual = matrix.sum(axis=0), matrix.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "precision": np.where(predicted > 0, right / predicted, np.nan),
            "recall": np.where(actual > 0, right / actual, np.nan),
            "f1": np.where(predicted + actual > 0, 2 * right / (predicted + actual), np.nan),
        }


def class_matrix(view: View) -> Classes | None:
    """F1 of each class for each row, seeds taken together."""
    found = {row.label: summed_confusion(view.groups[row.label]) for row in view.scored}
    matrices = {label: matrix for label, matrix in found.items() if matrix is not None}
    if not matrices:
        return None
    labels = list(matrices)[:MOST_CLASS_COLUMNS]
    size = len(matrices[labels[0]])
    names = view.class_names[:size]
    f1 = {label: class_scores(matrices[label])["f1"] for label in labels}
    support = matrices[labels[0]].sum(axis=1) // _tested_runs(view, labels[0])
    hardest = _hardest(np.stack([f1[label] for label in labels]))
    caption = "F1 of each class in percent, over all seeds together. In brackets: test examples of the class."
    if len(matrices) > len(labels):
        caption += f" {len(labels)} of {len(matrices)} rows are shown, highest first."
    return Classes(
        name="classes",
        title="Results by class",
        caption=caption,
        alt=f"Matrix of F1 for {plural(size, 'class', 'classes')} and {plural(len(labels), 'row')}."
        + (f" Hardest on average: {names[hardest]}." if hardest is not None else ""),
        rows=[f"{name} ({int(n):,})" for name, n in zip(names, support, strict=True)],
        columns=labels,
        corner="class",
        cells=[[share_cell(float(f1[label][i])) for label in labels] for i in range(size)],
    )


def _hardest(f1: NDArray[np.float64]) -> int | None:
    """The class of the lowest mean F1 over rows, of `(rows, C)`; one that has no F1 in any row is not counted."""
    known = ~np.isnan(f1)
    counted = np.flatnonzero(known.any(axis=0))
    if not len(counted):
        return None
    means = np.where(known, f1, 0.0).sum(axis=0)[counted] / known.sum(axis=0)[counted]
    return int(counted[np.argmin(means)])


def _tested_runs(view: View, label: str) -> int:
    return max(1, sum(1 for run in view.groups[label] if run.metrics.test is not None))


def share_cell(value: float) -> Cell:
    """A share of 1 in percent; NaN is none."""
    return Cell(0.0 if np.isnan(value) else value, _percent(value))


def confusion_matrices(view: View) -> list[Confusion]:
    """One a row of the study, in the order of the scores."""
    summed = [(row.label, summed_confusion(view.groups[row.label])) for row in view.scored]
    return [
        _confusion(view, label, matrix, place)
        for place, (label, matrix) in enumerate(summed, start=1)
        if matrix is not None
    ]


def _confusion(view: View, label: str, matrix: Counts, place: int) -> Confusion:
    names = view.class_names[: len(matrix)]
    share = matrix / np.maximum(matrix.sum(axis=1), 1)[:, None]
    wrong = sorted(((int(matrix[i, j]), i, j) for i, j in np.argwhere(matrix > 0) if i != j), reverse=True)
    runs = _tested_runs(view, label)
    most = (
        f" Most frequent error: {names[wrong[0][1]]} taken for {names[wrong[0][2]]}, {wrong[0][0]:,} times."
        if wrong
        else ""
    )
    over = f", {runs} seeds together" if runs > 1 else ""
    return Confusion(
        name=f"confusion-{place:02d}",
        label=label,
        title=f"Confusion matrix of {label}",
        caption=f"Rows: true class. Columns: predicted class. Counts on the test split{over}.",
        alt=f"Confusion matrix of {label} on {plural(len(matrix), 'class', 'classes')}.{most}",
        rows=names,
        columns=names,
        corner="true \\ predicted",
        written=len(matrix) <= MOST_CELLS,
        cells=[
            [Cell(float(part), f"{int(n):,}") for part, n in zip(shares, counts, strict=True)]
            for shares, counts in zip(share, matrix, strict=True)
        ],
        confusions=[[names[i], names[j], f"{n:,}"] for n, i, j in wrong[:MOST_CONFUSIONS]],
        data=_by_class(names, matrix, runs),
    )


def _by_class(names: Sequence[str], matrix: Counts, runs: int) -> Data:
    """Support, precision, recall and F1 of each class."""
    scores = class_scores(matrix)
    actual = matrix.sum(axis=1) // runs
    return Data(
        ["class", "test examples", "precision %", "recall %", "F1 %"],
        [
            [name, f"{int(actual[i]):,}", *(_percent(float(scores[key][i])) for key in scores)]
            for i, name in enumerate(names)
        ],
    )


def _percent(share: float) -> str:
    return words.NOTHING if np.isnan(share) else f"{100 * share:.1f}"
