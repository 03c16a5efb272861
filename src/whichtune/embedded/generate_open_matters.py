"""The seeded generator of `open_matters`: what customers write, by every matter in it that is still open.

    python -m whichtune.embedded.generate_open_matters FOLDER

A message names up to four matters of a shop's departments, those of `support_requests`. Some are open and some are
settled, which the words around them say, so that naming a matter is not enough; a few messages name none, and some only
settled ones. A label is given for each department with an open matter. At the end 2 % of the decisions of each label
are turned round in each split.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from whichtune.embedded.generate_support_requests import ENDINGS, LABELS, MATTERS, OPENINGS, WORDS
from whichtune.embedded.grammar import LABEL_NOISE, SIZES, chance, fill, finished, only_words, pick, shuffled

SEED = 20240711
# How often a message has an open matter of a department, and how often it names a settled one instead.
OPEN = {"account": 0.18, "billing": 0.36, "delivery": 0.46, "returns": 0.24, "technical": 0.12}
SETTLED = 0.25
MOST_MATTERS = 4

STILL_OPEN = [
    "{matter}",
    "{matter} and I need help {day}",
    "I write because {matter}",
    "please see to this: {matter}",
    "what is more, {matter}",
    "nobody has answered me yet: {matter}",
]
DONE = [
    "{matter}, but that is solved now",
    "you have already seen to this: {matter}",
    "forget that {matter}",
    "I do not mind that {matter}",
    "{name} has helped me, so it no longer matters that {matter}",
    "last time I wrote that {matter}, thank you for putting it right",
]
BESIDE = [
    "I only want to say thank you for the {thing}",
    "I like the {thing} very much",
    "are you open {day}?",
    "do you sell a {thing} in blue?",
    "I am a customer since last year",
]


@dataclass(frozen=True)
class Message:
    """A text, the labels that it was made for, and those that it is shipped with."""

    text: str
    true_labels: tuple[str, ...]
    labels: tuple[str, ...]


def draw(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """A text and its labels."""
    opened: list[str] = []
    parts: list[str] = []
    for label in shuffled(rng, LABELS):
        is_open = chance(rng, OPEN[label])
        is_settled = not is_open and chance(rng, SETTLED)
        if len(parts) == MOST_MATTERS or not (is_open or is_settled):
            continue
        matter = fill(rng, pick(rng, MATTERS[label]), WORDS)
        parts.append(fill(rng, pick(rng, STILL_OPEN if is_open else DONE), WORDS, {"matter": matter}))
        opened += [label] if is_open else []
    if not parts or chance(rng, 0.15):
        parts.insert(0, fill(rng, pick(rng, BESIDE), WORDS))
    text = ". ".join(parts).replace("?.", "?") + ("" if parts[-1].endswith("?") else ".")
    whole = fill(rng, pick(rng, OPENINGS), WORDS) + text + fill(rng, pick(rng, ENDINGS), WORDS)
    return finished(rng, whole), tuple(label for label in LABELS if label in opened)


def open_matters(seed: int = SEED, sizes: Mapping[str, int] = SIZES) -> dict[str, list[Message]]:
    """The splits train (1,000), validation (300) and test (500), of distinct texts.

    In each split the share of decisions of each label that are turned round is exact (rounded), so that whoever knows
    the grammar has a Hamming loss of that share and cannot know which they are.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    splits: dict[str, list[Message]] = {}
    for split, size in sizes.items():
        drawn: list[tuple[str, tuple[str, ...]]] = []
        while len(drawn) < size:
            text, labels = draw(rng)
            if only_words(text) not in seen:
                seen.add(only_words(text))
                drawn.append((text, labels))
        turned = {label: set(shuffled(rng, range(size))[: round(size * LABEL_NOISE)]) for label in LABELS}
        splits[split] = [
            Message(text, true, tuple(label for label in LABELS if (label in true) != (place in turned[label])))
            for place, (text, true) in enumerate(drawn)
        ]
    return splits


def write_jsonl(splits: Mapping[str, Sequence[Message]], folder: Path) -> None:
    """Each split as NAME.jsonl in `folder`, which is made: columns text and labels, a list."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        lines = [json.dumps({"text": row.text, "labels": list(row.labels)}, ensure_ascii=False) for row in rows]
        (folder / f"{split}.jsonl").write_bytes("".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    write_jsonl(open_matters(), Path(sys.argv[1]))
