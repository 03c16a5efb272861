"""Rows that the tests of odd data write in many forms."""

from __future__ import annotations

import json

from whichtune.data.splits import Dataset, load_dataset
from whichtune.study.data_settings import DataSettings

COUNT = 40
TEXTS = [f"message {row}" for row in range(COUNT)]
LABELS = ["ham", "spam"] * (COUNT // 2)
ROWS = list(zip(TEXTS, LABELS, strict=True))
OBJECTS = [{"text": text, "label": label} for text, label in ROWS]


def load(source: object, **keys: object) -> Dataset:
    return load_dataset(DataSettings(source=str(source), **keys))


def examples(dataset: Dataset) -> list[tuple[str, str]]:
    """All texts with their labels in the order of the source."""
    found = [
        (int(row.rpartition("-")[2]), text, dataset.labels[label])
        for part in dataset.splits.values()
        for row, text, label in zip(part.ids, part.texts, part.labels, strict=True)
    ]
    return [(text, label) for _, text, label in sorted(found)]


def table(separator: str = ",", header: str = "text,label", row: str = "{t},{l}", end: str = "\n") -> str:
    lines = [header, *(row.format(t=text, l=label, n=number) for number, (text, label) in enumerate(ROWS, start=1))]
    return "".join(line.replace(",", separator) + end for line in lines)


def lines_of(objects: list[dict[str, object]]) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)
