"""Sentences with tagged words: who stands where, in a word a line or in lists."""

from __future__ import annotations

import json
import random
from pathlib import Path

from plain_loop import plain_spec
from whichtune.study.spec import RunSpec

STEPS, BATCH = 20, 4  # of the run that a plain loop repeats
NAMES = ("Anna", "Ben", "Paris", "Umberto")
FAMILIES = ("Lee", "Smith-Jones", "Ó'Brien")
PLACES = ("Berlin", "Paris", "New York", "Rio de Janeiro")
BETWEEN = ("lives in", "moved yesterday to", "is not from")

Sentence = list[tuple[str, str]]


def made_tags(rows: int, seed: int = 0) -> list[Sentence]:
    """Words with their tags. A name has a family name or none, and every seventh sentence has no entity."""
    draw = random.Random(seed)
    made = []
    for number in range(rows):
        person = [draw.choice(NAMES), *([draw.choice(FAMILIES)] if draw.random() < 0.6 else [])]
        place = draw.choice(PLACES).split()
        sentence = [*_spread(person, "PER"), *_outside(draw.choice(BETWEEN)), *_spread(place, "LOC")]
        if number % 7 == 6:
            sentence = _outside("nobody was anywhere")
        made.append([*sentence, *_outside(f". no {number}")])
    return made


def _spread(words: list[str], kind: str) -> Sentence:
    return [(word, f"{'B' if place == 0 else 'I'}-{kind}") for place, word in enumerate(words)]


def _outside(words: str) -> Sentence:
    return [(word, "O") for word in words.split()]


def as_conll(sentences: list[Sentence], between: str = " ") -> str:
    return "\n".join("".join(f"{word}{between}{tag}\n" for word, tag in sentence) for sentence in sentences)


def tags_file(folder: Path, rows: int = 60, seed: int = 0) -> Path:
    """The same as a file of a word a line."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "people.conll").write_text(as_conll(made_tags(rows, seed)), encoding="utf-8")
    return folder / "people.conll"


def as_jsonl(sentences: list[Sentence], words: str = "tokens", tags: str = "ner_tags") -> str:
    return "".join(
        json.dumps({words: [word for word, _ in sentence], tags: [tag for _, tag in sentence]}) + "\n"
        for sentence in sentences
    )


def tag_spec(data: Path, model: Path, method: str, plan: str, token: str = "first") -> RunSpec:
    """The run that a plain loop repeats."""
    spec = plain_spec("tagging", {"tag_token": token}, data, model, method, plan)
    return spec.model_copy(update={"token_position": None, "max_steps": STEPS, "batch_size": BATCH})
