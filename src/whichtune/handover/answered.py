"""An exported folder asked before it is handed over: it must answer as the run did.

Shapes: n texts, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from whichtune.errors import ExportError
from whichtune.handover.forms import Form
from whichtune.handover.loaded import answers
from whichtune.handover.outcomes import answers_of, outputs_of, said_of, shares_of
from whichtune.handover.texts import Texts, logits_again, recorded_logits, word_logits_again, written_again
from whichtune.handover.told import SelfTest
from whichtune.handover.trained import Trained
from whichtune.records.record import RunRecord
from whichtune.records.verify import spec_of
from whichtune.study.fields import fields_of
from whichtune.version import VERSION

if TYPE_CHECKING:
    import numpy as np

TOLERANCE = 1e-5  # of a logit, or of the largest one where that is above 1
MOST_TIPPED = 0.2  # share of written texts that rounding may tip


@dataclass(frozen=True)
class Answered:
    """What the folder says of itself, and the largest difference of its logits (of a tagger how sure its tags are) to
    the recorded ones; None where none were recorded, or texts are written."""

    told: SelfTest
    difference: float | None


def ask_classes(
    record: RunRecord, place: Path, folder: Path, form: Form, texts: Texts, context_length: int, kind: str = "classes"
) -> Answered:
    """Compare a classifier's folder with the run's saved weights, and with what was recorded of them.

    Raises ExportError where the folder computes something else.
    """
    import numpy as np

    from whichtune.tasks.classification.deciding import threshold_of

    spec = spec_of(record)
    outputs, kind_of_answer = outputs_of(spec, record), answers_of(spec)
    again = logits_again(spec, record, place, texts.texts)
    threshold = threshold_of(record)
    told = _told(record, form, texts, context_length, kind)
    found = np.asarray(answers(folder, told, texts.texts))
    # Of words log-probabilities, far below zero where a class is out of the question.
    compared = partial(shares_of, kind_of_answer) if kind == "texts" else _as_they_are
    expected, least = compared(again), outputs.sd if kind_of_answer == "numbers" else 1.0
    _refuse_other(record, form, found, expected, tolerance_of(expected, least))
    recorded = recorded_logits(texts)
    difference = None
    if recorded is not None:
        of_record = compared(recorded)
        seen = np.clip(found, 0, len(outputs.ordered) - 1) if outputs.ordered else found  # as numbers are recorded
        difference = float(np.abs(seen - of_record).max())
        if difference <= tolerance_of(of_record, least):
            expected, again = of_record, recorded if seen is found else again
    is_record = recorded is not None and again is recorded
    shares = shares_of(kind_of_answer, again)
    told = told.model_copy(
        update={
            "answers_from": "record" if is_record else "again",
            "tolerance": tolerance_of(expected, least),
            "logits": again.tolist() if kind_of_answer == "numbers" or kind == "classes" else [],
            "probabilities": [] if kind_of_answer == "numbers" else shares.tolist(),
            "predictions": said_of(
                kind_of_answer, outputs.ordered or outputs.names, outputs.thresholds, shares, threshold
            ),
            "threshold": threshold,
        }
    )
    return Answered(told, difference)


def ask_tags(trained: Trained, place: Path, folder: Path, form: Form, texts: Texts) -> Answered:
    """The same of a tagger, word by word; of the record there are the tags, and how sure they were.

    Raises ExportError where the folder computes something else.
    """
    import numpy as np

    from whichtune.tasks.tagging.evaluate import probabilities_of, tags_of

    record = trained.record
    again = word_logits_again(trained.spec, record, place, texts.texts)
    expected = np.concatenate(again).astype(np.float64)
    told = _told(record, form, texts, trained.context_length, "classes").model_copy(
        update={"version": 3, "tag_token": trained.tag_token, "tolerance": tolerance_of(expected)}
    )
    _refuse_other(record, form, np.asarray(answers(folder, told, texts.texts)), expected, told.tolerance)
    difference = None
    if texts.recorded is not None:
        sure = np.concatenate([np.asarray(known, dtype=np.float64) for known in texts.recorded["probability"]])
        difference = float(np.abs(probabilities_of(expected) - sure).max())
    said = [" ".join(record.labels[tag] for tag in tags_of(own)) for own in again]
    return Answered(told.model_copy(update={"logits": expected.tolist(), "predictions": said}), difference)


def _as_they_are(logits: np.ndarray) -> np.ndarray:
    return logits


def tolerance_of(logits: np.ndarray, least: float = 1.0) -> float:
    """`least`: the largest figure counts for no less, the standard deviation of numbers."""
    import numpy as np

    return TOLERANCE * max(least, float(np.abs(logits).max()))


def _refuse_other(record: RunRecord, form: Form, found: np.ndarray, expected: np.ndarray, limit: float) -> None:
    import numpy as np

    apart = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    if not apart <= limit:
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
    spec = spec_of(record)
    names = list(spec.data.text_columns) if len(spec.data.text_columns) > 1 else []
    answers = answers_of(spec)
    outputs = outputs_of(spec, record)
    fields: dict[str, Any] = {
        "version": 2 if names or answers != "classes" else 1,
        "whichtune": VERSION,
        "row": record.label,
        "seed": record.seed,
        "run_id": record.run_id,
        "form": form.name,
        "kind": kind,
        "answers": answers,
        "loader": form.loader,
        "base_class": form.base_class,
        "reading": form.reading,
        "virtual_tokens": form.virtual_tokens,
        "opset": form.opset,
        "context_length": context_length,
        "fields": names,
        "template": form.template,
        "inputs": form.inputs,
        "labels": list(outputs.names) if kind != "words" else [],
        "thresholds": list(outputs.thresholds),
        "ordered": list(outputs.ordered),
        "texts_from": "invented" if texts.are_invented else "study",
        "answers_from": "again",
        "tolerance": TOLERANCE,
        "texts": [fields_of(text) for text in texts.texts] if names else texts.texts,
        "predictions": [],
    }
    return SelfTest(**fields)
