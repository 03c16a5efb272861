"""What the rows of a study answered to each test text, and how sure they were; read without pandas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whichtune.errors import StoreError
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.report.view import View
from whichtune.study.fields import readable

if TYPE_CHECKING:
    import pyarrow

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class RunAnswers:
    """One run's answers to the test texts, `(E,)` each: classes, the probability of the answer, and that of the true
    class. NaN where no probability is known."""

    seed: int | None
    classes: IntArray
    confidence: FloatArray
    of_truth: FloatArray


@dataclass(frozen=True)
class RowAnswers:
    """A row's completed runs. `left_out`: it has no say in what all rows do, unless a reader wants it."""

    label: str
    runs: list[RunAnswers]
    left_out: bool = False

    @cached_property
    def classes(self) -> IntArray:
        """Answers `(S, E)`."""
        return np.stack([run.classes for run in self.runs])

    @cached_property
    def changed(self) -> BoolArray:
        """Texts `(E,)` whose answer is not the same in every seed."""
        return np.asarray((self.classes != self.classes[0]).any(axis=0))


@dataclass(frozen=True)
class Answered:
    """The test texts by id with their true classes `(E,)`, and every row's answers in the same order. `elsewhere`:
    completed runs that were tested on other texts, and are not among the answers."""

    ids: list[str]
    truth: IntArray
    rows: list[RowAnswers]
    names: list[str]
    elsewhere: int = 0

    @property
    def n(self) -> int:
        return len(self.ids)

    @cached_property
    def voices(self) -> list[RowAnswers]:
        """The rows that have a say."""
        return [row for row in self.rows if not row.left_out]

    @cached_property
    def always_wrong(self) -> BoolArray:
        """Texts `(E,)` that every seed of every such row gets wrong."""
        return np.asarray(np.all([(row.classes != self.truth).all(axis=0) for row in self.voices], axis=0))

    @cached_property
    def divided(self) -> BoolArray:
        """Texts `(E,)` to which two runs of such rows give different answers."""
        first = self.voices[0].classes[0]
        return np.asarray(np.any([(row.classes != first).any(axis=0) for row in self.voices], axis=0))


def read_answers(view: View, folder: StudyFolder) -> Answered | None:
    """All rows with test answers; None where fewer than two have any.

    Rows on random weights and rows that always answer one class, such as `majority`, are left out: they are wrong where
    nothing is to be learned from it. With fewer than two others, none is.
    """
    ids: list[str] = []
    truth = np.zeros(0, dtype=np.int64)
    rows: dict[str, list[RunAnswers]] = {}
    records: dict[str, list[RunRecord]] = {}
    elsewhere = 0
    for run in view.done:
        read = _read(folder.run_folder(run.run_id) / "predictions.parquet", run.seed)
        if read is None or not read[0]:
            continue
        if not ids:
            ids, truth = read[0], read[1]
            place = {example: i for i, example in enumerate(ids)}
        answers = read[2]
        if read[0] != ids:
            if set(read[0]) != set(ids) or len(read[0]) != len(ids):
                elsewhere += 1
                continue  # tested on other examples: nothing to set side by side
            order = np.argsort([place[example] for example in read[0]])
            answers = RunAnswers(run.seed, answers.classes[order], answers.confidence[order], answers.of_truth[order])
        rows.setdefault(run.label, []).append(answers)
        records.setdefault(run.label, []).append(run)
    if len(rows) < 2:
        return None
    out = {label for label, runs in rows.items() if _says_nothing(records[label], runs)}
    if len(rows) - len(out) < 2:
        out = set()
    found = [RowAnswers(label, runs, label in out) for label, runs in rows.items()]
    most = 1 + max(int(truth.max()), *(int(row.classes.max()) for row in found))
    names = [*view.class_names, *(f"class {i}" for i in range(len(view.class_names), most))]
    return Answered(ids, truth, found, names, elsewhere)


def _says_nothing(records: list[RunRecord], runs: list[RunAnswers]) -> bool:
    """Whether a row is on random weights, or always answers the same class."""
    if any(record.spec.get("weights") == "random" or record.method == "majority" for record in records):
        return True
    first = runs[0].classes[0]
    return all(bool((run.classes == first).all()) for run in runs)


