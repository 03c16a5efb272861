"""From a declared pair to a `Comparison`: test, decision, costs, confounds and the published claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from whichtune.errors import SettingError
from whichtune.metrics import METRICS
from whichtune.registry import did_you_mean
from whichtune.stats.answers import Row, TestSet, common_seeds
from whichtune.stats.confounds import Differences, find_differences
from whichtune.stats.costs import Count, cost_ratios
from whichtune.stats.pairs import TEST_NAMES, PairTest, StudyNoise, compare_scores
from whichtune.stats.results import Comparison, Power, Verdict4, WithoutDuplicates, in_text
from whichtune.stats.scores import Scores
from whichtune.study.published import Published
from whichtune.study.roles import Role
from whichtune.study.spec import Pair

ALPHA = 0.05
POINT = 0.01


@dataclass(frozen=True)
class Declared:
    """A pair to compare. `chosen` pairs were picked after seeing validation figures."""

    a: str
    b: str
    factor: str | None = None
    claim: str | None = None
    published: Published | None = None
    declared: bool = True
    chosen: bool = False
    metric: str | None = None

    @classmethod
    def of(cls, pair: Pair) -> Declared:
        return cls(pair.a, pair.b, pair.factor, pair.claim, pair.published, metric=pair.metric)


@dataclass(frozen=True)
class Tested:
    """A comparison before correction, with its test, None where nothing could be tested."""

    comparison: Comparison
    pair: PairTest | None


def run_declared(
    pair: Declared,
    rows: Mapping[str, Row],
    test: TestSet | None,
    metric: str,
    margin: float,
    study: StudyNoise,
) -> Tested:
    """Test one pair. `margin` in points. Raises SettingError for a label that is no row of the study."""
    for label in (pair.a, pair.b):
        if label not in rows:
            raise SettingError(f"A declared pair names '{label}', which is no row: {did_you_mean(label, rows)}")
    a, b = rows[pair.a], rows[pair.b]
    found = _differences(a, b, pair.factor)
    blank = Comparison(
        a=a.label,
        b=b.label,
        metric=metric,
        unit=METRICS[metric].unit,
        verdict="not_tested",
        margin=margin if METRICS[metric].unit == "points" else None,
        cost_ratios=cost_ratios(a.costs, b.costs),
        declared=pair.declared,
        chosen=pair.chosen,
        factor=found.factor,
        differs=found.differs,
        confounds=found.confounds,
        claim=pair.claim,
        published=pair.published,
    )
    seeds = common_seeds(a, b) if a.can(metric) and b.can(metric) else []
    if test is None or not seeds:
        return Tested(blank.model_copy(update={"notes": [_why_not(a, b, metric)]}), None)
    if a.run_ids == b.run_ids:
        said = "Not compared: both rows are the same runs, since their settings came to the same."
        return Tested(blank.model_copy(update={"notes": [said]}), None)
    scores = a.scores(metric, test, seeds), b.scores(metric, test, seeds)
    result = compare_metric(scores[0], scores[1], metric, margin, study)
    notes = [*_seed_notes(a, b, seeds, result, metric), *_named(found)]
    update = _figures(result, seeds, test, metric) | {"notes": notes}
    update |= _without_duplicates(scores, test, metric, margin, result)
    return Tested(blank.model_copy(update=update), result)


def compare_metric(a: Scores, b: Scores, metric: str, margin: float, study: StudyNoise) -> PairTest:
    """`compare_scores` with the margin in points, which a metric in nats has none of."""
    limit = margin * POINT if METRICS[metric].unit == "points" else None
    return compare_scores(a, b, limit, METRICS[metric].resampling == "proportion", study)


def study_noise(rows: Iterable[Row], metric: str, test: TestSet | None) -> StudyNoise:
    """Seed noise of all rows that completed."""
    able = [] if test is None else [row.scores(metric, test, row.seeds) for row in rows if row.can(metric)]
    return StudyNoise.of(able)


def decide(tested: Tested, p: float | None, p_equivalence: float | None, family: int) -> Comparison:
    """The verdict from corrected p values. A pair that was not tested keeps its verdict."""
    result, pair = tested.comparison, tested.pair
    if pair is None or result.difference is None:
        return result
    within = p_equivalence is not None and p_equivalence <= ALPHA
    verdict: Verdict4 = "equivalent" if within else "undecided"
    if p is not None and p <= ALPHA and result.difference != 0:
        ahead = (result.difference > 0) == METRICS[result.metric].higher_is_better
        verdict = "better" if ahead else "worse"
    update = {
        "p_adjusted": p,
        "p_equivalence_adjusted": p_equivalence,
        "verdict": verdict,
        "within_margin": within,
        "family": family,
        "power": _power(pair, verdict, family, result.unit),
    }
    decided = result.model_copy(update=update)
    return decided.model_copy(update={"agrees_with_published": agreement(decided)})


def agreement(result: Comparison) -> bool | None:
    """Whether our verdict agrees with the published direction; None where either leaves it open."""
    direction = result.published.direction if result.published else None
    if direction is None or result.verdict in ("undecided", "not_tested"):
        return None
    if direction == "equal":
        return result.verdict == "equivalent" or result.within_margin
    return result.verdict == direction


def _differences(a: Row, b: Row, factor: str | None) -> Differences:
    if Role.BASELINE in (a.role, b.role):
        kind = f"method ({a.method} against {b.method})"
        return Differences("method", (a.method, b.method), [kind], [], [])
    specs = [next(iter([*row.completed.values(), *row.failed])).spec for row in (a, b)]
    counts = [{key: row.median_count(key) for key in get_args(Count)} for row in (a, b)]
    return find_differences(
        specs[0] | {"method": a.method}, specs[1] | {"method": b.method}, factor, counts[0], counts[1]
    )


def _why_not(a: Row, b: Row, metric: str) -> str:
    """The sentence for a pair without two completed sides."""
    parts = []
    for row in (a, b):
        if row.can(metric):
            continue
        if row.answers:
            parts.append(f"{in_text(row.label)} has no {metric}")
            continue
        run = "its only run" if len(row.failed) == 1 else f"all {len(row.failed)} of its runs"
        reason = next((r.error for r in row.failed if r.error), None)
        status = {str(r.status).replace("_", " ") for r in row.failed}
        ended = f"{run} ended as {' and '.join(sorted(status))}" if row.failed else "it has no run"
        parts.append(
            f"{in_text(row.label)} has no result, since {ended}" + (f" ({reason.rstrip('.')})" if reason else "")
        )
    if not parts:
        return "Not compared: the two have no seed in common."
    return f"Not compared: {'; '.join(parts)}."


def _seed_notes(a: Row, b: Row, seeds: list[int | None], result: PairTest, metric: str) -> list[str]:
    notes = []
    for row in (a, b):
        if row.failed:
            total = len(row.failed) + len(row.completed)
            notes.append(f"{len(row.failed)} of {total} runs of {in_text(row.label)} did not complete.")
    if not a.deterministic and not b.deterministic and (len(a.seeds), len(b.seeds)) != (len(seeds),) * 2:
        which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(str(s) for s in seeds)}"
        notes.append(f"Only {which}, which both have, {'is' if len(seeds) == 1 else 'are'} compared.")
    for row, other in ((a, b), (b, a)):
        if row.deterministic and not other.deterministic:
            notes.append(f"{in_text(row.label)} draws nothing, so it is the same for every seed.")
    if len(seeds) == 2:
        scale, unit = METRICS[metric].scale, "%" if METRICS[metric].unit == "points" else "nats"
        values = [
            f"{in_text(row.label)} {' and '.join(f'{scale * v:.1f}' for v in by_seed)} {unit}"
            for row, by_seed in ((a, result.a_by_seed), (b, result.b_by_seed))
        ]
        notes.append(f"By seed: {', '.join(values)}. Two seeds are too few for an interval or a test.")
    if not result.seeds_matter:
        notes.append("All seeds gave the same answers, so the seeds add no noise here.")
    return notes


def _named(found: Differences) -> list[str]:
    return [f"Each has its own {text}." for text in found.named]


def _figures(result: PairTest, seeds: list[int | None], test: TestSet, metric: str) -> dict[str, object]:
    scale = METRICS[metric].scale

    def scaled(value: float | None) -> float | None:
        return None if value is None else scale * value

    def span(value: tuple[float, float] | None) -> tuple[float, float] | None:
        return None if value is None else (scale * value[0], scale * value[1])

    return {
        "difference": scaled(result.difference),
        "interval": span(result.interval),
        "interval_90": span(result.interval_90),
        "p": result.p,
        "p_equivalence": result.p_equivalence,
        "verdict": "undecided",
        "test": TEST_NAMES[result.test],
        "holds_for": result.inference,
        "a_figure": scale * sum(result.a_by_seed) / result.n_seeds,
        "b_figure": scale * sum(result.b_by_seed) / result.n_seeds,
        "seeds": list(seeds),
        "a_by_seed": [scale * x for x in result.a_by_seed],
        "b_by_seed": [scale * x for x in result.b_by_seed],
        "n_examples": test.n,
        "seed_sd": scaled(result.seed_sd),
        "seed_error": scaled(result.seed_error),
        "test_set_error": scaled(result.example_error),
        "only_a_right": result.only_a_right,
        "only_b_right": result.only_b_right,
    }


def _power(pair: PairTest, verdict: str, family: int, unit: str) -> Power | None:
    if pair.test == "none" or unit == "nats":
        return None
    alpha = ALPHA / max(1, family)
    detectable = pair.detectable(alpha)
    return Power(
        alpha=alpha,
        detectable=None if detectable is None else detectable / POINT,
        target=1.0,
        examples_needed=pair.examples_needed(POINT, alpha),
        seeds_needed=pair.seeds_needed(POINT, alpha),
    )


def _without_duplicates(
    scores: tuple[Scores, Scores], test: TestSet, metric: str, margin: float, full: PairTest
) -> dict[str, WithoutDuplicates]:
    """The same test on the examples that are not also in train, kept where its answer is another."""
    keep = ~test.duplicate_of_train
    if keep.all() or keep.sum() < 2 or full.p is None or METRICS[metric].resampling == "confusion":
        return {}
    a, b = (Scores(s.values[:, keep], s.weight) for s in scores)
    fewer = compare_metric(a, b, metric, margin, StudyNoise.of((a, b)))
    if fewer.p is None or fewer.interval is None:
        return {}
    same_side = fewer.difference * full.difference > 0
    if (fewer.p <= ALPHA) == (full.p <= ALPHA) and (same_side or full.p > ALPHA):
        return {}
    scale = METRICS[metric].scale
    return {
        "without_duplicates": WithoutDuplicates(
            n_examples=int(keep.sum()),
            difference=scale * fewer.difference,
            interval=(scale * fewer.interval[0], scale * fewer.interval[1]),
            p=fewer.p,
        )
    }
