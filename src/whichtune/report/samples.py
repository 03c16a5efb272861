"""Written texts beside their references, for a few test examples."""

from __future__ import annotations

from dataclasses import dataclass

from whichtune.errors import StoreError
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.report.disagreement import texts_of_test
from whichtune.report.templates import Section, render
from whichtune.report.view import View

MOST_SAMPLES = 6
LONGEST_SOURCE = 700
LONGEST_TEXT = 700


@dataclass(frozen=True)
class Written:
    """What a row's first completed seed wrote, with its score in percent."""

    label: str
    seed: int | None
    text: str
    score: str


@dataclass(frozen=True)
class Sample:
    """A test example: its text, its reference, and what every row wrote."""

    id: str
    source: str
    reference: str
    texts: list[Written]


def samples_section(view: View, folder: StudyFolder) -> Section | None:
    """The page's section on written texts; None where no run left any."""
    found = samples(view, folder)
    if not found:
        return None
    return Section("samples", "Written texts", render("samples.html.j2", samples=found, metric=view.main.title))


def samples(view: View, folder: StudyFolder) -> list[Sample]:
    """A few test examples, each with its text, its reference and what every row's first completed seed wrote.

    They are taken at even distances in the order of the test split, never by what was written.
    """
    first: dict[str, RunRecord] = {}
    for run in view.done:
        first.setdefault(run.label, run)
    metric = view.main.name
    written = {label: rows for label, run in first.items() if (rows := _read(folder, run.run_id, metric))}
    if not written:
        return []
    ids = list(next(iter(written.values())))
    chosen = (
        [ids[place * len(ids) // MOST_SAMPLES] for place in range(MOST_SAMPLES)] if len(ids) > MOST_SAMPLES else ids
    )
    sources = texts_of_test(folder)
    return [
        Sample(
            id=example,
            source=_cut(sources.get(example, ""), LONGEST_SOURCE),
            reference=_cut(next(rows[example][1] for rows in written.values()), LONGEST_TEXT),
            texts=[
                Written(
                    label,
                    first[label].seed,
                    _cut(rows[example][0], LONGEST_TEXT) or "(nothing)",
                    f"{100 * rows[example][2]:.1f}",
                )
                for label, rows in written.items()
                if example in rows
            ],
        )
        for example in chosen
    ]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _read(folder: StudyFolder, run_id: str, metric: str) -> dict[str, tuple[str, str, float]]:
    """Text, reference and score of a run's test examples."""
    import pyarrow.parquet

    path = folder.run_folder(run_id) / "predictions.parquet"
    if not path.is_file():
        return {}
    columns = ["split", "example_id", "prediction", "reference", metric]
    try:
        table = pyarrow.parquet.ParquetFile(path).read(columns=columns)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise StoreError(f"'{path}' cannot be read: {error}.") from error
    rows = zip(*(table[key].to_pylist() for key in columns), strict=True)
    return {
        str(example): (text, reference, score) for split, example, text, reference, score in rows if split == "test"
    }
