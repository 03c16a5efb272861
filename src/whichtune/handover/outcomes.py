"""What is said of a text from a model's outputs: a class, a number, or labels.

Shapes: n texts, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from whichtune.data.label_cells import sign_between
from whichtune.tasks import task_of

if TYPE_CHECKING:
    import numpy as np

    from whichtune.records.record import RunRecord
    from whichtune.study.spec import RunSpec
    from whichtune.tasks.base import Outputs

Answers = Literal["classes", "numbers", "labels", "tags"]
AnswerKind = Literal["classes", "numbers", "labels", "tags", "texts"]


def answers_of(spec: RunSpec) -> Answers:
    """What a run answers with that does not write texts; tasks of one's own answer with classes."""
    found = task_of(spec).answers
    return found if found == "numbers" or found == "labels" or found == "tags" else "classes"


def outputs_of(spec: RunSpec, record: RunRecord) -> Outputs:
    """What the outputs of a run's model are."""
    return task_of(spec).outputs(spec, record)


def shares_of(answers: Answers, logits: np.ndarray) -> np.ndarray:
    """Probabilities (n, K) of logits (n of the texts, or of tags those of all their words); of numbers the numbers
    themselves."""
    from scipy.special import expit, softmax

    if answers == "numbers":
        return logits
    found: np.ndarray = expit(logits) if answers == "labels" else softmax(logits, axis=1)
    return found


def said_of(
    answers: Answers,
    names: Sequence[str],
    thresholds: Sequence[float],
    shares: np.ndarray,
    threshold: float | None = None,
) -> list[str]:
    """The answer to each text as one text, from probabilities or numbers (n, K). Of numbers `names` are one, or ordered
    classes; of two classes the second is the answer from `threshold` on."""
    if answers == "numbers" and len(names) > 1:
        return nearest_classes(names, shares[:, 0])
    if answers == "numbers":
        return [repr(float(number)) for number in shares[:, 0]]
    if answers == "labels":
        return [sign_between(names, None).join(given_labels(names, thresholds, row)) for row in shares]
    places = shares.argmax(axis=1) if threshold is None else (shares[:, 1] >= threshold).astype(int)
    return [names[place] for place in places]


def nearest_classes(ordered: Sequence[str], numbers: np.ndarray) -> list[str]:
    """The ordered class that each number (n,) is nearest to."""
    import numpy as np

    places = np.clip(np.floor(numbers + 0.5), 0, len(ordered) - 1).astype(int)
    return [ordered[place] for place in places]


def given_labels(names: Sequence[str], thresholds: Sequence[float], shares: Sequence[float]) -> list[str]:
    """The labels whose probabilities reach their thresholds."""
    return [name for name, least, share in zip(names, thresholds, shares, strict=True) if share >= least]
