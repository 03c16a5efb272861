"""Texts with sets of labels: each of a few words means a label, and a text has those of the words in it."""

from __future__ import annotations

import json
import random
from pathlib import Path

MEANS = {"late": "delivery", "refund": "money", "rude": "staff", "broken": "goods"}
FILLERS = ("the order", "my parcel", "this shop", "again", "today", "please")
SHARES = (0.5, 0.35, 0.25, 0.15)


def made_labels(rows: int, seed: int = 0) -> list[tuple[str, list[str]]]:
    """Texts and their labels, in the order of `MEANS`."""
    draw = random.Random(seed)
    made = []
    for number in range(rows):
        words = [word for word, share in zip(MEANS, SHARES, strict=True) if draw.random() < share]
        parts = [*words, *draw.sample(FILLERS, 3), f"no {number}"]
        draw.shuffle(parts)
        made.append((" ".join(parts), [MEANS[word] for word in words]))
    return made


def labels_file(folder: Path, rows: int = 60, seed: int = 0) -> Path:
    """The same as a JSONL file with columns text and labels, a list."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": text, "labels": labels}) for text, labels in made_labels(rows, seed)]
    (folder / "tickets.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "tickets.jsonl"
