"""Tags without a language model: `O` everywhere, or for each word the tag that it mostly has in training.

`labels` to fit on are (n,) objects, the tags (W,) of each sentence; `logits` are log-probabilities (sum of W, C) of all
words, sentence by sentence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.baselines.base import Baseline, BaselineCard, Fitted, register
from whichtune.baselines.tfidf import read_vocabulary
from whichtune.errors import StoreError
from whichtune.models.saving import load_arrays, save_arrays

if TYPE_CHECKING:
    import numpy as np

TASKS = ("tagging",)
OUTSIDE = 0
TABLE, VOCABULARY = "baseline.safetensors", "vocabulary.json"


class FittedTags(Fitted):
    """Log-probabilities of tags (V + 1, C) of the words that are known, and in the last row of all others."""

    def __init__(self, rows: dict[str, int], table: np.ndarray) -> None:
        self.rows, self.table = rows, table

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        unknown = len(self.table) - 1
        return self.table[[self.rows.get(word, unknown) for text in texts for word in text.split()]]

    @property
    def parameters(self) -> int:
        return int(self.table.size)

    def save(self, folder: Path) -> None:
        save_arrays({"table": self.table}, folder / TABLE)
        (folder / VOCABULARY).write_text(json.dumps(self.rows, ensure_ascii=False), encoding="utf-8")


class _Tags(Baseline):
    tasks = TASKS

    def load(self, folder: Path) -> FittedTags:
        table, rows = load_arrays(folder / TABLE, {"table": 2})["table"], read_vocabulary(folder / VOCABULARY)
        if len(table) != len(rows) + 1:
            raise StoreError(f"What was saved of the baseline in {folder.name} does not fit together.")
        return FittedTags(rows, table)


def outside_first(labels: np.ndarray, classes: int) -> np.ndarray:
    """The shares of the tags among all training words (C,), none of them larger than that of `O`."""
    import numpy as np

    shares = np.bincount(np.concatenate(list(labels)), minlength=classes) + 1.0
    shares[OUTSIDE] = shares.max()
    found: np.ndarray = shares / shares.sum()
    return found


@register
class AllOutside(_Tags):
    name = "all_outside"
    card = BaselineCard(
        summary="Tag every word O, with the training shares as probabilities.",
        reference="the floor of tag accuracy; its entity F1 is 0, since it finds none",
    )

    def fit(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> FittedTags:
        import numpy as np

        return FittedTags({}, np.log(outside_first(labels, classes))[None])


@register
class WordTag(_Tags):
    name = "word_tag"
    card = BaselineCard(
        summary="Give each word the tag that it mostly has in training, and words that are not there O.",
        reference="Tjong Kim Sang and De Meulder 2003 (a lookup of training words as the baseline of the shared task)",
    )

    def fit(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> FittedTags:
        import numpy as np

        words = [word for text in texts for word in text.split()]
        rows = {word: row for row, word in enumerate(dict.fromkeys(words))}
        counts = np.zeros((len(rows) + 1, classes))
        np.add.at(counts, (np.array([rows[word] for word in words]), np.concatenate(list(labels))), 1)
        counts += outside_first(labels, classes)  # less than one in all: it decides where nothing else does
        return FittedTags(rows, np.log(counts / counts.sum(axis=1, keepdims=True)))
