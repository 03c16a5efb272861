"""The decision in plain words: which row to use, what that may cost, and what would make it surer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whichtune.evidence.sentences import points, ratio
from whichtune.metrics import METRICS, metric_title
from whichtune.stats.costs import COSTS
from whichtune.stats.results import CandidateFigures, Verdict, in_text
from whichtune.study.decide import Decide
from whichtune.study.price import Price
from whichtune.wording import duration, listing, number, plural, rounded_up

NOTHING = 0.005  # points that are told as none


def score(metric: str, value: float | None) -> str:
    """A test figure as it is told: `93.3 %`, or `0.412 nats`."""
    if value is None:
        return "no figure"
    known = METRICS[metric]
    return f"{number(value, 1)} %" if known.unit == "points" else f"{number(value, 3)} {known.unit}"


def amount(metric: str, value: float) -> str:
    """A difference or a regret: `0.4 points`, `0.012 nats`."""
    if METRICS[metric].unit != "points":
        return f"{number(value, 3)} {METRICS[metric].unit}"
    if abs(value) >= 1:
        return points(value)
    text = number(value, 2).rstrip("0").rstrip(".")
    return f"{text or '0'} points"


def chance(p: float) -> str:
    """`84 %`, `over 99 %`, `under 1 %`."""
    if p > 0.99:
        return "over 99 %"
    return "under 1 %" if p < 0.01 else f"{100 * p:.0f} %"


def no_verdict(outside: Mapping[str, Sequence[str]], metric: str, completed: bool) -> str:
    """Why no row is recommended."""
    if not outside and completed:
        return f"No run that completed has a validation {metric_title(metric)}, so there is no verdict."
    if not outside:
        return "No run completed, so there is no verdict."
    broken = "; ".join(f"{in_text(label)}: {listing(list(faults))}" for label, faults in outside.items())
    return f"No row keeps what is required, so none is recommended ({broken})."


def outside_sentence(label: str, broken: Sequence[str]) -> str:
    """Why a row was not considered."""
    return f"{in_text(label)} is outside what is required and not considered: {listing(list(broken))}."


def seed_warnings(fixed: Sequence[int] | None, first: Sequence[int] | None) -> list[str]:
    """Of which seeds p values are, where some were added after figures were seen."""
    if fixed is not None:
        which = f"seed {fixed[0]}" if len(fixed) == 1 else f"seeds {listing([str(seed) for seed in fixed])}"
        return [
            f"Seeds were added where figures asked for them: p values, ranks and ties are of {which}, which every row "
            "was given before; scores and the recommendation are of all seeds."
        ]
    if first is not None:
        return [
            "Seeds were added after the figures of fewer than three were seen: p values hold less exactly than they "
            "say."
        ]
    return []


def stopped(reason: str | None, target: str, decide: Decide, texts: int | None) -> str | None:
    """Why no more seeds were added."""
    sentences = {
        "target": f"No more seeds were added: the expected regret is at most {target}.",
        "texts": f"No more seeds were added: with this test set none would bring the expected regret to {target}"
        + (f"; about {rounded_up(texts):,} labelled test texts would." if texts is not None else "."),
        "seeds": f"No more seeds were added: every row that may be good enough has {decide.max_seeds}.",
    }
    if reason is None:
        budget = "it was interrupted" if decide.budget is None else f"its budget of {decide.budget} is spent"
        return f"More seeds would make the study surer, but {budget}."
    return sentences[reason]


def margin_text(metric: str, margin: float) -> str:
    """A margin as it is set: `1 point`, or `1 % of the best baseline's loss`."""
    if METRICS[metric].unit != "points":
        return f"{margin:g} % of the best baseline's {metric_title(metric)}"
    return f"{margin:g} {'point' if margin == 1 else 'points'}"


def rule_text(metric: str, selection_cost: str, margin: float, require: Sequence[str] = ()) -> str:
    """The selection rule in one sentence, and in another what rows must keep to be considered."""
    required = f" Only rows with {listing(list(require))} are considered." if require else ""
    return (
        f"Recommended is the row with the lowest {COSTS.get(selection_cost, selection_cost)} whose expected regret is "
        f"at most {margin_text(metric, margin)}: what choosing it is expected to cost on test "
        "against the truly best row, given the "
        f"noise of seeds and of the test set. Where no row's is, the one with the least.{required}"
    )


def regret_text(metric: str, row: CandidateFigures) -> str:
    """`expected to cost 0.4 points against the truly best row (at most 1.6 with a chance of 95 %)`."""
    if row.expected_regret is None or row.regret_bound is None:
        return "not judged"
    if is_far_ahead(metric, row):
        return "far ahead of every other"
    bound = amount(metric, row.regret_bound)
    return f"expected to cost {amount(metric, row.expected_regret)} against the truly best row (at most {bound}, 95 %)"


def is_far_ahead(metric: str, row: CandidateFigures) -> bool:
    """Whether there is nothing to lose by choosing the row."""
    return row.regret_bound is not None and row.regret_bound < NOTHING * METRICS[metric].scale / 100


def limit_of(verdict: Verdict) -> float:
    """The expected regret that the recommended row may have."""
    return verdict.margin if verdict.regret_limit is None else verdict.regret_limit


def limit_text(verdict: Verdict) -> str:
    limit = limit_of(verdict)
    of_margin = limit == verdict.margin or METRICS[verdict.metric].unit != "points"
    name = "the margin of" if of_margin else "what was asked for,"
    return f"{name} {amount(verdict.metric, limit)}"


def headline(verdict: Verdict, chosen: CandidateFigures, leader: CandidateFigures, cheaper: bool) -> str:
    """The one sentence to read. `cheaper`: whether any row costs less than the one to use."""
    metric = verdict.metric
    name = f"{in_text(chosen.label)} ({score(metric, chosen.test)} on test)"
    if not verdict.margin_reached:
        return (
            f"Use {name} for now: no row has a smaller expected regret, yet it is {regret_text(metric, chosen)}, more "
            f"than {limit_text(verdict)}."
        )
    if chosen.label != leader.label:
        return (
            f"Use {name}: it is the cheapest row that is good enough, {regret_text(metric, chosen)}"
            f"{_saving(verdict.selection_cost, chosen, leader)}."
        )
    if is_far_ahead(metric, chosen):
        return f"Use {name}: it is the best row, and no other comes near it."
    if cheaper:
        return (
            f"Use {name}, the best row, {regret_text(metric, chosen)}: no cheaper row is expected to be within "
            f"{amount(metric, limit_of(verdict))}."
        )
    return f"Use {name}, the best row and the cheapest, {regret_text(metric, chosen)}."


def _saving(cost: str, chosen: CandidateFigures, other: CandidateFigures) -> str:
    if chosen.cost is None or not other.cost:
        return ""
    return f", for {ratio(chosen.cost / other.cost)} the {COSTS.get(cost, cost)} of {in_text(other.label)}"


def candidate_sentence(metric: str, row: CandidateFigures) -> str:
    """Where a row stands and what choosing it would cost."""
    label, regret = in_text(row.label), regret_text(metric, row)
    if row.standing == "best":
        lead = f"{label} {METRICS[metric].best_word} and is truly the best with a chance of {chance(row.p_best or 0.0)}"
        return f"{lead}." if is_far_ahead(metric, row) else f"{lead}; choosing it is {regret}."
    sentences = {
        "good enough": f"{label} is good enough: choosing it is {regret}.",
        "undecided": f"{label} may be good enough or not: choosing it is {regret}.",
        "shown worse": f"{label} is not good enough: choosing it is {regret}.",
    }
    return sentences[row.standing]


def best_fine_tuned(metric: str, rows: Sequence[CandidateFigures], ahead: float | None) -> str:
    """Which fine-tuning method is best. `rows`: those with a language model, the best first; `ahead`: the chance that
    a new run of the first beats one of the second."""
    if not rows:
        return "No row with a language model completed."
    first = rows[0]
    text = f"{in_text(first.label)} is the best fine-tuned row: test {metric_title(metric)} {score(metric, first.test)}"
    if len(rows) == 1 or ahead is None:
        return f"{text}; there is no other."
    return (
        f"{text}; a new run of it is better than one of {in_text(rows[1].label)}, the next with "
        f"{score(metric, rows[1].test)}, with a chance of {chance(ahead)}."
    )


def cheapest(verdict: Verdict, chosen: CandidateFigures, leader: CandidateFigures) -> str:
    """Which row is the cheapest that is good enough."""
    if not verdict.margin_reached:
        return f"No row is expected to be within {amount(verdict.metric, limit_of(verdict))} of the truly best one."
    what = COSTS.get(verdict.selection_cost, verdict.selection_cost)
    text = f"{in_text(chosen.label)} has the lowest {what} of the rows that are good enough: "
    saving = "" if chosen.label == leader.label else _saving(verdict.selection_cost, chosen, leader)
    return f"{text}{regret_text(verdict.metric, chosen)}{saving}."


def against_words(
    metric: str, tuned: str | None, words: str | None, gap: float | None, span: Sequence[float] | None, shown: bool
) -> str | None:
    """Whether fine-tuning beats the best row without a language model; `gap` is in favour of the fine-tuned row."""
    if words is None:
        return None
    if tuned is None or gap is None:
        return f"No fine-tuned row can be compared with {in_text(words)}, the best row without a language model."
    digits = 1 if METRICS[metric].unit == "points" else 3
    interval = "" if span is None else f" ({number(span[0], digits)} to {number(span[1], digits)})"
    first, other = in_text(tuned), f"{in_text(words)}, the best row without a language model"
    if shown and gap > 0:
        return f"{first} beats {other}, by {amount(metric, gap)}{interval}."
    if shown:
        return f"No fine-tuned row beats {other}: {first} is {amount(metric, -gap)} behind{_turned(span, digits)}."
    where = f"{amount(metric, abs(gap))} {'ahead' if gap >= 0 else 'behind'}"
    reach = interval if gap >= 0 else _turned(span, digits)
    return f"No fine-tuned row is shown to beat {other}: {first} is {where}{reach}."


def _turned(span: Sequence[float] | None, digits: int) -> str:
    return "" if span is None else f" ({number(-span[1], digits)} to {number(-span[0], digits)})"


def how_sure(verdict: Verdict, chosen: CandidateFigures, close: Sequence[str]) -> str:
    """The chance that the row is good enough, and which other rows may be."""
    is_share = METRICS[verdict.metric].unit == "points"
    text = (
        f"With a chance of {chance(chosen.p_within or 0.0)} {in_text(chosen.label)} is within "
        f"{points(verdict.margin) if is_share else margin_text(verdict.metric, verdict.margin)} of the truly best row"
    )
    if not close:
        return f"{text}; no other row has a chance of 5 % to be."
    rows = listing([in_text(label) for label in close])
    return f"{text}; {rows} may be, too, with a chance of 5 % or more {'each' if len(close) > 1 else ''}".rstrip() + "."


def surer(
    verdict: Verdict,
    target: float,
    seeds: int,
    texts: int,
    seconds: float | None,
    regret: float | None,
    price: Price | None = None,
) -> str:
    """What would make it surer: seeds and labelled texts as they are, `seconds` that another seed of all rows takes."""
    if regret is not None and regret <= target:
        return f"More data would change little: the expected regret is below {amount(verdict.metric, target)}."
    ways = []
    if verdict.seeds_needed is not None and verdict.seeds_needed > seeds:
        more = verdict.seeds_needed - seeds
        takes = "" if seconds is None else f"about {duration(seconds * more)} more"
        if price is not None and seconds is not None:
            takes += f" for {price.of_seconds(seconds * more):.2g} {price.currency}".rstrip()
        takes = f" ({takes})" if takes else ""
        ways.append(f"{plural(verdict.seeds_needed, 'seed')} of each row instead of {seeds}{takes}")
    if verdict.texts_needed is not None and verdict.texts_needed > texts:
        ways.append(f"about {rounded_up(verdict.texts_needed):,} labelled test texts instead of {texts:,}")
    if not ways:
        return (
            "Neither more seeds nor more test texts alone would bring the expected regret below "
            f"{amount(verdict.metric, target)}: both are needed."
        )
    which = listing(ways, "or")
    return f"{which[:1].upper()}{which[1:]} would bring the expected regret below {amount(verdict.metric, target)}."
