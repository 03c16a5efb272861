"""Differences between rows, and results by class, as matrices of plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from whichtune.records.record import Metrics, RunRecord
from whichtune.report import words
from whichtune.report.view import View
from whichtune.report.words import signed
from whichtune.wording import plural

MOST_COMPARED = 24  # rows in the difference matrix
MOST_CLASS_COLUMNS = 24  # rows of the study beside one another in the per-class table
MOST_CELLS = 12  # classes up to which a confusion matrix is written out cell by cell
MOST_CONFUSIONS = 12
VERDICT_SIGNS = {"better": "▲", "worse": "▼", "equivalent": "=", "undecided": "?"}


def matrix_figures(view: View) -> list[dict[str, Any]]:
    """Differences, results by class, and a confusion matrix a row."""
    figures = [difference_matrix(view), class_matrix(view)]
    return [figure for figure in figures if figure is not None] + confusion_matrices(view)


def tested_pairs(view: View) -> dict[tuple[str, str], dict[str, Any]]:
    """The comparisons by (row, column), each seen from both sides; differences in points."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    turned = {"better": "worse", "worse": "better"}
    for pair in (pair for pair in view.comparisons if pair.metric == view.metric):
        if pair.difference is None or pair.unit != "points":
            continue
        p, verdict = pair.p_adjusted, pair.verdict
        found[pair.a, pair.b] = {"value": pair.difference, "p": p, "verdict": verdict}
        found[pair.b, pair.a] = {"value": -pair.difference, "p": p, "verdict": turned.get(verdict, verdict)}
    return found


def p_text(p: float | None, name: str = "p") -> str:
    """`p = 0.034`, `p < 0.001`, or nothing."""
    if p is None:
        return ""
    return f"{name} < 0.001" if p < 0.001 else f"{name} > 0.99" if p > 0.99 else f"{name} = {p:.2g}"


def difference_matrix(view: View) -> dict[str, Any] | None:
    """Test score of each row minus each other row's, with the adjusted p of the pairs that were tested."""
    pairs = tested_pairs(view)
    rows = view.scored
    if len(rows) < 2:
        return None
    named = {label for pair in pairs for label in pair}
    marked = [row for row in rows if view.mark(row.label) in ("recommended", "best") or row.label in named]
    rest = [row for row in rows if row not in marked]
    shown = (marked + rest)[:MOST_COMPARED]
    shown.sort(key=rows.index)
    labels = [row.label for row in shown]
    score = {row.label: view.score(row) or 0.0 for row in shown}
    cells: list[list[dict[str, Any] | None]] = []
    for a in labels:
        cells.append([None if a == b else _difference_cell(score[a] - score[b], pairs.get((a, b))) for b in labels])
    caption = (
        f"Test {view.metric_name} of the row minus that of the column, in points. With a sign: a pair that was tested "
        "(▲ better, ▼ worse, = equivalent, ? undecided), and its p corrected for all pairs. Without: not tested, "
        "a difference of means and nothing more."
    )
    if len(rows) > len(shown):
        caption += f" {len(shown)} of {len(rows)} rows are shown."
    tested = sum(1 for pair in pairs if pair[0] in score and pair[1] in score) // 2
    return {
        "kind": "matrix",
        "name": "differences",
        "title": "Differences between rows",
        "caption": caption,
        "alt": f"Matrix of the differences between {len(labels)} rows; {plural(tested, 'pair')} tested.",
        "scale": "diverging",
        "rows": labels,
        "columns": labels,
        "corner": "row minus column",
        "largest": max((abs(cell["value"]) for line in cells for cell in line if cell), default=0.0),
        "cells": cells,
    }


def _difference_cell(plain: float, pair: dict[str, Any] | None) -> dict[str, Any]:
    if pair is None:
        return {"value": plain, "text": signed(plain), "note": "", "strong": False, "tested": False}
    sign = VERDICT_SIGNS.get(pair["verdict"], "?")
    return {
        "value": pair["value"],
        "text": f"{signed(pair['value'])} {sign}",
        "note": p_text(pair["p"]),
        "strong": pair["verdict"] in ("better", "worse"),
        "tested": True,
    }


def summed_confusion(runs: list[RunRecord]) -> np.ndarray | None:
    """Confusion matrix `(C, C)` of the test split, summed over completed runs."""
    tested = [run.metrics.test for run in runs]
    found = [np.asarray(m.confusion_matrix) for m in tested if isinstance(m, Metrics) and m.confusion_matrix]
    found = [matrix for matrix in found if matrix.ndim == 2]
    return sum(found[1:], found[0]) if found and len({m.shape for m in found}) == 1 else None


