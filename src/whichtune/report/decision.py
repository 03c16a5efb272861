"""The decision: what stands on the page's first screen, in words that need no statistics. Each figure names the place
where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from whichtune.evidence.decision_sentences import margin_text
from whichtune.metrics import METRICS
from whichtune.report import words
from whichtune.report.cost_columns import price_of
from whichtune.report.rows import TableRow
from whichtune.report.view import View
from whichtune.stats.choice import TARGET_SHARE
from whichtune.stats.costs import COSTS, seconds_of_run
from whichtune.stats.results import BeatsWords, CandidateFigures, Verdict
from whichtune.wording import listing, number, rounded_up, spoken_seconds

Sureness = Literal["sure", "fairly", "unsure"]
SURE, FAIRLY = 0.95, 0.8  # chance that the row is within the margin of the truly best
BEATS: dict[BeatsWords, str] = {
    "ahead": "Fine-tuning beats it.",
    "behind": "Fine-tuning does not beat it.",
    "not_shown": "Fine-tuning is not shown to beat it.",
}
TABLE, DERIVATION = "#table", "#derivation"


@dataclass(frozen=True)
class Fact:
    """A short answer under a heading: a row where it is one, its figures, a remark, and where they come from."""

    title: str
    row: str | None
    figures: str
    remark: str
    place: str


@dataclass(frozen=True)
class Decision:
    """Which row to use, and all that a reader must have seen before they close the page.

    `cost` and `saves` are sentences, `sure` says how sure the choice is in a word and `why_sure` in a sentence.
    """

    use: str | None
    score: str
    interval: str
    metric: str
    why: str
    cost: str
    saves: str
    sure: Sureness
    sure_word: str
    why_sure: str
    facts: list[Fact]


def decision_of(view: View) -> Decision | None:
    """The decision of a study; None where no verdict is stored or no row completed."""
    verdict = view.verdict
    if verdict is None or verdict.recommended is None:
        return None
    by_label = {row.label: row for row in verdict.candidates}
    chosen = by_label.get(verdict.recommended)
    level, word = _sureness(verdict, chosen)
    return Decision(
        use=verdict.recommended,
        score=score_of(view, verdict.recommended),
        interval=interval_of(view, verdict.recommended),
        metric=f"test {view.metric_name}",
        why=_why(view, verdict, by_label),
        cost=costs_of(view, verdict.recommended),
        saves=_saves(verdict, by_label),
        sure=level,
        sure_word=word,
        why_sure=_why_sure(verdict, chosen),
        facts=_facts(view, verdict, by_label),
    )


# -- figures of a row ------------------------------------------------------------------------------


def score_of(view: View, label: str) -> str:
    """`97.3 %`, or `0.412` of a loss; a dash where there is none."""
    row = next((row for row in view.rows if row.label == label), None)
    value = None if row is None else view.score(row)
    return words.NOTHING if value is None else view.told(value, 1 if view.unit == "%" else None)


def interval_of(view: View, label: str) -> str:
    """`94.8 to 98.9`; nothing where the statistics gave none."""
    ends = view.intervals.get(label)
    digits = 1 if view.unit == "%" else 3
    return "" if ends is None else f"{number(ends[0], digits)} to {number(ends[1], digits)}"


def costs_of(view: View, label: str) -> str:
    """`trains in 2.8 s, answers in 0.73 ms a text`, with the price of training where the study has one."""
    row = next((row for row in view.rows if row.label == label), None)
    if row is None:
        return ""
    seconds, latency, price = row.cost("training_seconds"), row.cost("inference_ms"), price_of(view)
    found = []
    if seconds is not None:
        money = "" if price is None else f" for {words.money(price.of_seconds(seconds))} {price.currency}".rstrip()
        found.append(f"trains in {spoken_seconds(seconds)}{money}")
    if latency is not None:
        found.append(f"answers in {latency:.2g} ms a text" if latency < 100 else f"answers in {latency:,.0f} ms a text")
    return ", ".join(found)


def _figures(view: View, label: str) -> str:
    """`97.2 % (96.2 to 98.2), 1 min 1 s`."""
    row = next((row for row in view.rows if row.label == label), None)
    seconds = None if row is None else row.cost("training_seconds")
    span = interval_of(view, label)
    return (
        score_of(view, label)
        + (f" ({span})" if span else "")
        + ("" if seconds is None else f", trains in {spoken_seconds(seconds)}")
    )


# -- sentences -------------------------------------------------------------------------------------


def _why(view: View, verdict: Verdict, rows: dict[str, CandidateFigures]) -> str:
    chosen, leader = rows.get(verdict.recommended or ""), rows.get(verdict.leader or "")
    if chosen is None or leader is None:
        return verdict.headline
    metric, bound = verdict.metric, _bound(verdict, chosen)
    if not verdict.margin_reached:
        return (
            f"It is the best choice so far, but another row may truly be better, by up to {bound}. Do not stake much "
            "on it yet."
        )
    what = COSTS.get(verdict.selection_cost, verdict.selection_cost)
    if chosen.label != leader.label:
        behind = (leader.test or 0.0) - (chosen.test or 0.0)
        behind = behind if METRICS[metric].higher_is_better else -behind
        gap = f"{_amount(metric, behind)} behind" if behind > 0 else "not behind"
        ratio = _times(leader.cost, chosen.cost)
        saves = f" and needs {ratio} less {what}" if ratio else ""
        score = "the highest score" if METRICS[metric].higher_is_better else f"which {METRICS[metric].best_word}"
        return f"It is {gap} {leader.label}, {score},{saves or ' and costs less'}: good enough."
    if bound == "nothing":
        return "It is the best row, and no other comes near it."
    cheaper = any((row.cost or 0.0) < (chosen.cost or 0.0) for row in verdict.candidates)
    if cheaper:
        return f"It {METRICS[metric].best_word}, and no cheaper row is good enough."
    return f"It {METRICS[metric].best_word} and has the lowest {what}."


def _bound(verdict: Verdict, row: CandidateFigures) -> str:
    """At most so much is lost by choosing the row, with a chance of 95 %."""
    if row.regret_bound is None:
        return "an unknown amount"
    least = 0.05 * METRICS[verdict.metric].scale / 100
    return _amount(verdict.metric, row.regret_bound) if row.regret_bound >= least else "nothing"


def _amount(metric: str, value: float) -> str:
    if METRICS[metric].unit != "points":
        return f"{number(abs(value), 3)} {METRICS[metric].unit}"
    text = number(abs(value), 1)
    return f"{text} {'point' if text == '1.0' else 'points'}"


def _times(dear: float | None, cheap: float | None) -> str:
    """`22 times`, where the first costs notably more."""
    if not dear or not cheap or dear / cheap < 1.05:
        return ""
    times = dear / cheap
    return f"{times:,.0f} times" if times >= 10 else f"{times:.1f} times"


def _sureness(verdict: Verdict, chosen: CandidateFigures | None) -> tuple[Sureness, str]:
    chance = None if chosen is None else chosen.p_within
    if chance is None or not verdict.margin_reached or chance < FAIRLY:
        return "unsure", "Not sure yet"
    return ("sure", "Sure") if chance >= SURE else ("fairly", "Fairly sure")


def _why_sure(verdict: Verdict, chosen: CandidateFigures | None) -> str:
    if chosen is None or chosen.p_within is None:
        return "Too little was tested to say."
    near = f"within {_margin(verdict)} of the truly best row"
    if chosen.p_within > 0.995:
        return f"It is almost certainly {near}."
    return f"The chance that it is {near} is {100 * chosen.p_within:.0f} %."


def _margin(verdict: Verdict) -> str:
    return margin_text(verdict.metric, verdict.margin)


def _saves(verdict: Verdict, rows: dict[str, CandidateFigures]) -> str:
    """What the row saves against the row that scores highest or, where it is that or `_why` has said so, against the
    best fine-tuned one."""
    chosen = rows.get(verdict.recommended or "")
    told = {verdict.recommended, verdict.leader} if verdict.margin_reached else {verdict.recommended}
    others = [label for label in (verdict.leader, verdict.best_fine_tuned) if label and label not in told]
    other = rows.get(others[0]) if others else None
    times = "" if chosen is None or other is None else _times(other.cost, chosen.cost)
    if chosen is None or other is None or not times:
        return ""
    what = COSTS.get(verdict.selection_cost, verdict.selection_cost)
    kind = f"which {METRICS[verdict.metric].best_word}" if other.label == verdict.leader else "the best fine-tuned row"
    return f"{times} less {what} than {other.label}, {kind}."


def _facts(view: View, verdict: Verdict, rows: dict[str, CandidateFigures]) -> list[Fact]:
    found = [
        _best_fine_tuned(view, verdict),
        _cheapest(verdict),
        _without_model(view, verdict),
        _next_step(view, verdict, rows.get(verdict.recommended or "")),
    ]
    return [fact for fact in found if fact is not None]


def _fact(view: View, verdict: Verdict, title: str, label: str, remark: str = "") -> Fact:
    """A row under a heading; the recommended one's figures stand above already."""
    if label == verdict.recommended:
        return Fact(title, label, "", f"The same row. {remark}".rstrip(), TABLE)
    return Fact(title, label, _figures(view, label), remark, TABLE)


