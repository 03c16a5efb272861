"""Questions and their answers: each a sentence, with what it rests on folded beneath it; and the pairs that no question
is about."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from whichtune.evidence.question_sentences import answer_of_pair
from whichtune.metrics import METRICS
from whichtune.report import words
from whichtune.report.view import View
from whichtune.stats.costs import COSTS, TOLD
from whichtune.stats.results import Comparison, Question
from whichtune.wording import listing, number, plural

SHOWN_UNASKED = 12  # answers; more of them are folded


@dataclass(frozen=True)
class Answer:
    """One answer with what it rests on, by name."""

    sentence: str
    outcome: str
    pair: Comparison
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Asked:
    """A question with its answers."""

    question: str
    answers: list[Answer]


@dataclass(frozen=True)
class Pair:
    """A comparison as a line: the pair, the difference with its interval, p, and the verdict."""

    a: str
    b: str
    difference: str
    unit: str
    interval: str
    p: str
    p_adjusted: str
    verdict: str


def questions(view: View) -> list[Asked]:
    """The study's questions; of a study by an earlier version its declared pairs, as they were told then."""
    found = view.summary.questions
    if not found:
        found = [_of_pair(pair) for pair in view.comparisons if pair.sentence and not pair.chosen]
    return [
        Asked(question, [_answer(one) for one in several])
        for question, several in groupby(found, key=lambda one: one.question)
    ]


def _of_pair(pair: Comparison) -> Question:
    question = f"{pair.a} or {pair.b}?"
    return Question(topic="declared", question=question, sentence=answer_of_pair(pair), comparison=pair)


def other_pairs(view: View) -> list[Pair]:
    """Comparisons that no question is about."""
    told = {frozenset((one.comparison.a, one.comparison.b)) for one in view.summary.questions}
    if not told:
        told = {frozenset((pair.a, pair.b)) for pair in view.comparisons if pair.sentence and not pair.chosen}
    return [_line(pair) for pair in view.comparisons if frozenset((pair.a, pair.b)) not in told]


def _line(pair: Comparison) -> Pair:
    return Pair(
        a=pair.a,
        b=pair.b,
        difference=words.NOTHING if pair.difference is None else words.signed(pair.difference),
        unit="" if pair.difference is None else pair.unit,
        interval=words.NOTHING if pair.interval is None else " to ".join(map(words.signed, pair.interval)),
        p=words.probability(pair.p),
        p_adjusted=words.probability(pair.p_adjusted),
        verdict=pair.verdict.replace("_", " "),
    )


def _answer(asked: Question) -> Answer:
    pair = asked.comparison
    return Answer(asked.sentence, pair.verdict.replace("_", " "), pair, _facts(pair))


def _facts(pair: Comparison) -> list[tuple[str, str]]:
    """What an answer rests on; nothing that was not tested."""
    facts = [("verdict", f"{pair.verdict.replace('_', ' ')}: {pair.a} against {pair.b}")]
    if pair.difference is not None and pair.a_figure is not None and pair.b_figure is not None:
        facts += [
            (METRICS[pair.metric].title, f"{_figure(pair, pair.a_figure)} against {_figure(pair, pair.b_figure)}"),
            ("difference", f"{words.signed(pair.difference)} {pair.unit}{_interval(pair)}"),
            ("p", _p(pair)),
            ("made from", f"{_seeds(pair)}, {plural(pair.n_examples, 'test example')}; {pair.test}"),
        ]
    facts += [("noise", _noise(pair)), ("could have been shown", _power(pair)), ("costs", _costs(pair))]
    facts += [("they differ in", "; ".join(pair.differs)), ("confounded by", "; ".join(pair.confounds))]
    facts += [("published", pair.claim or ""), ("notes", " ".join(pair.notes))]
    if pair.without_duplicates is not None:
        other = pair.without_duplicates
        fresh = f"{words.signed(other.difference)} {pair.unit} on {plural(other.n_examples, 'example')}"
        facts.append(
            ("without examples that stand in train", f"another answer: {fresh} (p {words.probability(other.p)})")
        )
    return [(name, text) for name, text in facts if text]


def _figure(pair: Comparison, value: float) -> str:
    return f"{number(value, 2)} %" if pair.unit == "points" else f"{number(value, 3)}"


def _interval(pair: Comparison) -> str:
    if pair.interval is None:
        return ""
    return f" (95 % interval {' to '.join(map(words.signed, pair.interval))})"


def _p(pair: Comparison) -> str:
    if pair.p is None:
        return ""
    corrected = (
        ""
        if pair.p_adjusted is None or pair.family < 2
        else (f"; {words.probability(pair.p_adjusted)} corrected for {plural(pair.family, 'pair')} ({pair.correction})")
    )
    return words.probability(pair.p) + corrected


def _seeds(pair: Comparison) -> str:
    seeds = [seed for seed in pair.seeds if seed is not None]
    if not seeds:
        return "no seed: neither draws anything"
    return plural(len(seeds), "seed")


def _noise(pair: Comparison) -> str:
    if pair.seed_sd is None or pair.seed_error is None or pair.test_set_error is None:
        return ""
    return (
        f"from seed to seed the difference varies by {number(pair.seed_sd, 2)} {pair.unit}; of the standard error "
        f"seeds make {number(pair.seed_error, 2)}, the test set {number(pair.test_set_error, 2)}"
    )


def _power(pair: Comparison) -> str:
    power = pair.power
    if power is None or power.detectable is None or pair.verdict != "undecided":
        return ""
    return f"a true difference of about {number(power.detectable, 1)} {pair.unit} or more"


def _costs(pair: Comparison) -> str:
    parts = [f"{value:.3g} times the {COSTS[key]}" for key in TOLD if (value := pair.cost_ratios.get(key)) is not None]
    return listing(parts)
