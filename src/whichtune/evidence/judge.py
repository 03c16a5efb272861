"""What the runs of a study show: comparisons of its declared pairs, and a verdict.

`judge` reads stored predictions only; it trains nothing, loads no torch and can be repeated on any
machine that has the study's folder. How each figure is computed: `docs/statistics.md`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from pydantic import JsonValue

from whichtune.evidence import sentences
from whichtune.evidence.learning import learning_figures, smaller_rows
from whichtune.evidence.question_sentences import answer_of, question_of
from whichtune.evidence.questions import asked_between, natural_questions
from whichtune.evidence.tuning_sentences import tuning_sentences
from whichtune.evidence.verdict import asked_regret, best_row, fixed_seeds, make_verdict, outside
from whichtune.records.record import RunRecord
from whichtune.stats import comparing
from whichtune.stats.answers import ReadPredictions, Row, group, load_answers
from whichtune.stats.asked import Asked
from whichtune.stats.choice import Weighed, choose_row, weigh
from whichtune.stats.comparing import ALPHA, Declared, Tested
from whichtune.stats.costs import seconds_of_run
from whichtune.stats.family import Adjusted, Question, correct, question
from whichtune.stats.figures import method_figures, run_figures
from whichtune.stats.noise import Prior
from whichtune.stats.results import Comparison, Evidence
from whichtune.stats.results import Question as Answered
from whichtune.stats.rounds import Round, next_round
from whichtune.stats.trials import POINT, Trials
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
    return judge_trials(study, trials_of(study, records, read_predictions), tuning)


def judge_trials(study: ResolvedStudy, trials: Trials, tuning: TuningFigures | None = None) -> Evidence:
    """`judge` of rows whose answers are read already. Rows that train on a part of the texts are points of learning
    curves: rows on the most texts alone are compared and recommended."""
    whole, trials = trials, trials.without(smaller_rows(study, trials.rows))
    rows, test, metric = trials.rows, trials.test, study.primary_metric
    best = best_row(rows.values(), metric, study.selection_cost, study.require)
    baseline = find_baseline(study, rows)
    weighed = weighed_rows(study, trials)
    choice = None if weighed is None else choose_row(trials, metric, weighed)
    leader = best if choice is None else choice.leader
    comparisons = [
        comparison
        for family in families(study, trials, leader, baseline)
        for comparison in _corrected(family, trials.fixed or trials, metric)
    ]
    return Evidence(
        comparisons=comparisons,
        verdict=make_verdict(study, trials, choice, best, baseline, comparisons, tuning),
        questions=answered_questions(study, trials, comparisons),
        runs=[] if test is None else [f for row in whole.rows.values() for f in run_figures(row, test, study.asked)],
        per_method=[method_figures(row, test, metric, whole.noise(metric)) for row in whole.rows.values()],
        learning=learning_figures(study, whole),
        tuning=tuning and tuning.model_copy(update={"sentences": tuning_sentences(tuning)}),
    )


def answered_questions(study: ResolvedStudy, trials: Trials, comparisons: Sequence[Comparison]) -> list[Answered]:
    """The pairs that the study declares; where it declares none, those that its rows ask by how they differ."""
    if trials.test is None:
        return []
    if study.pairs:
        tested = [pair for pair in comparisons if pair.declared]
        asked = [asked_between(trials.rows[pair.a], trials.rows[pair.b]) for pair in tested]
    else:
        asked = natural_questions(trials.rows)
        family = Family([Declared(one.a, one.b, declared=False) for one in asked])
        tested = _corrected(family, trials.fixed or trials, study.primary_metric)
    same = Counter((one.topic, one.values) for one in asked)
    return [
        Answered(
            topic=one.topic,
            question=question_of(one),
            sentence=answer_of(one, result, one.values is not None and same[one.topic, one.values] > 1),
            comparison=result,
        )
        for one, result in zip(asked, tested, strict=True)
    ]


def judge_round(study: ResolvedStudy, records: Sequence[RunRecord], read_predictions: ReadPredictions) -> Round:
    """Which rows of a study that decides get another seed. The arguments are those of `judge`."""
    trials = trials_of(study, records, read_predictions)
    trials = trials.without(smaller_rows(study, trials.rows))
    weighed = weighed_rows(study, trials)
    if study.decide is None or weighed is None:
        return Round(())
    spent = sum(seconds_of_run(run.cost) or 0.0 for row in trials.rows.values() for run in row.completed.values())
    left = None if study.decide.seconds is None else study.decide.seconds - spent
    return next_round(weighed, trials, study.primary_metric, study.decide.max_seeds, left)


def trials_of(study: ResolvedStudy, records: Sequence[RunRecord], read_predictions: ReadPredictions) -> Trials:
    """The study's rows with their test answers."""
    rows = group(records)
    common = len({str(_data(record).get("duplicates")) for record in records}) > 1
    asked, classes = Asked.of(study, study.labels), len(study.labels) or None
    test = load_answers(rows.values(), read_predictions, classes, study.data.varies, asked, common)
    belief = Prior(study.prior_seed_sd * POINT, study.prior_weight)
    trials = Trials(rows, test, study.margin, belief, primary=study.primary_metric)
    fixed = fixed_seeds(study)
    if fixed is not None and test is not None:
        trials.fixed = trials.at_seeds(fixed)
    return trials


