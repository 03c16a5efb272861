"""A saved run that stays loaded: what it makes of new texts, as often as it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from whichtune.data.columns import cells_as_text
from whichtune.data.fields import joined
from whichtune.errors import DataError
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import open_run

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
        self.record = record
        opened = open_run(folder, record, remote_code)
        self._answer, self._fields = opened.answer, opened.spec.data.text_columns

    def __repr__(self) -> str:
        seed = "" if self.record.seed is None else f", seed {self.record.seed}"
        return f"<Predictor: {self.record.label}{seed}>"

    def __call__(self, texts: str | Iterable[str | Sequence[str]]) -> pd.DataFrame:
        """The same as `predict`."""
        return self.predict(texts)

    def predict(self, texts: str | Iterable[str | Sequence[str]]) -> pd.DataFrame:
        """A table with one line a text, in their order: `text`, `prediction`, and of classes `probability of NAME`.

        `texts` are a list, a pandas Series or anything that gives texts one by one; a single text is a list of one. Of
        a study of several text columns each is a tuple of as many texts, and the table has their columns for `text`.
        Raises DataError for what is no text, and where there is none.
        """
        return self._answer(_fields_of(texts, self._fields) if len(self._fields) > 1 else _checked(texts))


def _fields_of(texts: object, names: Sequence[str]) -> list[str]:
    """Texts of several fields, from tuples."""
    given = list(texts) if isinstance(texts, Iterable) and not isinstance(texts, str) else [texts]
    if not given:
        raise DataError("There is no text to predict: give at least one.")
    rows: list[Sequence[object]] = []
    for row, fields in enumerate(given, start=1):
        if isinstance(fields, str) or not isinstance(fields, Sequence) or len(fields) != len(names):
            raise DataError(
                f"Text {row} of those to predict is not a tuple of {len(names)} texts ({', '.join(names)}): give one "
                "for each of the study's text columns."
            )
        rows.append(fields)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return joined(columns, lambda row: f"Text {row + 1} of those to predict")


def _checked(texts: object) -> list[str]:
    if not isinstance(texts, (str, Iterable)):
        raise DataError(f"A predictor is given texts, not {type(texts).__name__}: give a text or a list of texts.")
    given = [texts] if isinstance(texts, str) else list(texts)
    if not given:
        raise DataError("There is no text to predict: give at least one.")
    return cells_as_text(given, "text", "text", lambda row: f"Text {row + 1} of those to predict")
