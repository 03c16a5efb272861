"""Always predict the most frequent training class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.baselines.base import Baseline, BaselineCard, Fitted, register
from whichtune.models.saving import load_arrays, save_arrays

if TYPE_CHECKING:
    import numpy as np


class FittedMajority(Fitted):
    def __init__(self, log_shares: np.ndarray) -> None:
        self.log_shares = log_shares  # (C,)

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        import numpy as np

        return np.tile(self.log_shares, (len(texts), 1))

    @property
    def parameters(self) -> int:
        return len(self.log_shares)

    def save(self, folder: Path) -> None:
        save_arrays({"log_shares": self.log_shares}, folder / "baseline.safetensors")


@register
class Majority(Baseline):
    name = "majority"
    card = BaselineCard(
        summary="Predict the most frequent training class, with the training shares as probabilities.",
        reference="the floor that any classifier must clear",
    )

    def fit(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> FittedMajority:
        import numpy as np

        return FittedMajority(np.log(np.bincount(labels, minlength=classes) / len(labels)))

    def load(self, folder: Path) -> FittedMajority:
        found = load_arrays(folder / "baseline.safetensors", {"log_shares": 1}, least=-math.inf)
        return FittedMajority(found["log_shares"])