def _data(record: RunRecord) -> dict[str, JsonValue]:
    """The settings of the data that a run was made with."""
    found = record.spec.get("data")
    return found if isinstance(found, dict) else {}


def weighed_rows(study: ResolvedStudy, trials: Trials) -> Weighed | None:
    """What choosing each row that keeps what is required is expected to cost."""
    rows, cost = trials.rows, study.selection_cost
    left_out = outside(rows.values(), study.require)
    costs = {label: row.costs.get(cost) for label, row in rows.items()}
    allowed = [label for label in rows if label not in left_out]
    return weigh(trials, study.primary_metric, costs, allowed, asked_regret(study))


@dataclass(frozen=True)
class Family:
    """Pairs that are corrected together.

    `beside` are pairs of rows that could have been picked instead, `others` counts more of these, and `against` is the
    row that all are compared with where `others` are, too.
    """

    pairs: list[Declared]
    beside: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0
    against: str | None = None


def families(study: ResolvedStudy, trials: Trials, leader: str | None, baseline: str | None) -> list[Family]:
    """The pairs to compare.

    Those that the study declares; otherwise every row against its baseline; otherwise the leading row against every
    other, which counts all pairs of rows since any row could have led. The leader against the baseline
    follows as a question of its own where it is not among them.
    """
    rows, metric = trials.rows, study.primary_metric
    declared = [Declared.of(pair) for pair in study.pairs]
    named = study.baseline
    if not declared and named is not None:
        declared = [Declared(label, named) for label in rows if label != named]
    if declared:
        return [Family(declared), *_leader_against_baseline(declared, rows, leader, baseline, named is not None)]
    if leader is None:
        return []
    picked = [Declared(leader, label, chosen=True) for label in rows if label != leader]
    able = trials.able(metric)
    return [Family(picked, [pair for pair in combinations(able, 2) if leader not in pair])]


def _leader_against_baseline(
    declared: list[Declared], rows: Mapping[str, Row], leader: str | None, baseline: str | None, named: bool
) -> list[Family]:
    known = {frozenset((pair.a, pair.b)) for pair in declared}
    if leader is None or baseline not in rows or baseline == leader or frozenset((leader, baseline)) in known:
        return []
    able = [row for row in rows.values() if row.answers]
    free = sum(row.role is Role.BASELINE for row in able)
    choices = len(able) - 1 if named else free * (len(able) - free)
    pair = Declared(leader, str(baseline), declared=False, chosen=True)
    return [Family([pair], others=max(0, choices - 1), against=baseline if named else None)]


def find_baseline(study: ResolvedStudy, rows: Mapping[str, Row]) -> str | None:
    """The study's baseline; where it names none, the model-free row that is best on validation."""
    if study.baseline is not None:
        return study.baseline
    free = [row for row in rows.values() if row.role is Role.BASELINE]
    return best_row(free, study.primary_metric, study.selection_cost)


def _corrected(family: Family, trials: Trials, metric: str) -> list[Comparison]:
    """All claims of a family together, then each pair's verdict and paragraph.

    Rows that are compared by one metric for several claims, either way round, are one question and counted once.
    """
    tested, adjusted = _of_family(family, trials, metric)
    fresh = trials.fresh()
    again = _of_family(family, fresh, metric) if fresh is not None else None
    finished = []
    for place, one in enumerate(tested):
        result = comparing.decide(one, adjusted.get(_question(one)))
        if again is not None:
            other = again[0][place]
            without = comparing.without_duplicates(result, other, again[1].get(_question(other)))
            result = result.model_copy(update={"without_duplicates": without})
        finished.append(result.model_copy(update={"sentence": sentences.comparison_paragraph(result, ALPHA)}))
    return finished


def _of_family(family: Family, trials: Trials, metric: str) -> tuple[list[Tested], dict[Question, Adjusted]]:
    """Every pair's test on these examples, and their p values corrected together."""
    tested = [comparing.run_declared(pair, trials, pair.metric or metric) for pair in family.pairs]
    asked = [(one.comparison.a, one.comparison.b, one.comparison.metric) for one in tested]
    beside = [(a, b, metric) for a, b in family.beside]
    return tested, correct(trials, asked, beside, family.others, family.against)


def _question(tested: Tested) -> Question:
    return question(tested.comparison.a, tested.comparison.b, tested.comparison.metric)
