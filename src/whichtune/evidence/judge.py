"""What the runs of a study show: comparisons of its declared pairs, and a verdict.

`judge` reads stored predictions only; it trains nothing, loads no torch and can be repeated on any
machine that has the study's folder. How each figure is computed: `docs/statistics.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whichtune.evidence import sentences
from whichtune.evidence.tuning_sentences import tuning_sentences
from whichtune.evidence.verdict import best_row, make_verdict
from whichtune.records.record import RunRecord
from whichtune.stats import comparing, holm_with_equivalence
from whichtune.stats.answers import ReadPredictions, Row, group, load_answers
from whichtune.stats.comparing import ALPHA, Declared, Tested
from whichtune.stats.figures import method_figures, run_figures
from whichtune.stats.pairs import StudyNoise
from whichtune.stats.results import Comparison, Evidence
from whichtune.stats.tuning import TuningFigures
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.roles import Role

__all__ = ["Evidence", "judge"]


def judge(
    study: ResolvedStudy,
    records: Sequence[RunRecord],
    read_predictions: ReadPredictions,
    tuning: TuningFigures | None = None,
) -> Evidence:
    """Intervals, comparisons and verdict of a resolved study.

    `study` names its primary metric; `read_predictions(run_id)` returns the table of
    `predictions.parquet`; `tuning` is what a search for settings showed. Raises DataError where runs were
    tested on different examples.
    """
    rows = group(records)
    test = load_answers(rows.values(), read_predictions, len(study.labels) or None)
    metric = study.primary_metric
    best = best_row(rows.values(), metric, study.selection_cost, study.require)
    baseline = find_baseline(study, rows)
    noise = comparing.study_noise(rows.values(), metric, test)
    noises: dict[str, StudyNoise] = {metric: noise}

    def run(pair: Declared) -> Tested:
        about = pair.metric or metric
        if about not in noises:
            noises[about] = comparing.study_noise(rows.values(), about, test)
        return comparing.run_declared(pair, rows, test, about, study.margin, noises[about])

    comparisons = []
    for family in families(study, rows, best, baseline):
        tested = [run(pair) for pair in family.pairs]
        comparisons += _corrected(tested, family.others)
    figures = [method_figures(row, test, metric, noise) for row in rows.values()]
    return Evidence(
        comparisons=comparisons,
        verdict=make_verdict(study, rows, test, best, baseline, comparisons, noise, tuning),
        runs=[] if test is None else [f for row in rows.values() for f in run_figures(row, test)],
        per_method=figures,
        tuning=tuning and tuning.model_copy(update={"sentences": tuning_sentences(tuning)}),
    )


@dataclass(frozen=True)
class Family:
    """Pairs that are corrected together; `others` counts those that could have been picked instead."""

    pairs: list[Declared]
    others: int = 0


def families(study: ResolvedStudy, rows: Mapping[str, Row], best: str | None, baseline: str | None) -> list[Family]:
    """The pairs to compare.

    Those that the study declares; otherwise every row against its baseline; otherwise the best row on
    validation against every other, which counts all pairs of rows since any row could have been best.
    Best against the baseline follows as a question of its own where it is not among them.
    """
    declared = [Declared.of(pair) for pair in study.pairs]
    named = study.baseline
    if not declared and named is not None:
        declared = [Declared(label, named) for label in rows if label != named]
    if declared:
        return [Family(declared), *_best_against_baseline(declared, rows, best, baseline, named is not None)]
    if best is None:
        return []
    able = sum(1 for row in rows.values() if row.answers)
    picked = [Declared(best, label, chosen=True) for label in rows if label != best]
    return [Family(picked, max(0, able * (able - 1) // 2 - (able - 1)))]


def _best_against_baseline(
    declared: list[Declared], rows: Mapping[str, Row], best: str | None, baseline: str | None, named: bool
) -> list[Family]:
    known = {frozenset((pair.a, pair.b)) for pair in declared}
    if best is None or baseline not in rows or baseline == best or frozenset((best, baseline)) in known:
        return []
    able = [row for row in rows.values() if row.answers]
    free = sum(row.role is Role.BASELINE for row in able)
    choices = len(able) - 1 if named else free * (len(able) - free)
    return [Family([Declared(best, str(baseline), declared=False, chosen=True)], max(0, choices - 1))]


def find_baseline(study: ResolvedStudy, rows: Mapping[str, Row]) -> str | None:
    """The study's baseline; where it names none, the model-free row that is best on validation."""
    if study.baseline is not None:
        return study.baseline
    free = [row for row in rows.values() if row.role is Role.BASELINE]
    return best_row(free, study.primary_metric, study.selection_cost)


def _corrected(tested: Sequence[Tested], others: int) -> list[Comparison]:
    """All claims of a family together, then each pair's verdict and paragraph.

    Rows that are compared by one metric for several claims, either way round, are one question and counted once.
    """
    questions = {_question(one): one.comparison for one in tested}
    differences, equivalences = holm_with_equivalence(
        [each.p for each in questions.values()], [each.p_equivalence for each in questions.values()], others
    )
    corrected = dict(zip(questions, zip(differences, equivalences, strict=True), strict=True))
    family = sum(1 for each in questions.values() if each.p is not None) + others
    finished = []
    for one in tested:
        result = comparing.decide(one, *corrected[_question(one)], family)
        finished.append(result.model_copy(update={"sentence": sentences.comparison_paragraph(result, ALPHA)}))
    return finished


def _question(tested: Tested) -> tuple[frozenset[str], str]:
    return frozenset((tested.comparison.a, tested.comparison.b)), tested.comparison.metric
