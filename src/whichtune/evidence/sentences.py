"""Sentences from results. They say what the test says and nothing more.

Every function is plain: figures in, text out. Points and percentages get one decimal, two where a
thousand examples or more make the second worth reading.
"""

from __future__ import annotations

from whichtune.metrics import metric_title
from whichtune.stats.costs import COSTS, TOLD
from whichtune.stats.results import Comparison, in_text
from whichtune.study.published import Published
from whichtune.wording import listing, number, plural, rounded_up

ABOUT_EQUAL = 0.05


def points(value: float, digits: int = 1) -> str:
    """`1 point`, `1.3 points`, `0.0 points`."""
    text = f"{value:g}" if value == int(value) and abs(value) >= 1 else number(value, digits)
    return f"{text} {'point' if abs(value) == 1 else 'points'}"


def probability(p: float, name: str = "p") -> str:
    """`p = 0.034`, `p < 0.001`, `p > 0.99`."""
    if p < 0.001:
        return f"{name} < 0.001"
    if p > 0.99:
        return f"{name} > 0.99"
    return f"{name} = {p:.2g}"


def comparison_paragraph(result: Comparison, alpha: float = 0.05) -> str:
    """The paragraph of one pair, whatever became of it."""
    sentences = [_what(result)]
    if result.verdict == "not_tested":
        sentences += result.notes
        return " ".join(s for s in sentences if s)
    sentences += [
        _confound_sentence(result),
        _figures(result),
        _too_small(result),
        _decision(result, alpha),
        _power(result),
        _scope(result),
        _noise(result),
        *result.notes,
        _duplicates(result),
        _costs(result),
        _published(result),
    ]
    return " ".join(s for s in sentences if s)


def _digits(result: Comparison) -> int:
    return 2 if result.n_examples >= 1000 or result.unit != "points" else 1


def _amount(result: Comparison, value: float) -> str:
    if result.unit != "points":
        return f"{number(value, 3)} {result.unit}"
    return points(value, _digits(result))


def _figure(result: Comparison, value: float) -> str:
    if result.unit != "points":
        return f"{number(value, 3)} {result.unit}"
    return f"{number(value, _digits(result))} %"


def _what(result: Comparison) -> str:
    text = f"{in_text(result.a)} against {in_text(result.b)}"
    if result.factor and result.differs:
        mine = next((d for d in result.differs if d.startswith(f"{result.factor} (")), None)
        return f"{text}: {mine or result.factor}."
    if result.factor:
        return f"{text}: meant to differ in {result.factor}, yet no recorded setting differs."
    return f"{text}."


def _confound_sentence(result: Comparison) -> str:
    if not result.confounds:
        return ""
    others = listing(result.confounds)
    if result.factor:
        return f"Confounded: they also differ in {others}, so a difference cannot be put down to {result.factor} alone."
    return f"Confounded: they differ in {others}, so a difference cannot be put down to one of these."


def _figures(result: Comparison) -> str:
    if result.difference is None or result.a_figure is None or result.b_figure is None:
        return ""
    metric = metric_title(result.metric)
    over = f" over {plural(result.n_examples, 'test example')}"
    if len(result.a_by_seed) > 1:
        over = f" (mean of {plural(len(result.a_by_seed), 'seed')}, {plural(result.n_examples, 'test example')})"
    both = f"{_figure(result, result.a_figure)} against {_figure(result, result.b_figure)}"
    text = f"Test {metric}{over}: {both}, a difference of {_amount(result, result.difference)}"
    if result.interval is None:
        return f"{text}."
    low, high = (number(x, 3 if result.unit != "points" else _digits(result)) for x in result.interval)
    p = probability(result.p) if result.p is not None else ""
    corrected = ""
    if result.p_adjusted is not None and result.family > 1:
        corrected = f", {probability(result.p_adjusted)} corrected for {plural(result.family, 'pair')}"
    return f"{text} (95 % interval {low} to {high}; {p}{corrected})."


def _too_small(result: Comparison) -> str:
    if result.interval_90 is None or result.margin is None or result.verdict in ("better", "worse"):
        return ""
    half = (result.interval_90[1] - result.interval_90[0]) / 2
    if half < result.margin:
        return ""
    return (
        f"Too few data to show equivalence within {_margin(result)}: the half-width of the 90 % interval is "
        f"{_amount(result, half)}."
    )


def _margin(result: Comparison) -> str:
    if not result.margin:
        return ""
    return points(result.margin) if result.unit == "points" else _amount(result, result.margin)


