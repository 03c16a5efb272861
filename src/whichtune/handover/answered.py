"""An exported folder asked before it is handed over: it must answer as the run did.

Shapes: n texts, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from whichtune.errors import ExportError
from whichtune.handover.forms import Form
from whichtune.handover.loaded import answers
from whichtune.handover.texts import Texts, logits_again, recorded_logits, written_again
from whichtune.handover.told import SelfTest
from whichtune.handover.trained import Trained
from whichtune.records.record import RunRecord
from whichtune.records.verify import spec_of
from whichtune.version import VERSION

if TYPE_CHECKING:
    import numpy as np

TOLERANCE = 1e-5  # of a logit, or of the largest one where that is above 1
MOST_TIPPED = 0.2  # share of written texts that rounding may tip


@dataclass(frozen=True)
class Answered:
    """What the folder says of itself, and the largest difference of its logits to the recorded ones; None where none
    were recorded, or texts are written."""

    told: SelfTest
    difference: float | None


def ask_classes(
    record: RunRecord, place: Path, folder: Path, form: Form, texts: Texts, context_length: int, kind: str = "classes"
) -> Answered:
    """Compare a classifier's folder with the run's saved weights, and with what was recorded of them.

    Raises ExportError where the folder computes something else.
    """
    import numpy as np
    from scipy.special import softmax

    from whichtune.tasks.classification.deciding import decided, threshold_of

    again = logits_again(spec_of(record), record, place, texts.texts)
    told = _told(record, form, texts, context_length, kind)
    found = np.asarray(answers(folder, told, texts.texts))
    of_words = kind == "texts"  # log-probabilities, far below zero where a class is out of the question
    expected = softmax(again, axis=1) if of_words else again
    _refuse_other(record, form, found, expected)
    recorded = recorded_logits(texts)
    difference = None
    if recorded is not None:
        of_record = softmax(recorded, axis=1) if of_words else recorded
        difference = float(np.abs(found - of_record).max())
        if difference <= tolerance_of(of_record):
            expected, again = of_record, recorded
    is_record = recorded is not None and again is recorded
    told = told.model_copy(
        update={
            "answers_from": "record" if is_record else "again",
            "tolerance": tolerance_of(expected),
            "logits": [] if of_words else again.tolist(),
            "probabilities": softmax(again, axis=1).tolist(),
            "predictions": [record.labels[place] for place in decided(again, threshold_of(record))],
            "threshold": threshold_of(record),
        }
    )
    return Answered(told, difference)


def tolerance_of(logits: np.ndarray) -> float:
    import numpy as np

    return TOLERANCE * max(1.0, float(np.abs(logits).max()))


def _refuse_other(record: RunRecord, form: Form, found: np.ndarray, expected: np.ndarray) -> None:
    import numpy as np

    apart = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    if not apart <= tolerance_of(expected):
        raise ExportError(
            f"'{record.label}' as {form.name} ({form.loader}) gives other answers than its saved weights do (apart by "
            f"{apart:.2g}), so it is not exported: choose another --format."
        )


def ask_words(trained: Trained, place: Path, folder: Path, form: Form, texts: Texts) -> Answered:
    """Compare what a folder writes with what the run's saved weights write, and with what was recorded of them."""
    spec, record = trained.spec, trained.record
    prompts = written_again(spec, record, place, texts.texts)
    told = _told(record, form, texts, trained.context_length, "words").model_copy(
        update={"input_ids": prompts.ids, "max_new_tokens": prompts.max_new_tokens}
    )
    found = answers(folder, told, texts.texts)
    assert isinstance(found, list)
    if (tipped := _apart(found, prompts.written)) > MOST_TIPPED * len(found):
        raise ExportError(
            f"'{record.label}' as {form.name} ({form.loader}) writes something else than its saved weights do in "
            f"{tipped} of {len(found)} texts, so it is not exported: choose another --format."
        )
    recorded = None if texts.recorded is None else [str(text) for text in texts.recorded["prediction"]]
    source: Literal["record", "again"] = "record" if recorded == found else "again"
    return Answered(told.model_copy(update={"answers_from": source, "predictions": found}), None)


def _apart(found: list[str], others: list[str]) -> int:
    return sum(a != b for a, b in zip(found, others, strict=True))


def _told(record: RunRecord, form: Form, texts: Texts, context_length: int, kind: str) -> SelfTest:
    """What the folder is; its answers come later."""
    fields: dict[str, Any] = {
        "whichtune": VERSION,
        "row": record.label,
        "seed": record.seed,
        "run_id": record.run_id,
        "form": form.name,
        "kind": kind,
        "loader": form.loader,
        "base_class": form.base_class,
        "reading": form.reading,
        "virtual_tokens": form.virtual_tokens,
        "opset": form.opset,
        "context_length": context_length,
        "labels": list(record.labels),
        "texts_from": "invented" if texts.are_invented else "study",
        "answers_from": "again",
        "tolerance": TOLERANCE,
        "texts": texts.texts,
        "predictions": [],
    }
    return SelfTest(**fields)
