"""The seeded generator of `support_requests`: what customers write, by the department that must act.

    python -m whichtune.embedded.generate_support_requests FOLDER

Most requests name two matters that belong to different departments; one is settled, or only the story
around it, and the other is what the customer wants done. Both orders occur, so neither the words nor the
position alone says which. The label follows from the text, apart from the 2 % that are changed at the end.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from whichtune.embedded.grammar import NAMES, Example, chance, fill, finished, generate, pick, write_splits

LABELS = ("account", "billing", "delivery", "returns", "technical")
SEED = 20240608
ONE_MATTER = 0.6  # how often a request names nothing but what it is about

WORDS: dict[str, list[str]] = {
    "name": NAMES,
    "thing": [
        "lamp",
        "kettle",
        "printer",
        "jacket",
        "headphones",
        "camera",
        "chair",
        "tablet",
        "coffee machine",
    ],
    "device": ["lamp", "kettle", "printer", "headphones", "camera", "tablet", "coffee machine"],
    "past": ["yesterday", "last week", "on Monday", "on Friday", "two days ago", "this morning"],
    "day": ["today", "tomorrow", "this week", "by Friday", "before the weekend"],
    "amount": ["£12", "£25", "£40", "£75", "£110", "£199"],
}

# A matter is a clause that stands alone; a wish is what the customer asks for about it.
MATTERS: dict[str, list[str]] = {
    "account": [
        "I cannot sign in with my password",
        "my account shows the old address",
        "the code to sign in never comes",
        "my account was closed {past}",
        "somebody else uses my account",
        "I have two accounts with one email",
        "the name on my account is wrong",
    ],
    "billing": [
        "I was charged twice for the {thing}",
        "the invoice for the {thing} is wrong",
        "my card was charged {amount}",
        "the discount of {amount} was not taken off",
        "the invoice has the old address",
        "my card was not accepted",
        "I paid {amount} and the order says not paid",
    ],
    "delivery": [
        "the {thing} has not come",
        "the parcel went to the old address",
        "the driver left the {thing} in the rain",
        "the parcel is late again",
        "the order says delivered and nothing came",
        "half of the order is missing",
        "the parcel stands at the depot since {past}",
    ],
    "returns": [
        "I want to send the {thing} back",
        "the {thing} is the wrong colour",
        "the {thing} does not fit",
        "I changed my mind about the {thing}",
        "I have no label to send the parcel back",
        "I got the wrong {thing}",
        "I wait for you to collect the {thing} that I do not want",
    ],
    "technical": [
        "the {device} does not start",
        "the app closes when I open the order",
        "the {device} makes a loud noise",
        "the {device} does not connect to the app",
        "the page stays white when I pay",
        "the {device} stopped {past}",
        "the update broke the {device}",
    ],
}

ONE = ["{wanted}", "{wanted}. It happened {past}", "{wanted} and I need help {day}", "it is simple: {wanted}"]
# {wanted} decides; {other} is settled or beside the point.
TWO = [
    "{other}, that is solved now, but {wanted}",
    "{wanted}, and not, as I wrote {past}, that {other}",
    "I wrote that {other}. Forget it, the trouble is that {wanted}",
    "I do not mind that {other}, I do mind that {wanted}",
    "I do mind that {wanted}, I do not mind that {other}",
    "{wanted}. {name} has already helped me because {other}",
    "{name} has already helped me because {other}. Now {wanted}",
    "first {other} and you fixed it, then {wanted}",
    "{wanted}, although you fixed it when {other}",
    "your answer was about this: {other}. My question was about this: {wanted}",
    "my question was about this: {wanted}. Your answer was about this: {other}",
    "{other}, which is my own fault. Please see to this: {wanted}",
    "please see to this: {wanted}. If {other}, that is my own fault",
    "it is not that {other}. It is that {wanted}",
    "it is that {wanted}. It is not that {other}",
]
OPENINGS = ["Hello, ", "Hi, ", "Good morning, ", "Dear team, ", "Hello {name}, ", "", "", ""]
ENDINGS = [" Thanks, {name}.", " Please help.", " Please answer {day}.", " Regards, {name}.", "", "", ""]


def draw(rng: random.Random, label: str) -> str:
    """One request for a department."""
    wanted = fill(rng, pick(rng, MATTERS[label]), WORDS)
    if chance(rng, ONE_MATTER):
        core = fill(rng, pick(rng, ONE), WORDS, {"wanted": wanted})
    else:
        elsewhere = pick(rng, [other for other in LABELS if other != label])
        other = fill(rng, pick(rng, MATTERS[elsewhere]), WORDS)
        core = fill(rng, pick(rng, TWO), WORDS, {"wanted": wanted, "other": other})
    text = fill(rng, pick(rng, OPENINGS), WORDS) + core + "." + fill(rng, pick(rng, ENDINGS), WORDS)
    return finished(rng, text)


def support_requests(seed: int = SEED) -> dict[str, list[Example]]:
    """The splits train (1,000), validation (300) and test (500)."""
    return generate(draw, LABELS, seed)


if __name__ == "__main__":
    write_splits(support_requests(), Path(sys.argv[1]))