def _decision(result: Comparison, alpha: float) -> str:
    models = result.holds_for == "models"
    subject, other = (f"{'this model of ' if models else ''}{in_text(label)}" for label in (result.a, result.b))
    margin = f"{result.margin:g} {'point' if result.margin == 1 else 'points'}" if result.margin else ""
    margin = margin if result.unit == "points" else _margin(result)
    if result.verdict in ("better", "worse"):
        text = f"Verdict: {subject} is {result.verdict} than {other}"
        return f"{text}, though by less than {margin}." if result.within_margin else f"{text}."
    if result.verdict == "equivalent":
        return f"Verdict: {subject} and {other} are equivalent to within {margin}."
    text = "Verdict: undecided, since neither a difference"
    text += f" nor equivalence within {margin} is shown." if margin else " is shown nor its absence."
    if result.p is None:
        return "Verdict: undecided, since nothing could be tested."
    if result.p <= alpha < (result.p_adjusted or 0.0):
        text += " Alone this pair would pass as a difference; corrected for all pairs it does not."
    return text


def _power(result: Comparison) -> str:
    power = result.power
    if power is None or result.verdict != "undecided" or power.detectable is None:
        return ""
    detectable = _amount(result, power.detectable)
    text = f"A true difference of about {detectable} or more would probably have been shown"
    needs = []
    if power.examples_needed is not None:
        needs.append(f"about {plural(rounded_up(power.examples_needed), 'test example')}")
    if power.seeds_needed is not None:
        needs.append(f"about {plural(power.seeds_needed, 'seed')}")
    target = points(power.target)
    if needs:
        return f"{text}; one of {target} would need {listing(needs, 'or')}."
    if result.holds_for == "methods":
        return f"{text}; for {target} more test examples or more seeds alone would not do."
    return f"{text}."


def _scope(result: Comparison) -> str:
    if result.holds_for == "splits":
        return (
            "Each seed has its own split, so this holds for other training texts, too: more than with one split. "
            "Splits share texts, which the test allows for."
        )
    if result.holds_for == "models" and len(result.seeds) == 1 and result.seeds[0] is not None:
        return (
            "With one seed this compares these two trained models, not the methods: how much another seed "
            "would change is unknown."
        )
    if result.holds_for == "models":
        return "Neither row depends on a seed: this compares the two fitted models."
    return ""


def _noise(result: Comparison) -> str:
    if result.seed_sd is None or result.test_set_error is None or result.seed_error is None:
        return ""
    digits = max(2, _digits(result)) if result.unit != "units" else 3
    unit = result.unit
    return (
        f"Noise: from seed to seed the difference varies by {number(result.seed_sd, digits)} {unit} "
        "(standard "
        f"deviation); of the standard error, seeds make {number(result.seed_error, digits)} and the test set "
        f"{number(result.test_set_error, digits)} {unit}."
    )


def _duplicates(result: Comparison) -> str:
    other = result.without_duplicates
    if other is None:
        return ""
    low, high = (number(x, _digits(result)) for x in other.interval)
    return (
        f"On the {plural(other.n_examples, 'test example')} that "
        f"{'is' if other.n_examples == 1 else 'are'} "
        f"not also in train the answer is another: {_amount(result, other.difference)} ({low} to {high}; "
        f"{probability(other.p)} uncorrected)."
    )


def ratio(value: float) -> str:
    """`2.5 times`, `0.33 times`, `12 times`."""
    if value >= 10:
        return f"{value:,.0f} times"
    return f"{value:.2g} times" if value < 0.1 else f"{value:.2f} times" if value < 1 else f"{value:.1f} times"


def _costs(result: Comparison) -> str:
    parts = [
        f"{ratio(value)} the {COSTS[key]}" if abs(value - 1) > ABOUT_EQUAL else f"about the same {COSTS[key]}"
        for key in TOLD
        if (value := result.cost_ratios.get(key)) is not None
    ]
    return f"{in_text(result.a)} costs {listing(parts)} of {in_text(result.b)}." if parts else ""


def _published(result: Comparison) -> str:
    if not result.published and not result.claim:
        return ""
    published = result.published or Published({})
    details = []
    if published.figures is not None:
        details.append(f"{number(published.figures[0], 2)} against {number(published.figures[1], 2)} %")
    ours = result.cost_ratios.get("training_seconds")
    if published.time_ratio is not None:
        times = f"{ratio(published.time_ratio)} the training time"
        details.append(times if ours is None else f"{times}, here {ratio(ours)}")
    figures = f" ({'; '.join(details)})" if details else ""
    text = f"Published: {result.claim or 'a difference'}{figures}; "
    if published.no_direction:
        return f"{text}no claim about which is better."
    if result.agrees_with_published is None:
        if published.direction is None:
            return f"{text}no direction is given to judge it by."
        return f"{text}our figures leave it open."
    return text + ("our figures agree." if result.agrees_with_published else "our figures do not agree.")
