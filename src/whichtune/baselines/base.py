"""What a baseline is: fitted on texts alone, without the model, deterministic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from whichtune.registry import Registry

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BaselineCard:
    summary: str
    reference: str


class Fitted(ABC):
    """A fitted baseline."""

    @abstractmethod
    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Log-probabilities (n, C)."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Fitted numbers."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `Baseline.load` needs, without pickle."""


class Baseline(ABC):
    """One model-free row of the table; instances are registered in BASELINES."""

    name: ClassVar[str]
    card: ClassVar[BaselineCard]
    tasks: ClassVar[tuple[str, ...]] = ("classification",)

    def of_fields(self, count: int) -> Baseline:
        """The baseline for texts of so many fields (`data.fields`), more than one; without a way of its own it gets
        them as they are, as one text."""
        return self

    @abstractmethod
    def fit(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> Fitted:
        """Fit on the training split: texts and labels (n,) int64, or what the baseline's task has for them."""

    @abstractmethod
    def load(self, folder: Path) -> Fitted:
        """What `Fitted.save` wrote."""


class Extract(ABC):
    """A row that takes its answer from the text itself: nothing is fitted. Registered in BASELINES, too."""

    name: ClassVar[str]
    card: ClassVar[BaselineCard]
    tasks: ClassVar[tuple[str, ...]] = ("text_to_text", "summarisation")

    @abstractmethod
    def answer(self, text: str) -> str:
        """The answer to one text, as it stands in the data."""


BASELINES: Registry[Baseline | Extract] = Registry(
    "baseline",
    [f"whichtune.baselines.{module}" for module in ("majority", "tfidf", "lead", "numbers", "several_labels", "tags")],
    group="whichtune.baselines",
)
Row = TypeVar("Row", Baseline, Extract)


def register(cls: type[Row]) -> type[Row]:
    """Class decorator: store one instance in BASELINES under the class's name."""
    BASELINES.register(cls.name)(cls())
    return cls


def fitted_baseline(name: str, fields: int = 1) -> Baseline:
    """A baseline that is fitted to labels, for texts of so many fields."""
    found = BASELINES[name]
    assert isinstance(found, Baseline)  # the study's names were checked
    return found.of_fields(fields) if fields > 1 else found


def extract_baseline(name: str) -> Extract:
    """A baseline that takes its answer from the text."""
    found = BASELINES[name]
    assert isinstance(found, Extract)
    return found
