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

    from whichtune.tasks.base import Answering, AnyTask

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


def proven(spec: RunSpec, record: RunRecord, folder: Path, known: Known | None) -> Answering:
    """A saved run, loaded once, that has given the recorded answers to the known texts.

    Raises StoreError where it gives others: then what was saved is not what was tested.
    """
    task = task_of(spec)
    answer = _loaded(task, spec, record, folder)
    if known is not None:
        again = answer(known.texts).reset_index(drop=True)
        if not task.gives_again(spec, record, again, known.recorded.reset_index(drop=True)):
            raise StoreError(
                f"What was saved of '{record.label}' does not give its recorded predictions again: make the run again "
                "with --save all."
            )
    return answer


def _loaded(task: AnyTask, spec: RunSpec, record: RunRecord, folder: Path) -> Answering:
    """The run loaded once, or, where a task has a way of predicting of its own and none of loading, by that."""
    loads, predicts = (_defined_by(type(task), name) for name in ("loaded", "predict"))
    if issubclass(loads, predicts):
        return task.loaded(spec, record, folder)
    return lambda texts, first=0, /: task.predict(spec, record, folder, texts)


def _defined_by(kind: type, name: str) -> type:
    return next(each for each in kind.__mro__ if name in vars(each))
