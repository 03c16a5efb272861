"""From a declared pair to a `Comparison`: test, decision, costs, confounds and the published claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from whichtune.errors import SettingError
from whichtune.metrics import METRICS
from whichtune.registry import did_you_mean
from whichtune.stats.answers import Row, TestSet, common_seeds
from whichtune.stats.confounds import Differences, find_differences
from whichtune.stats.costs import Count, cost_ratios
from whichtune.stats.family import Adjusted
from whichtune.stats.pairs import TEST_NAMES, PairTest
from whichtune.stats.results import Comparison, Power, Verdict4, WithoutDuplicates, in_text
from whichtune.stats.trials import POINT, Trials
from whichtune.study.published import Published
from whichtune.study.roles import Role
from whichtune.study.spec import Pair

ALPHA = 0.05


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


def run_declared(pair: Declared, trials: Trials, metric: str) -> Tested:
    """Test one pair. Raises SettingError for a label that is no row of the study."""
    rows = trials.rows
    for label in (pair.a, pair.b):
        if label not in rows:
            raise SettingError(f"A declared pair names '{label}', which is no row: {did_you_mean(label, rows)}")
    a, b = rows[pair.a], rows[pair.b]
    found = differences_of(a, b, pair.factor)
    blank = Comparison(
        a=a.label,
        b=b.label,
        metric=metric,
        unit=METRICS[metric].unit,
        verdict="not_tested",
        margin=trials.margin if METRICS[metric].unit == "points" else trials.limit(metric),
        cost_ratios=cost_ratios(a.costs, b.costs),
        declared=pair.declared,
        chosen=pair.chosen,
        factor=found.factor,
        differs=found.differs,
        confounds=found.confounds,
        claim=pair.claim,
        published=pair.published,
    )
    result = trials.tested(a.label, b.label, metric)
    if result is None or trials.test is None:
        return Tested(blank.model_copy(update={"notes": [_why_not(a, b, metric)]}), None)
    seeds = common_seeds(a, b)
    notes = [*_seed_notes(a, b, seeds, result, trials, metric), *_named(found)]
    update = _figures(result, seeds, trials.test, metric) | {"notes": notes}
    return Tested(blank.model_copy(update=update), result)


def decide(tested: Tested, adjusted: Adjusted | None, forecast: bool = True) -> Comparison:
    """The verdict from corrected p values. A pair that was not tested keeps its verdict. `forecast`: with what could
    have been shown, which takes longest."""
    result, pair = tested.comparison, tested.pair
    if pair is None or result.difference is None:
        return result
    p, p_equivalence, family = None, None, 0
    if adjusted is not None:
        p, p_equivalence, family = adjusted.p, adjusted.p_equivalence, adjusted.family
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
        "correction": adjusted.correction if adjusted is not None else None,
        "power": _power(pair, verdict, family, result.unit) if forecast else None,
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


def differences_of(a: Row, b: Row, factor: str | None) -> Differences:
    """What differs between two rows beside the factor; None: find it."""
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
    if not parts and a.run_ids == b.run_ids:
        return "Not compared: both rows are the same runs, since their settings came to the same."
    if not parts:
        return "Not compared: the two have no seed in common."
    return f"Not compared: {'; '.join(parts)}."


def _seed_notes(a: Row, b: Row, seeds: list[int | None], result: PairTest, trials: Trials, metric: str) -> list[str]:
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
    if len(seeds) == 2 and result.inference != "splits":
        scale, unit = METRICS[metric].scale, "%" if METRICS[metric].unit == "points" else in_unit(metric)
        values = [
            f"{in_text(row.label)} {' and '.join(f'{scale * v:.1f}' for v in by_seed)} {unit}"
            for row, by_seed in ((a, result.a_by_seed), (b, result.b_by_seed))
        ]
        noise = trials.noise(metric)
        believed = METRICS[metric].scale * noise.prior.sd
        notes.append(
            f"By seed: {', '.join(values)}. Two seeds hardly show how much seeds matter, so the test also rests on "
            f"what is believed of that beforehand: a standard deviation of {believed:.2g} {in_unit(metric)}, worth "
            f"{noise.prior.df:g} more seeds."
        )
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
    if pair.test == "none" or unit != "points":
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


def without_duplicates(full: Comparison, fresh: Tested, adjusted: Adjusted | None) -> WithoutDuplicates | None:
    """The same pair on the test examples that are not also in train, where its answer is another there.

    The same test with the study's noise on these examples, corrected over the same family.
    """
    other = decide(fresh, adjusted, forecast=False)
    if other.p is None or other.interval is None or other.difference is None or full.verdict == "not_tested":
        return None
    shown = {comparison.verdict in ("better", "worse") for comparison in (full, other)}
    turned = shown == {True} and full.verdict != other.verdict
    if len(shown) == 1 and not turned:
        return None
    return WithoutDuplicates(
        n_examples=other.n_examples,
        difference=other.difference,
        interval=other.interval,
        p=other.p,
        p_adjusted=other.p_adjusted,
    )


def in_unit(metric: str) -> str:
    """`points`, `nats` or `units`."""
    return METRICS[metric].unit