def class_scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 of each class `(C,)`; NaN where a class was never predicted or is absent."""
    right = np.diag(matrix).astype(float)
    predicted, actual = matrix.sum(axis=0), matrix.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "precision": np.where(predicted > 0, right / predicted, np.nan),
            "recall": np.where(actual > 0, right / actual, np.nan),
            "f1": np.where(predicted + actual > 0, 2 * right / (predicted + actual), np.nan),
        }


def class_matrix(view: View) -> dict[str, Any] | None:
    """F1 of each class for each row, seeds taken together."""
    found = {row.label: summed_confusion(view.groups[row.label]) for row in view.scored}
    matrices = {label: matrix for label, matrix in found.items() if matrix is not None}
    if not matrices:
        return None
    labels = list(matrices)[:MOST_CLASS_COLUMNS]
    size = len(next(iter(matrices.values())))
    names = view.class_names[:size]
    f1 = {label: class_scores(matrices[label])["f1"] for label in labels}
    support = _support(matrices[labels[0]], view, labels[0])
    cells = [[_share_cell(f1[label][i]) for label in labels] for i in range(size)]
    hardest = int(np.nanargmin(np.nanmean(np.stack([f1[label] for label in labels]), axis=0)))
    caption = "F1 of each class in percent, over all seeds together. In brackets: test examples of the class."
    if len(matrices) > len(labels):
        caption += f" {len(labels)} of {len(matrices)} rows are shown, highest first."
    return {
        "kind": "matrix",
        "name": "classes",
        "title": "Results by class",
        "caption": caption,
        "alt": f"Matrix of F1 for {plural(size, 'class', 'classes')} and {plural(len(labels), 'row')}. "
        f"Hardest on average: {names[hardest]}.",
        "scale": "sequential",
        "rows": [f"{name} ({n:,})" for name, n in zip(names, support, strict=True)],
        "columns": labels,
        "corner": "class",
        "cells": cells,
    }


def _support(matrix: np.ndarray, view: View, label: str) -> list[int]:
    runs = sum(1 for run in view.groups[label] if run.metrics.test is not None)
    return [int(total) // max(1, runs) for total in matrix.sum(axis=1)]


def _share_cell(value: float) -> dict[str, Any] | None:
    if np.isnan(value):
        return {"value": 0.0, "text": words.NOTHING, "note": "", "strong": False, "tested": True}
    return {"value": float(value), "text": f"{100 * value:.1f}", "note": "", "strong": False, "tested": True}


def confusion_matrices(view: View) -> list[dict[str, Any]]:
    """One a row of the study, in the order of the scores."""
    figures = []
    for place, row in enumerate(view.scored):
        matrix = summed_confusion(view.groups[row.label])
        if matrix is not None:
            figures.append(_confusion(view, row.label, matrix, place))
    return figures


def _confusion(view: View, label: str, matrix: np.ndarray, place: int) -> dict[str, Any]:
    names = view.class_names[: len(matrix)]
    actual = matrix.sum(axis=1)
    share = matrix / np.maximum(actual, 1)[:, None]
    scores = class_scores(matrix)
    wrong = [(int(matrix[i, j]), i, j) for i, j in np.argwhere(matrix > 0) if i != j]
    wrong.sort(reverse=True)
    runs = sum(1 for run in view.groups[label] if run.metrics.test is not None)
    over = f", {runs} seeds together" if runs > 1 else ""
    most = (
        f" Most frequent error: {names[wrong[0][1]]} taken for {names[wrong[0][2]]}, {wrong[0][0]:,} times."
        if wrong
        else ""
    )
    small = len(matrix) <= MOST_CELLS
    return {
        "kind": "confusion",
        "name": f"confusion-{place + 1:02d}",
        "label": label,
        "title": f"Confusion matrix of {label}",
        "caption": f"Rows: true class. Columns: predicted class. Counts on the test split{over}.",
        "alt": f"Confusion matrix of {label} on {plural(len(matrix), 'class', 'classes')}.{most}",
        "scale": "sequential",
        "rows": names,
        "columns": names,
        "corner": "true \\ predicted",
        "written": small,
        "cells": [
            [{"value": float(share[i, j]), "text": f"{int(matrix[i, j]):,}"} for j in range(len(matrix))]
            for i in range(len(matrix))
        ],
        "confusions": [[names[i], names[j], f"{n:,}"] for n, i, j in wrong[:MOST_CONFUSIONS]],
        "table": {
            "header": ["class", "test examples", "precision %", "recall %", "F1 %"],
            "rows": [
                [name, f"{int(actual[i]) // max(1, runs):,}", *(_percent(scores[key][i]) for key in scores)]
                for i, name in enumerate(names)
            ],
        },
    }


def _percent(value: float) -> str:
    return words.NOTHING if np.isnan(value) else f"{100 * value:.1f}"
