"""What a study asks of its metrics: a recall, a class, what mistakes cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Costs = Mapping[str, Mapping[str, float]]
USUAL_RECALL = 0.9


@dataclass(frozen=True)
class Terms:
    """By what metrics with a choice of their own are told, places being those of the class names.

    `recall` is that at which precision is told, of the class `positive`, None being the mean over classes; `costs`
    `(C, C)` are those of an answer (second) to a text with that label (first), None where no matrix was given.
    """

    recall: float = USUAL_RECALL
    positive: int | None = None
    costs: tuple[tuple[float, ...], ...] | None = None


USUAL = Terms()


def terms_of(kept: Mapping[str, object]) -> Terms:
    """Terms as a run keeps them, in plain values."""
    given = dict(kept)
    if isinstance(costs := given.get("costs"), (list, tuple)):
        given["costs"] = tuple(tuple(float(cost) for cost in row) for row in costs)
    return replace(USUAL, **given)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Classified:
    """Labels and answers `(n,)` of some texts, with logits `(n, C)` where there are any."""

    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    logits: NDArray[np.float32] | NDArray[np.float64] | None
    classes: int


def cost_table(costs: Costs, labels: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """Costs by name as a table in the order of `labels`; a right answer costs nothing unless it is said to.

    Raises ValueError, whose text is the end of a sentence, for a class that is none, a cost below zero or without end,
    and a mistake without a cost.
    """
    for label, row in costs.items():
        for name in (label, *row):
            if name not in labels:
                raise ValueError(f"'{name}' is none of the classes {', '.join(labels)}")
        for answer, cost in row.items():
            if not 0 <= cost < float("inf"):
                raise ValueError(f"answering '{answer}' to '{label}' costs {cost:g}: a cost is 0 or more, and finite")
    for label in labels:
        for answer in labels:
            if label != answer and answer not in costs.get(label, {}):
                raise ValueError(f"it does not say what answering '{answer}' to '{label}' costs")
    return tuple(tuple(float(costs.get(label, {}).get(answer, 0.0)) for answer in labels) for label in labels)
