"""What the runs of a study show: comparisons of its declared pairs, and a verdict.

`judge` reads stored predictions only; it trains nothing, loads no torch and can be repeated on any
machine that has the study's folder. How each figure is computed: `docs/statistics.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whichtune.records import RunRecord
from whichtune.report import interpret
from whichtune.stats import comparing, holm_with_equivalence
from whichtune.stats.answers import ReadPredictions, Row, TestSet, group, load_answers
from whichtune.stats.comparing import ALPHA, Declared, Tested
from whichtune.stats.figures import method_figures, run_figures
from whichtune.stats.results import Comparison, Evidence
from whichtune.verdict import best_row, make_verdict

__all__ = ["Evidence", "judge"]


def judge(study: Mapping[str, Any], records: Sequence[RunRecord], read_predictions: ReadPredictions) -> Evidence:
    """Intervals, comparisons and verdict of a resolved study.

    `study` is the resolved study as in `study.json`; `read_predictions(run_id)` returns the table of
    `predictions.parquet`. Raises DataError where runs were tested on different examples.
    """
    rows = group(records)
    classes = len(study.get("labels") or []) or None
    test = load_answers(rows.values(), read_predictions, classes)
    metric = primary_metric(study, test)
    best = best_row(rows.values(), metric, str(study.get("selection_cost") or "train_seconds"))
    declared, others = declared_pairs(study, rows, best)
    margin = float(study.get("margin") or 1.0)
    noise = comparing.study_noise(rows.values(), metric, test)
    tested = [comparing.run_declared(pair, rows, test, metric, margin, noise) for pair in declared]
    comparisons = _corrected(tested, others)
    figures = [method_figures(row, test, metric, noise) for row in rows.values()]
    return Evidence(
        comparisons=comparisons,
        verdict=make_verdict(study, rows, test, metric, best, comparisons, noise),
        runs=[] if test is None else [f for row in rows.values() for f in run_figures(row, test)],
        per_method=figures,
    )


def primary_metric(study: Mapping[str, Any], test: TestSet | None) -> str:
    """The study's metric; `auto` is accuracy, or macro F1 where one class exceeds 60 % of the test."""
    metric = str(study.get("primary_metric") or "accuracy")
    if metric != "auto":
        return metric
    if test is None:
        return "accuracy"
    largest = max(int((test.labels == c).sum()) for c in range(test.classes)) / test.n
    return "f1_macro" if largest > 0.6 else "accuracy"


def declared_pairs(study: Mapping[str, Any], rows: Mapping[str, Row], best: str | None) -> tuple[list[Declared], int]:
    """The pairs to compare, and how many more could have been chosen after seeing validation.

    Those the study declares; otherwise every row against its baseline; otherwise the best row on
    validation against every other, which counts all pairs of rows since any row could have been best.
    Best against the baseline is added where it is not among them.
    """
    baseline = study.get("baseline")
    given = [Declared.of(pair) for pair in study.get("pairs") or []]
    if given:
        return _with_best_against_baseline(given, rows, best, baseline)
    if baseline is not None:
        return [Declared(label, baseline) for label in rows if label != baseline], 0
    if best is None:
        return [], 0
    chosen = [Declared(best, label, chosen=True) for label in rows if label != best]
    able = sum(1 for row in rows.values() if row.predictions)
    return chosen, max(0, able * (able - 1) // 2 - (able - 1))


def _with_best_against_baseline(
    given: list[Declared], rows: Mapping[str, Row], best: str | None, baseline: str | None
) -> tuple[list[Declared], int]:
    known = {frozenset((pair.a, pair.b)) for pair in given}
    if best is None or baseline not in rows or baseline == best or frozenset((best, baseline)) in known:
        return given, 0
    could_be_best = [
        label
        for label, row in rows.items()
        if row.predictions and label != baseline and frozenset((label, baseline)) not in known
    ]
    return [*given, Declared(best, str(baseline), declared=False, chosen=True)], max(0, len(could_be_best) - 1)


def _corrected(tested: Sequence[Tested], others: int) -> list[Comparison]:
    """All claims of a study in one family, then each pair's verdict and paragraph."""
    differences, equivalences = holm_with_equivalence(
        [t.comparison.p for t in tested], [t.comparison.p_equivalence for t in tested], others
    )
    family = sum(1 for t in tested if t.comparison.p is not None) + others
    finished = []
    for one, p, p_equivalence in zip(tested, differences, equivalences, strict=True):
        result = comparing.decide(one, p, p_equivalence, family)
        finished.append(result.model_copy(update={"sentence": interpret.comparison_paragraph(result, ALPHA)}))
    return finished
