"""Texts with numbers whose best R2 is known: a number is the sum of what its words are worth, and noise.

The words' sum has a variance that is known, and the noise one of a ninth of it, so that R2 is 0.9 at best.
"""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd

BEST = 0.9
WORTH = {"superb": 3.0, "fine": 1.0, "plain": 0.0, "dull": -1.0, "awful": -3.0}
THINGS = ("room", "meal", "view", "staff")
SHIFT, UNIT = 50.0, 7.0


def made_numbers(rows: int, seed: int = 0) -> pd.DataFrame:
    """Columns text, score."""
    draw = random.Random(seed)
    variance = len(THINGS) * sum(worth**2 for worth in WORTH.values()) / len(WORTH)
    noise = (variance * (1 - BEST) / BEST) ** 0.5
    made = []
    for _ in range(rows):
        words = [draw.choice(list(WORTH)) for _ in THINGS]
        text = ", ".join(f"{word} {thing}" for word, thing in zip(words, THINGS, strict=True))
        worth = sum(WORTH[word] for word in words) + draw.gauss(0, noise)
        made.append({"text": text, "score": SHIFT + UNIT * worth})
    return pd.DataFrame(made)


def numbers_file(folder: Path, rows: int = 150, seed: int = 0) -> Path:
    """The same as a CSV file."""
    folder.mkdir(parents=True, exist_ok=True)
    made_numbers(rows, seed).to_csv(folder / "scores.csv", index=False)
    return folder / "scores.csv"