def _best_fine_tuned(view: View, verdict: Verdict) -> Fact | None:
    label = verdict.best_fine_tuned
    return None if label is None else _fact(view, verdict, "Best fine-tuned", label)


def _cheapest(verdict: Verdict) -> Fact | None:
    title = "Cheapest good enough"
    if verdict.leader is None:
        return None
    if verdict.margin_reached:
        return Fact(title, verdict.recommended, "", "The same row.", DERIVATION)
    limit = _amount(verdict.metric, verdict.margin if verdict.regret_limit is None else verdict.regret_limit)
    return Fact(title, None, "", f"None is expected to be within {limit} of the truly best row yet.", DERIVATION)


def _next_step(view: View, verdict: Verdict, chosen: CandidateFigures | None) -> Fact | None:
    """What would make the choice surer, with its time and price."""
    if chosen is None or chosen.expected_regret is None:
        return None
    if chosen.expected_regret <= _aim(view, verdict):
        return Fact("Next step", None, "", "None: more seeds or texts would hardly change the choice.", DERIVATION)
    ways = []
    drawing = [row for row in view.rows if len(row.seeds) > 0 and row.seeds[0] is not None]
    seeds = max((len(row.seeds) for row in drawing), default=0)
    if verdict.seeds_needed is not None and verdict.seeds_needed > seeds:
        ways.append(f"{verdict.seeds_needed} seeds instead of {seeds}{_takes(view, drawing, verdict.seeds_needed)}")
    texts = max((run.metrics.test.n for run in view.done if run.metrics.test is not None), default=0)
    if verdict.texts_needed is not None and verdict.texts_needed > texts:
        ways.append(f"about {rounded_up(verdict.texts_needed):,} labelled test texts instead of {texts:,}")
    if not ways:
        return Fact("To be surer", None, "", "More seeds and more labelled test texts, both.", DERIVATION)
    told = listing(ways, "or")
    return Fact("To be surer", None, "", f"{told[:1].upper()}{told[1:]}.", DERIVATION)


