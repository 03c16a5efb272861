"""The few texts by which an exported row proves itself, and what it must answer to them.

Shapes: n texts, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.errors import StoreError
from whichtune.records.record import RunRecord
from whichtune.records.store import EXAMPLES, StudyFolder
from whichtune.records.verify import spec_of
from whichtune.runs.proof import known_answers
from whichtune.study.fields import FIELD_END
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

INVENTED = (
    "The parcel arrived two days late, but everything in it was in order.",
    "Please call me back before noon.",
    "I would not buy this again: the handle broke within a week.",
    "What time does the library open on Saturday?",
    "Congratulations, your application was accepted.",
    "The meeting was moved from room 4 to room 12.",
    "It rained all day, and the match was called off in the second half.",
    "Thank you for your quick answer.",
    "The invoice of last month has not been paid yet.",
    "A short walk along the river, then coffee, was all that she had planned for the morning.",
)


@dataclass(frozen=True)
class Texts:
    """Texts with the rows of predictions that were recorded of them; None where they were made up here."""

    texts: list[str]
    recorded: pd.DataFrame | None

    @property
    def are_invented(self) -> bool:
        return self.recorded is None


def texts_for(folder: StudyFolder, record: RunRecord, wanted: bool) -> Texts:
    """Ten of the study's test texts, or invented ones where it stores none or none are `wanted`."""
    known = known_answers(folder.predictions(record.run_id), _stored(folder)) if wanted else None
    if known is None:
        return invented(spec_of(record))
    return Texts(known.texts, known.recorded.reset_index(drop=True))


def invented(spec: RunSpec) -> Texts:
    """Texts that were made up here, with as many fields as the run reads."""
    count = max(1, len(spec.data.text_columns))
    rows = [[*INVENTED[place:], *INVENTED[:place]] for place in range(count)]
    return Texts([FIELD_END.join(fields) for fields in zip(*rows, strict=True)], None)


def _stored(folder: StudyFolder) -> dict[str, str]:
    """Test texts by id; none where the study keeps none."""
    if not (folder.path / EXAMPLES).is_file():
        return {}
    examples = folder.examples()
    if not {"split", "example_id", "text"} <= set(examples):
        return {}
    test = examples[(examples["split"] == "test") & examples["text"].notna()]
    return {str(place): str(text) for place, text in zip(test["example_id"], test["text"], strict=True)}


def in_float32(spec: RunSpec) -> RunSpec:
    """The same run as an exported folder computes it: in float32 on the CPU, and without drawing what is written."""
    written = (
        {**spec.task_settings, "generation": "greedy"} if spec.task_settings.get("generation") == "sample" else None
    )
    changes = {"precision": "float32", "device": "cpu"} | ({} if written is None else {"task_settings": written})
    return spec.model_copy(update=changes)


def logits_again(spec: RunSpec, record: RunRecord, place: Path, texts: Sequence[str]) -> np.ndarray:
    """Logits (n, C) float64 of a saved run, or its numbers (n, 1), computed anew by whichtune."""
    from whichtune.tasks import task_of
    from whichtune.tasks.classification.predict import loaded_run
    from whichtune.tasks.classification.targets import TargetTask

    task = task_of(spec)
    load = task.scorer if isinstance(task, TargetTask) else loaded_run
    found: np.ndarray = load(in_float32(spec), record, place)(list(texts)).astype("float64")
    return found


def word_logits_again(spec: RunSpec, record: RunRecord, place: Path, texts: Sequence[str]) -> list[np.ndarray]:
    """Logits (W, C) float32 of each text's words, computed anew by whichtune from a saved tagger."""
    from whichtune.tasks.tagging.predict import loaded_run

    return loaded_run(in_float32(spec), record, place)(list(texts))


def recorded_logits(texts: Texts) -> np.ndarray | None:
    """The logits (n, C) float64, or numbers (n, 1), that were recorded; None where there are none."""
    import numpy as np

    if texts.recorded is None:
        return None
    if "logits" not in texts.recorded:
        numbers = texts.recorded["prediction"]
        return numbers.to_numpy(dtype=np.float64)[:, None] if numbers.dtype.kind == "f" else None
    return np.stack([np.asarray(row, dtype=np.float64) for row in texts.recorded["logits"]])


@dataclass(frozen=True)
class Prompts:
    """What a model reads before it writes, in tokens, and what it has written."""

    ids: list[list[int]]
    written: list[str]
    max_new_tokens: int


def written_again(spec: RunSpec, record: RunRecord, place: Path, texts: Sequence[str]) -> Prompts:
    """The prompts of texts, and what a saved run writes after them."""
    from whichtune.data.pair_encoding import Room
    from whichtune.models.loading import load_tokenizer, locate
    from whichtune.tasks.text.model import encoder_of
    from whichtune.tasks.text.predict import loaded_writer

    if record.room is None:
        raise StoreError(f"The record of '{record.label}' does not say how its context was shared: make it again.")
    room = Room.of(record.room)
    tokenizer = load_tokenizer(locate(spec.model, spec.revision, spec.weights), spec.remote_code)
    encoder = encoder_of(spec, tokenizer, room.chat)
    ids = [encoder.prompt(encoder.cut(source, room.source), room.prompt) for source in encoder.sources(texts)]
    write = loaded_writer(in_float32(spec), room, place / "weights.safetensors")
    return Prompts(ids, write(list(texts)), room.writing)
