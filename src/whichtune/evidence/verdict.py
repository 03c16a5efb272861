"""The study's verdict: which row to use, by the printed rule, and what must be read with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from whichtune.evidence import sentences
from whichtune.evidence.tuning_sentences import crossing_sentence, tuning_limits, tuning_warnings
from whichtune.evidence.warnings import margin_warning, repeats_warning
from whichtune.metrics import METRICS
from whichtune.stats.answers import Row, TestSet, common_seeds
from whichtune.stats.comparing import ALPHA, POINT, compare_metric
from whichtune.stats.pairs import PairTest, StudyNoise
from whichtune.stats.results import CandidateFigures, Comparison, Verdict, in_text
from whichtune.stats.selection import Candidate, Selection, best_on_validation, select
from whichtune.stats.tuning import TuningFigures
from whichtune.study.recorded import Recorded
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.roles import Role
from whichtune.wording import listing, plural


def candidates(rows: Iterable[Row], metric: str, cost: str) -> list[Candidate]:
    """Rows that completed with a validation figure (negated where less is better, so that larger is)."""
    found = []
    for row in rows:
        validation = row.mean_metric("validation", metric)
        if row.can(metric) and validation is not None:
            found.append(Candidate(row.label, _sign(metric) * validation, row.costs.get(cost)))
    return found


def _sign(metric: str) -> float:
    return 1.0 if METRICS[metric].higher_is_better else -1.0


def _shown(metric: str, value: float) -> float:
    """A figure as it is told: points, or nats as they are."""
    return value / POINT if METRICS[metric].unit == "points" else value


def best_row(rows: Iterable[Row], metric: str, cost: str) -> str | None:
    """The label that is best on validation, None where no row completed."""
    able = candidates(rows, metric, cost)
    return best_on_validation(able).label if able else None


def make_verdict(
    study: ResolvedStudy,
    rows: Mapping[str, Row],
    test: TestSet | None,
    best: str | None,
    baseline: str | None,
    comparisons: Sequence[Comparison],
    noise: StudyNoise,
    tuning: TuningFigures | None = None,
) -> Verdict:
    """Apply the selection rule and put the sentences together."""
    metric, cost, margin = study.primary_metric, study.selection_cost, study.margin
    blank = Verdict(
        recommended=None,
        best=best,
        baseline=baseline,
        metric=metric,
        margin=margin,
        selection_cost=cost,
        rule=sentences.rule_text(cost, margin),
        headline="No run completed, so there is no verdict.",
        paragraphs=[c.sentence for c in comparisons if c.declared],
        warnings=[*_warnings(rows, test, comparisons, margin), *(tuning_warnings(tuning) if tuning else [])],
    )
    if best is None or test is None:
        return blank
    tests = _against_best(rows, test, metric, best, margin, noise)
    chosen = select(
        candidates(rows.values(), metric, cost), {label: t.p_not_worse for label, t in tests.items()}, ALPHA
    )
    undecided = [j.label for j in chosen.candidates if j.standing in ("undecided", "not tested")]
    figures = _candidate_figures(chosen, rows, test, metric, tests)
    reasons = [
        sentences.candidate_sentence(f.label, f.standing, best, f.difference, margin)
        for f in figures
        if f.standing != "not cheaper"
    ]
    crossings = [crossing_sentence(crossing, metric) for crossing in (tuning.crossings if tuning else [])]
    update = {
        "recommended": chosen.recommended,
        "headline": sentences.headline(
            chosen.recommended, best, undecided, margin, any(j.standing == "shown worse" for j in chosen.candidates)
        ),
        "reasons": reasons + crossings,
        "candidates": figures,
        "undecided_cheaper": undecided if chosen.recommended == best else [],
        "against_baseline": _against_baseline(best, baseline, rows, comparisons),
        "does_not_show": [*_limits(rows, tests, best, chosen), *(tuning_limits(tuning) if tuning else [])],
    }
    return blank.model_copy(update=update)


def _against_best(
    rows: Mapping[str, Row], test: TestSet, metric: str, best: str, margin: float, noise: StudyNoise
) -> dict[str, PairTest]:
    """Each other completed row against the best, on test: the row minus the best, or where less is better the best
    minus the row, so that a positive difference is always in the row's favour."""
    tests = {}
    for label, row in rows.items():
        seeds = common_seeds(row, rows[best]) if row.can(metric) else []
        if label == best or not seeds:
            continue
        a, b = row.scores(metric, test, seeds), rows[best].scores(metric, test, seeds)
        first, second = (a, b) if METRICS[metric].higher_is_better else (b, a)
        tests[label] = compare_metric(first, second, metric, margin, noise)
    return tests