def _aim(view: View, verdict: Verdict) -> float:
    """The expected regret below which nothing more is worth while, in the metric's unit."""
    if METRICS[verdict.metric].unit == "points" or verdict.regret_limit is None:
        return TARGET_SHARE * verdict.margin
    return verdict.regret_limit if view.study.decide is not None else TARGET_SHARE * verdict.regret_limit


def _takes(view: View, rows: Sequence[TableRow], seeds: int) -> str:
    """`, about 12 min for 0.5 EUR`: the runs that are missing to so many seeds of each row."""
    seconds = sum(
        (seeds - len(row.seeds)) * median(seconds)
        for row in rows
        if (seconds := [one for run in row.done if (one := seconds_of_run(run.cost)) is not None])
    )
    price = price_of(view)
    money = "" if price is None else f" for {words.money(price.of_seconds(seconds))} {price.currency}".rstrip()
    return f", about {spoken_seconds(seconds)} more{money}" if seconds > 0 else ""


def _without_model(view: View, verdict: Verdict) -> Fact | None:
    """The best row without a language model, and whether fine-tuning beats it."""
    label = verdict.best_without_model
    if label is None:
        return None
    remark = "" if verdict.beats_words is None else BEATS[verdict.beats_words]
    return _fact(view, verdict, "Without a language model", label, remark)
