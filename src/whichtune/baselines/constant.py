"""What answers every text alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.baselines.base import Fitted
from whichtune.models.saving import load_arrays, save_arrays

if TYPE_CHECKING:
    import numpy as np

FILE = "baseline.safetensors"


class FittedConstant(Fitted):
    """The same numbers (K,) for each text."""

    def __init__(self, mean: np.ndarray) -> None:
        self.mean = mean

    @classmethod
    def load(cls, folder: Path) -> FittedConstant:
        """What `save` wrote."""
        return cls(load_arrays(folder / FILE, {"mean": 1}, least=-math.inf)["mean"])

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        import numpy as np

        return np.tile(self.mean, (len(texts), 1))

    @property
    def parameters(self) -> int:
        return int(self.mean.size)

    def save(self, folder: Path) -> None:
        save_arrays({"mean": self.mean}, folder / FILE)