def _read(path: Path, seed: int | None) -> tuple[list[str], IntArray, RunAnswers] | None:
    """Ids, true classes and answers of a run's test split; None where it left no predictions.

    pyarrow's read_table, take, filter and to_numpy import pandas, which takes longer than all the rest: so buffers.
    """
    import pyarrow.parquet
    from pyarrow import ArrowException

    if not path.is_file():
        return None
    try:
        file = pyarrow.parquet.ParquetFile(path, read_dictionary=["split"])
        wanted = ["split", "example_id", "label", "prediction"]
        table = file.read(columns=[*wanted, *(name for name in ("logits",) if name in file.schema_arrow.names)])
        split = table["split"].combine_chunks()
        names = split.dictionary.to_pylist()
        if "test" not in names:
            return None
        test = np.flatnonzero(_numbers(split.indices) == names.index("test"))
        first, count = int(test[0]), len(test)
        if int(test[-1]) - first + 1 == count:  # as every task writes them
            table, test = table.slice(first, count), np.arange(count)
        every = table["example_id"].to_pylist()
        labels, classes = (_numbers(table[key].combine_chunks())[test].astype(np.int64) for key in wanted[2:])
        shares = _probabilities(table["logits"].combine_chunks(), test) if "logits" in table.column_names else None
    except (OSError, ValueError, KeyError, ArrowException) as error:  # some of pyarrow's own errors are ValueErrors
        raise StoreError(f"'{path}' cannot be read: {error}.") from error
    answers = _with_shares(seed, labels, classes, shares)
    return [str(every[i]) for i in test], labels, answers


def _numbers(array: pyarrow.Array) -> NDArray[np.generic]:
    """A column of numbers without gaps, as it lies in memory."""
    kinds = {"int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64, "float": np.float32}
    kind = kinds.get(str(array.type), np.float64)
    if array.null_count or (kind is np.float64 and str(array.type) != "double"):
        raise ValueError(f"a column holds {array.type} with {array.null_count} gaps where numbers belong")
    return np.frombuffer(array.buffers()[1], dtype=kind)[array.offset : array.offset + len(array)]


def _probabilities(logits: pyarrow.Array, test: IntArray) -> FloatArray | None:
    """Probabilities `(E, C)` of the test texts; None where there are no logits."""
    if str(logits.type) == "null" or logits.null_count or not len(logits):
        return None
    scores = _numbers(logits.flatten())
    scores = scores.reshape(len(logits), -1)[test].astype(np.float64)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True), dtype=np.float32)


def _with_shares(seed: int | None, labels: IntArray, classes: IntArray, shares: FloatArray | None) -> RunAnswers:
    if shares is None or shares.shape[1] <= max(int(labels.max()), int(classes.max())):
        unknown = np.full(len(labels), np.nan, dtype=np.float32)
        return RunAnswers(seed, classes, unknown, unknown)
    every = np.arange(len(labels))
    return RunAnswers(seed, classes, shares[every, classes], shares[every, labels])


def texts_of_test(view: View, folder: StudyFolder) -> dict[str, str]:
    """The texts of the test split by example id; empty where the study's folder has none, or is to show none."""
    import pyarrow.parquet
    from pyarrow import ArrowException

    path = folder.path / "examples.parquet"
    if not keeps_texts(view, folder) or not path.is_file():
        return {}
    try:
        table = pyarrow.parquet.ParquetFile(path).read(columns=["split", "example_id", "text"])
        columns = [table[key].to_pylist() for key in ("split", "example_id", "text")]
    except (OSError, ValueError, KeyError, ArrowException) as error:  # some of pyarrow's own errors are ValueErrors
        raise StoreError(f"'{path}' cannot be read: {error}.") from error
    return {str(example): readable(str(text)) for split, example, text in zip(*columns, strict=True) if split == "test"}


def keeps_texts(view: View, folder: StudyFolder) -> bool:
    """Whether texts may be shown: unless the study, or its folder, says otherwise."""
    return view.study.texts and folder.keeps_texts
