"""The trained weights of a run: as they were saved, or made again where they were not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from whichtune.errors import ExportError, WhichtuneError
from whichtune.handover.outcomes import answers_of, outputs_of, shares_of
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.records.verify import spec_of
from whichtune.runs.predict import saved_in
from whichtune.wording import duration

if TYPE_CHECKING:
    import pandas as pd

Tell = Callable[[str], None]
SAME_PROBABILITY = 0.005  # as `predict` allows: training rounds differently with other threads
SAME_NUMBER = 0.005  # the same of numbers, in standard deviations
MOST_TIPPED = 0.2  # share of written texts, or of answers without probabilities, that rounding may tip


@contextmanager
def weights_of(folder: StudyFolder, record: RunRecord, tell: Tell, threads: int | None = None) -> Iterator[Path]:
    """Within, the folder that has the run's weights.

    A run that was not saved is made again, which is told with the time that it took; its record stays as it is, and
    what is made must give its recorded predictions. Raises ExportError where that cannot be, StoreError for weights
    that are not to be believed.
    """
    if folder.weight_files(record.run_id):
        yield saved_in(folder, record)
        return
    tell(
        f"The weights of {named(record)} were not saved: it is made again, which takes about "
        f"{duration(seconds_of(record))}."
    )
    with TemporaryDirectory(prefix="whichtune-export-") as name:
        _make_again(folder, record, Path(name), threads)
        yield Path(name)


def named(record: RunRecord) -> str:
    """A run as it stands in a sentence."""
    return f"'{record.label}'" + ("" if record.seed is None else f" with seed {record.seed}")


def seconds_of(record: RunRecord) -> float:
    """What a run took in all, by its record."""
    cost = record.cost
    parts = (cost.load_seconds, cost.check_seconds, cost.training_seconds, cost.evaluate_seconds)
    return math.fsum(part for part in parts if part is not None)


def _make_again(folder: StudyFolder, record: RunRecord, place: Path, threads: int | None) -> None:
    """Make the run in this process and save it in `place`."""
    from whichtune.runs.run import run_one

    if threads:
        import torch

        torch.set_num_threads(threads)
    try:
        again = run_one(spec_of(record))
        if again.save is not None:
            again.save(place)
    except WhichtuneError as error:
        reason = str(error).rstrip(".")
        raise ExportError(
            f"The weights of {named(record)} were not saved, and it cannot be made again: {reason}."
        ) from error
    if again.predictions is None or not same_predictions(record, folder.predictions(record.run_id), again.predictions):
        raise ExportError(
            f"Made again, {named(record)} gives other predictions than are recorded, so it is not exported: run the "
            "study again with --save all."
        )


def same_predictions(record: RunRecord, recorded: pd.DataFrame, again: pd.DataFrame) -> bool:
    """Whether a run that was made again answers as recorded, rounding apart."""
    import numpy as np

    if len(recorded) != len(again) or list(recorded["example_id"]) != list(again["example_id"]):
        return False
    if "logits" in recorded and "logits" in again:
        answers = answers_of(spec_of(record))
        shares = [shares_of(answers, np.stack(list(table["logits"])).astype(np.float64)) for table in (recorded, again)]
        return shares[0].shape == shares[1].shape and bool(np.abs(shares[0] - shares[1]).max() <= SAME_PROBABILITY)
    if recorded["prediction"].dtype.kind == "f":
        apart = np.abs(recorded["prediction"] - again["prediction"]).max()
        return bool(apart <= SAME_NUMBER * outputs_of(spec_of(record), record).sd)
    pairs = zip(recorded["prediction"], again["prediction"], strict=True)
    other = sum(list(a) != list(b) if spec_of(record).task == "tagging" else a != b for a, b in pairs)
    return other <= MOST_TIPPED * len(recorded)
