"""A saved run that stays loaded: what it makes of new texts, as often as it is asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.data.columns import cells_as_text
from whichtune.errors import DataError
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import saved_in, tested, trusted_spec
from whichtune.runs.proof import prove
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of
from whichtune.tasks.base import Answering, AnyTask

if TYPE_CHECKING:
    import pandas as pd


class Predictor:
    """One saved run, loaded once. `record` tells which; call it with texts, or `predict` them.

    Made by `Result.predictor`. Before it answers anything it has given its recorded predictions of a few test texts
    again, which proves that what was saved is what was tested.
    """

    def __init__(self, folder: StudyFolder, record: RunRecord, remote_code: bool = False) -> None:
        """Load a run of a study's folder, and prove it. Raises StoreError where its weights were not saved, are not as
        they were written or do not give the recorded predictions, and where its model's own code may not run."""
        spec = trusted_spec(record, remote_code)
        place = saved_in(folder, record)
        self.record = record
        self._answer = _ready(task_of(spec), spec, record, place)
        prove(spec, record, self._answer, tested(folder, record))

    def __repr__(self) -> str:
        seed = "" if self.record.seed is None else f", seed {self.record.seed}"
        return f"<Predictor: {self.record.label}{seed}>"

    def __call__(self, texts: str | Iterable[str]) -> pd.DataFrame:
        """The same as `predict`."""
        return self.predict(texts)

    def predict(self, texts: str | Iterable[str]) -> pd.DataFrame:
        """A table with one line a text, in their order: `text`, `prediction`, and of classes `probability of NAME`.

        `texts` are a list, a pandas Series or anything that gives texts one by one; a single text is a list of one.
        Raises DataError for what is no text, and where there is none.
        """
        return self._answer(_checked(texts))


def _checked(texts: str | Iterable[str]) -> list[str]:
    if not isinstance(texts, (str, Iterable)):
        raise DataError(f"A predictor is given texts, not {type(texts).__name__}: give a text or a list of texts.")
    given = [texts] if isinstance(texts, str) else list(texts)
    if not given:
        raise DataError("There is no text to predict: give at least one.")
    return cells_as_text(given, "text", "text", lambda row: f"Text {row + 1} of those to predict")


def _ready(task: AnyTask, spec: RunSpec, record: RunRecord, folder: Path) -> Answering:
    """The run loaded once, or, where a task has a way of predicting of its own and none of loading, by that."""
    loads, predicts = (_defined_by(type(task), name) for name in ("loaded", "predict"))
    if issubclass(loads, predicts):
        return task.loaded(spec, record, folder)
    return lambda texts: task.predict(spec, record, folder, texts)


def _defined_by(kind: type, name: str) -> type:
    return next(each for each in kind.__mro__ if name in vars(each))
