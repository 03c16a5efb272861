"""What the two generators share: filling templates, surface noise, label noise, splits, files.

Random numbers come from `random.Random.random()` alone, whose sequence Python promises to keep for a
seed; `choice` and `shuffle` may change between versions, so they are not used.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Words = Mapping[str, Sequence[str]]

NAMES = [
    *("Anna", "Ben", "Carla", "David", "Emma", "Finn", "Grace", "Hugo"),
    *("Ines", "Jack", "Kate", "Leo", "Maria", "Nora", "Omar", "Paul"),
]
SIZES = {"train": 1000, "validation": 300, "test": 500}
LABEL_NOISE = 0.02
_SLOT = re.compile(r"\{(\w+)\}")
_SHORT = {
    "you": "u",
    "your": "ur",
    "are": "r",
    "please": "pls",
    "thanks": "thx",
    "tomorrow": "tmrw",
    "and": "&",
}


@dataclass(frozen=True)
class Example:
    """A text, the label that made it (`true_label`) and the label it is shipped with."""

    text: str
    true_label: str
    label: str


def pick(rng: random.Random, items: Sequence[T]) -> T:
    return items[int(rng.random() * len(items))]


def chance(rng: random.Random, probability: float) -> bool:
    return rng.random() < probability


def shuffled(rng: random.Random, items: Sequence[T]) -> list[T]:
    rest = list(items)
    return [rest.pop(int(rng.random() * len(rest))) for _ in range(len(rest))]


def fill(rng: random.Random, template: str, words: Words, given: Mapping[str, str] | None = None) -> str:
    """Replace each `{slot}` by the given text or by one of the slot's choices, which may hold slots too."""
    given = given or {}

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in given:
            return given[name]
        return fill(rng, pick(rng, words[name]), words, given)

    return _SLOT.sub(replace, template)


def sentence_case(text: str) -> str:
    """Capital letters where sentences begin; one space between words."""
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"(^|[.!?] )([a-z])", lambda m: m.group(1) + m.group(2).upper(), text)


def surface_noise(rng: random.Random, text: str) -> str:
    """What people do to a message whatever its class: short forms, no capitals, no full stop, a slip."""
    if chance(rng, 0.15):
        text = re.sub(r"\w+", lambda m: _SHORT.get(m.group(0), m.group(0)), text)
    if chance(rng, 0.2):
        text = text.lower()
    if chance(rng, 0.25):
        text = text.rstrip(".!")
    if chance(rng, 0.1):
        place = 1 + int(rng.random() * (len(text) - 2))
        if text[place - 1 : place + 1].isalpha():
            text = text[: place - 1] + text[place] + text[place - 1] + text[place + 1 :]
    return text


def finished(rng: random.Random, text: str) -> str:
    """A drawn text as it is shipped: sentences with their capitals, then the noise."""
    return surface_noise(rng, sentence_case(text))


def only_words(text: str) -> str:
    """The text without case, punctuation and short forms, so that texts that mean the same are equal."""
    long = {short: word for word, short in _SHORT.items()}
    return " ".join(long.get(word, word) for word in re.findall(r"[\w&']+", text.lower()))


def generate(
    draw: Callable[[random.Random, str], str], labels: Sequence[str], seed: int, sizes: Mapping[str, int] = SIZES
) -> dict[str, list[Example]]:
    """Splits of distinct texts with balanced true labels, of which `LABEL_NOISE` then get another.

    `draw(rng, label)` makes a text of a class. No text is made twice in any split. In each split the share
    of wrong labels is exact (rounded), so a classifier that knows the grammar is right on the others and
    cannot know which these are: 1 - LABEL_NOISE is the best accuracy that can be expected.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    splits: dict[str, list[Example]] = {}
    for split, size in sizes.items():
        true = shuffled(rng, [labels[i % len(labels)] for i in range(size)])
        wrong = set(shuffled(rng, range(size))[: round(size * LABEL_NOISE)])
        rows = []
        for index, label in enumerate(true):
            text = draw(rng, label)
            while only_words(text) in seen:
                text = draw(rng, label)
            seen.add(only_words(text))
            shown = pick(rng, [other for other in labels if other != label]) if index in wrong else label
            rows.append(Example(text, label, shown))
        splits[split] = rows
    return splits


def write_splits(splits: dict[str, list[Example]], folder: Path) -> None:
    """Each split as NAME.csv in `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        write_csv(rows, folder / f"{split}.csv")


def write_csv(rows: Sequence[Example], path: Path) -> None:
    """Columns text and label, UTF-8, lines ended by a newline alone on every system."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows([row.text, row.label] for row in rows)