def _candidate_figures(
    chosen: Selection, rows: Mapping[str, Row], test: TestSet, metric: str, tests: Mapping[str, PairTest]
) -> list[CandidateFigures]:
    figures, sign = [], _sign(metric)
    for judged in chosen.candidates:
        row, against = rows[judged.label], tests.get(judged.label)
        table = row.scores(metric, test, row.seeds).per_seed
        figures.append(
            CandidateFigures(
                label=judged.label,
                standing=judged.standing,
                validation=_shown(metric, sign * judged.validation),
                test=_shown(metric, float(table.mean())),
                cost=judged.cost,
                difference=None if against is None else _shown(metric, sign * against.difference),
                lower_bound=None
                if against is None or against.interval_90 is None
                else _shown(metric, sign * against.interval_90[0]),
                p=judged.p,
                p_adjusted=judged.p_adjusted,
            )
        )
    infinite = float("inf")
    return sorted(figures, key=lambda f: (infinite if f.cost is None else f.cost, f.label))


def _against_baseline(
    best: str, baseline: str | None, rows: Mapping[str, Row], comparisons: Sequence[Comparison]
) -> str | None:
    if baseline is None:
        return None
    if best == baseline:
        kind = "a row without a language model" if rows[best].role is Role.BASELINE else "the baseline"
        return f"{in_text(best)}, {kind}, is itself the best on validation."
    for comparison in comparisons:
        if {comparison.a, comparison.b} == {best, baseline} and comparison.unit == "points":
            return comparison.sentence
    return None


def _warnings(
    rows: Mapping[str, Row], test: TestSet | None, comparisons: Sequence[Comparison], margin: float
) -> list[str]:
    """What a reader must know before the verdict."""
    warnings = []
    failed = [row for row in rows.values() if row.failed]
    for row in failed:
        total = len(row.failed) + len(row.completed)
        warnings.append(f"{len(row.failed)} of {plural(total, 'run')} of {in_text(row.label)} did not complete.")
    if test is None:
        return warnings
    seeds = max((len(row.answers) for row in rows.values() if not row.deterministic), default=0)
    if seeds == 1:
        warnings.append(
            "One seed: how much another seed would change the figures is unknown, so trained models are "
            "compared, not methods."
        )
    elif seeds == 2:
        warnings.append("Two seeds: too few for intervals or tests of methods; three are the least.")
    found = [margin_warning(comparisons, test.n, margin), repeats_warning(test)]
    warnings += [sentence for sentence in found if sentence is not None]
    return warnings


def _limits(rows: Mapping[str, Row], tests: Mapping[str, PairTest], best: str, chosen: Selection) -> list[str]:
    """What the verdict does not show, so that it is not taken for more."""
    limits = []
    if any(t.inference == "methods" and t.test != "none" for t in tests.values()):
        limits.append("Statements about methods hold for new seeds and new examples, with this training split.")
    limits.append("Another training split, data set or model may order the rows differently.")
    untuned = [
        in_text(row.label)
        for row in rows.values()
        if row.role is not Role.BASELINE
        and any(Recorded.of(run.spec).learning_rate_source == "card" for run in row.completed.values())
    ]
    if untuned:
        which = listing(untuned)
        limits.append(
            f"The learning rate of {which} is the method's default, not tuned on this data: a tuned one may do better."
        )
    if len(chosen.candidates) > 1:
        limits.append(
            f"{in_text(best)} was picked by its validation figures, so its test figure may owe a little to lucky "
            "seeds; "
            "this makes it harder, not easier, for a cheaper row to be recommended."
        )
    return limits
