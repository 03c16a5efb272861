"""Calibration of classifiers: computed from stored predictions, drawn elsewhere, and the page's section on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whichtune.errors import StoreError
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.report.drawing.kinds import Calibration, Data, Figure, ReliabilityBin, ReliabilityPanel
from whichtune.report.drawing.on_page import panels
from whichtune.report.figures import of_kind
from whichtune.report.templates import Section, render
from whichtune.report.view import View
from whichtune.report.words import few, number, span
from whichtune.stats.calibration import LEAST_TEXTS, Reliability, confidences, reliability
from whichtune.wording import plural

if TYPE_CHECKING:
    import pyarrow

MOST_PANELS = 12
COLUMNS = ["split", "label", "logits"]
Answers = tuple[NDArray[np.float64], NDArray[np.bool_]]  # how sure, and whether right, of each test text


def calibration_section(drawn: Sequence[Figure]) -> Section | None:
    """The page's section; None where nothing was drawn."""
    figure = next(iter(of_kind(drawn, Calibration)), None)
    if figure is None:
        return None
    html = render("calibration.html.j2", shown=panels(figure), least=LEAST_TEXTS)
    return Section("calibration", "Calibration", html)


def calibration_figure(view: View, folder: StudyFolder) -> Calibration | None:
    """A reliability diagram a row, highest score first, from the predictions of its completed runs.

    Rows that say nothing of what training does are left out: those of random weights, and the majority class. None
    where no row is left with LEAST_TEXTS test texts. Raises StoreError where predictions cannot be read.
    """
    able = [row.label for row in view.scored if not _is_left_out(view.groups[row.label][0])]
    left_out = [row.label for row in view.scored if row.label not in able]
    found = {label: known for label in able if (known := _reliability(view, folder, label)) is not None}
    if not found:
        return None
    marked = [label for label in found if view.mark(label) in ("recommended", "best")]
    first = [*marked, *(label for label in found if label not in marked)][:MOST_PANELS]
    drawn = [label for label in found if label in first]
    best = min(found, key=lambda label: found[label].error)
    notes = [f"{len(drawn)} of {len(found)} rows are drawn; the table has all."] if len(drawn) < len(found) else []
    if left_out:
        notes.append(f"Left out, as rows of random weights and the majority class are: {few(left_out)}.")
    return Calibration(
        name="calibration",
        title="Sure and right",
        axis_x="mean probability of the answer (%)",
        axis_y="right answers (%)",
        caption=" ".join(
            [
                "A dot is as many test answers as each other dot, the least sure on the left; the line is the 95 % "
                "interval of how often they were right. On the dashed line answers are right as often as they are "
                "sure, below it less often. Seeds are taken together; the ECE is a mean over them.",
                *notes,
            ]
        ),
        alt=f"Reliability diagrams of {plural(len(drawn), 'row')}. Lowest expected calibration error: {best}, "
        f"{number(100 * found[best].error)} %.",
        panels=[_panel(view, label, found[label]) for label in drawn],
        errors=Data(
            ["run", "ECE %", "by chance alone %", "mean probability %", "right %", "test answers"],
            [_error_row(label, known) for label, known in found.items()],
        ),
        data=Data(
            ["run", "answers", "mean probability %", "right %", "95 % interval"],
            [row for label, known in found.items() for row in _bin_rows(label, known)],
        ),
    )


def _is_left_out(run: RunRecord) -> bool:
    return run.method == "majority" or run.spec.get("weights") == "random"


def _panel(view: View, label: str, known: Reliability) -> ReliabilityPanel:
    bins = [
        ReliabilityBin(
            100 * bin_.confidence, 100 * bin_.accuracy, (100 * bin_.interval[0], 100 * bin_.interval[1]), bin_.answers
        )
        for bin_ in known.bins
    ]
    return ReliabilityPanel(label, view.mark(label), bins, 100 * known.error)


def _error_row(label: str, known: Reliability) -> list[str]:
    shares = [known.error, known.by_chance, known.confidence, known.accuracy]
    answers = sum(bin_.answers for bin_ in known.bins)
    return [label, *(number(100 * share) for share in shares), f"{answers:,}"]


def _bin_rows(label: str, known: Reliability) -> list[list[str]]:
    return [
        [
            label,
            f"{bin_.answers:,}",
            number(100 * bin_.confidence),
            number(100 * bin_.accuracy),
            span((100 * bin_.interval[0], 100 * bin_.interval[1])),
        ]
        for bin_ in known.bins
    ]


# -- stored predictions -------------------------------------------------------------------------------


def _reliability(view: View, folder: StudyFolder, label: str) -> Reliability | None:
    runs = [run for run in view.done if run.label == label]
    read = [found for run in runs if (found := _answers(folder, run.run_id)) is not None]
    return reliability(read)


def _answers(folder: StudyFolder, run_id: str) -> Answers | None:
    """Of a run's test texts; None where it left no logits, or some that are no numbers."""
    import pyarrow.parquet

    path = folder.run_folder(run_id) / "predictions.parquet"
    if not path.is_file():
        return None
    try:
        table = pyarrow.parquet.ParquetFile(path).read(columns=COLUMNS)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise StoreError(f"'{path}' cannot be read: {error}.") from error
    if table.num_rows == 0 or not pyarrow.types.is_list(table.schema.field("logits").type):
        return None
    test = np.array([name == "test" for name in table["split"].to_pylist()])
    logits = _matrix(table["logits"].combine_chunks())
    if logits is None or not np.isfinite(logits[test]).all():
        return None
    labels = np.array(table["label"].to_pylist())
    return confidences(logits[test]), np.asarray(logits[test].argmax(axis=1) == labels[test])


def _matrix(lists: pyarrow.ListArray) -> NDArray[np.float64] | None:
    """Lists of equal length as `(n, C)`; None where some are missing. Read from their memory: pyarrow's own way to
    numpy imports pandas, which takes longer than all the rest."""
    values = lists.flatten()
    if lists.null_count or values.null_count or len(set(lists.value_lengths().to_pylist())) != 1:
        return None
    dtype = {"float": np.float32, "double": np.float64}.get(str(values.type))
    if dtype is None:
        return None
    numbers = np.frombuffer(values.buffers()[1], dtype=dtype, count=values.offset + len(values))[values.offset :]
    return numbers.reshape(len(lists), -1).astype(np.float64)
