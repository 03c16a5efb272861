"""Made-up studies with probabilities: many texts, classes and runs, for the page's section on examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from report.made_studies import MadeStudy
from whichtune.records.store import StudyFolder
from whichtune.study.roles import Role

WORDS = [a + b + c for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u") for c in ("n", "r", "st", "ve", "lk")]


class SureStudy(MadeStudy):
    """Its runs give probabilities, surer where they are right; where `always` names a class they know no other."""

    always: int | None = None

    def _answers(self, accuracy: float) -> np.ndarray:
        return super()._answers(accuracy) if self.always is None else np.full(len(self.truth), self.always)

    def _predictions(self, answers: np.ndarray) -> pd.DataFrame:
        logits = self.random.normal(0, 1, (len(answers), len(self.names))).astype(np.float32)
        lift = np.where(answers == self.truth, 6, 4) + self.random.exponential(2, len(answers))
        logits[np.arange(len(answers)), answers] = logits.max(axis=1) + lift - 3
        return super()._predictions(answers).assign(logits=list(logits))


def words(random: np.random.Generator, count: int) -> str:
    return " ".join(random.choice(WORDS, count))


def many(
    folder: Path, n: int = 60, classes: int = 3, rows: int = 3, seeds: int = 3, length: int = 12, **study: Any
) -> StudyFolder:
    """Rows that get better, a row on random weights, and the majority baseline; texts of about `length` words."""
    random = np.random.default_rng(11)
    texts = [f"{words(random, int(random.integers(length // 2, length * 3 // 2 + 1)))} number{i}" for i in range(n)]
    made = SureStudy(folder, [f"class {c}" for c in range(classes)], texts, **study)
    for row in range(rows):
        made.add(f"row {row}", 0.6 + 0.35 * row / max(1, rows - 1), seeds=range(seeds), points=1)
    made.add("from nothing", 0.3, seeds=(0,), points=1)
    made.records[-1] = made.records[-1].model_copy(update={"spec": {**made.records[-1].spec, "weights": "random"}})
    made.always = 0
    made.add("majority", seeds=(None,), role=Role.BASELINE, method="majority", points=1)
    return made.finish(verdict=False)  # what choosing shows is not asked here
