"""A saved run must give its recorded predictions again: asked when it is saved, and before it answers anything new."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.errors import StoreError
from whichtune.records.record import RunRecord
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from whichtune.tasks.base import Answering

PROVED = 10


@dataclass(frozen=True)
class Known:
    """A few test texts, and the rows of the predictions that were recorded of them."""

    texts: list[str]
    recorded: pd.DataFrame


def known_answers(predictions: pd.DataFrame | None, texts: Mapping[str, str]) -> Known | None:
    """Test examples at even distances, with their texts by id; None where none was recorded."""
    if predictions is None or not {"split", "example_id", "prediction"} <= set(predictions):
        return None
    test = predictions[predictions["split"] == "test"]
    test = test[[str(example) in texts for example in test["example_id"]]]
    if test.empty:
        return None
    count = min(PROVED, len(test))
    chosen = test.iloc[[place * len(test) // count for place in range(count)]]
    return Known([texts[str(example)] for example in chosen["example_id"]], chosen)


def predict_proven(
    spec: RunSpec, record: RunRecord, folder: Path, texts: list[str], known: Known | None
) -> pd.DataFrame:
    """What a saved run makes of new texts, once it has given the recorded answers to the known ones.

    Raises StoreError where it gives others: then what was saved is not what was tested.
    """
    first = known.texts if known is not None else []
    table = task_of(spec).predict(spec, record, folder, [*first, *texts])
    _compare(spec, record, table.iloc[: len(first)], known)
    return table.iloc[len(first) :].reset_index(drop=True)


def prove(spec: RunSpec, record: RunRecord, answer: Answering, known: Known | None) -> None:
    """Have a loaded run give the recorded answers to the known texts. Raises StoreError where it gives others."""
    if known is not None:
        _compare(spec, record, answer(known.texts), known)


def _compare(spec: RunSpec, record: RunRecord, again: pd.DataFrame, known: Known | None) -> None:
    if known is None:
        return
    first, recorded = again.reset_index(drop=True), known.recorded.reset_index(drop=True)
    if not task_of(spec).gives_again(spec, record, first, recorded):
        raise StoreError(
            f"What was saved of '{record.label}' does not give its recorded predictions again: make the run again "
            "with --save all."
        )
