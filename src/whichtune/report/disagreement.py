"""The test examples on which the rows of a study disagree most, and those that every row gets wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whichtune.errors import StoreError
from whichtune.records.store import StudyFolder
from whichtune.report.templates import Section, render
from whichtune.report.view import View
from whichtune.report.words import few

MOST_EXAMPLES = 12
MOST_WRONG = 8
MOST_NAMES = 8
LONGEST_TEXT = 600
IntArray = NDArray[np.int64]
COLUMNS = ["split", "example_id", "label", "prediction"]


@dataclass(frozen=True)
class Answer:
    """An answer to an example, and the rows that gave it."""

    answer: str
    right: bool
    rows: str


@dataclass(frozen=True)
class Example:
    """A test example with everyone's answers."""

    id: str
    text: str
    truth: str
    answers: list[Answer]


@dataclass(frozen=True)
class Disagreements:
    """The examples on which `rows` rows are most divided, and those that all get wrong (`wrong_count`, some shown)."""

    rows: int
    unanimous: int
    n: int
    most: list[Example]
    wrong: list[Example]
    wrong_count: int


def disagreement_section(view: View, folder: StudyFolder) -> Section | None:
    """The page's section on them; None where there is nothing to show."""
    found = disagreements(view, folder)
    return None if found is None else Section("examples", "Examples", render("examples.html.j2", examples=found))


def disagreements(view: View, folder: StudyFolder) -> Disagreements | None:
    """Examples by the entropy of their predicted class, every row weighing the same and every seed within it.

    Rows that always answer the same class, such as `majority`, are left out: they disagree with everything.
    None where fewer than two rows are left or the study's texts are gone.
    """
    answers = _answers(view, folder)
    if answers is None:
        return None
    ids, truth, predicted = answers
    voices = {label: p for label, p in predicted.items() if p.size and (p != p[0, 0]).any()}
    if len(voices) < 2:
        return None
    size = 1 + max(int(truth.max()), *(int(p.max()) for p in voices.values()))
    votes = np.mean([_shares(p, size) for p in voices.values()], axis=0)  # (E, C)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(votes > 0, votes * np.log2(votes), 0.0).sum(axis=1)
    wrong = votes[np.arange(len(truth)), truth] == 0
    order = [int(e) for e in np.argsort(-entropy, kind="stable") if entropy[e] > 0][:MOST_EXAMPLES]
    all_wrong = [int(e) for e in np.flatnonzero(wrong)]
    texts = texts_of_test(folder)
    names = [*view.class_names, *(f"class {i}" for i in range(len(view.class_names), size))]

    def example(e: int) -> Example:
        text = texts.get(ids[e], "")
        shown = text[:LONGEST_TEXT] + ("…" if len(text) > LONGEST_TEXT else "")
        return Example(ids[e], shown, names[int(truth[e])], _said(voices, e, int(truth[e]), names))

    return Disagreements(
        rows=len(voices),
        unanimous=int((entropy == 0).sum()),
        n=len(truth),
        most=[example(e) for e in order],
        wrong=[example(e) for e in all_wrong[:MOST_WRONG]],
        wrong_count=len(all_wrong),
    )


def _answers(view: View, folder: StudyFolder) -> tuple[list[str], IntArray, dict[str, IntArray]] | None:
    """Example ids, true classes `(E,)` and each row's predictions `(S, E)`, in the order of the first run."""
    ids: list[str] = []
    truth = np.zeros(0, dtype=np.int64)
    predicted: dict[str, list[IntArray]] = {}
    for run in view.done:
        read = _read(folder, run.run_id)
        if read is None or not read[0]:
            continue
        if not ids:
            ids, truth = read[0], read[1]
            place = {example: i for i, example in enumerate(ids)}
        if read[0] != ids:
            if set(read[0]) != set(ids) or len(read[0]) != len(ids):
                continue  # tested on other examples: nothing to set side by side
            order = np.argsort([place[example] for example in read[0]])
            read = (ids, truth, read[2][order])
        predicted.setdefault(run.label, []).append(read[2])
    return (ids, truth, {label: np.stack(seeds) for label, seeds in predicted.items()}) if predicted else None


def _read(folder: StudyFolder, run_id: str) -> tuple[list[str], IntArray, IntArray] | None:
    """Ids, labels and predictions of a run's test split; None where it left no predictions."""
    import pyarrow.parquet

    path = folder.run_folder(run_id) / "predictions.parquet"
    if not path.is_file():
        return None
    try:
        table = pyarrow.parquet.ParquetFile(path).read(columns=COLUMNS)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise StoreError(f"'{path}' cannot be read: {error}.") from error
    # ParquetFile and lists, since pyarrow's read_table, take and to_numpy import pandas: longer than all the rest.
    split, ids, labels, answers = (table[key].to_pylist() for key in COLUMNS)
    test = [i for i, name in enumerate(split) if name == "test"]
    return [str(ids[i]) for i in test], np.array([labels[i] for i in test]), np.array([answers[i] for i in test])


def texts_of_test(folder: StudyFolder) -> dict[str, str]:
    """The texts of the test split by example id, empty where the study's folder has none."""
    import pyarrow.parquet

    path = folder.path / "examples.parquet"
    if not path.is_file():
        return {}
    try:
        table = pyarrow.parquet.ParquetFile(path).read(columns=["split", "example_id", "text"])
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise StoreError(f"'{path}' cannot be read: {error}.") from error
    columns = (table[key].to_pylist() for key in ("split", "example_id", "text"))
    return {str(example): str(text) for split, example, text in zip(*columns, strict=True) if split == "test"}


def _shares(predictions: IntArray, size: int) -> IntArray:
    """Share of seeds that answer each class `(E, C)`, from predictions `(S, E)`."""
    return np.stack([(predictions == c).mean(axis=0) for c in range(size)], axis=1)


def _said(voices: dict[str, IntArray], e: int, truth: int, names: list[str]) -> list[Answer]:
    """Who answered what: a line a class, the true class first, then by how many rows gave it."""
    said: dict[int, list[str]] = {}
    for label, predictions in voices.items():
        seeds = len(predictions)
        for c, n in Counter(int(p) for p in predictions[:, e]).items():
            said.setdefault(c, []).append(label if n == seeds else f"{label} ({n} of {seeds} seeds)")
    order = sorted(said, key=lambda c: (c != truth, -len(said[c]), c))
    return [Answer(names[c], c == truth, few(said[c], MOST_NAMES)) for c in order]
