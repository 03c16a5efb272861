"""The page's section on written texts: what any two rows wrote for a test text, beside its reference and its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whichtune.errors import StoreError
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.report.answered import keeps_texts, texts_of_test
from whichtune.report.examples import NO_TEXTS, first_two, told_cut
from whichtune.report.packed import Packed, cut, drawn, fitted, pack
from whichtune.report.templates import Section, render
from whichtune.report.view import View
from whichtune.report.words import few

MOST_SAMPLES = 6
MOST_NAMES = 6
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


@dataclass(frozen=True)
class Line:
    """What a run wrote for an example, its reference, and the example's score as a share of 1."""

    text: str
    reference: str
    score: float


@dataclass(frozen=True)
class RowTexts:
    """What a row's first completed run wrote, by example."""

    label: str
    seed: int | None
    left_out: bool
    lines: dict[str, Line]


def samples_section(view: View, folder: StudyFolder) -> Section | None:
    """The page's section on written texts; None where no run left any scores."""
    rows = read_rows(view, folder)
    if not rows:
        return None
    sources = texts_of_test(view, folder)
    keeps = keeps_texts(view, folder)
    packed = packed_rows(view, rows, sources, keeps)
    shown = [] if not keeps else samples(rows, sources)
    notes = _notes(rows, sources, packed, keeps)
    out = any(row.left_out for row in rows)
    html = render("samples.html.j2", samples=shown, metric=view.main.title, notes=notes, left_out=out, data=packed.data)
    return Section("samples", "Written texts", html)


def read_rows(view: View, folder: StudyFolder) -> list[RowTexts]:
    """Every row's first completed run with the scores of its test examples.

    Rows on random weights are left out at first, unless fewer than two others are there.
    """
    first: dict[str, RunRecord] = {}
    for run in view.done:
        first.setdefault(run.label, run)
    found = [
        RowTexts(label, run.seed, run.spec.get("weights") == "random", lines)
        for label, run in first.items()
        if (lines := _read(folder.run_folder(run.run_id) / "predictions.parquet", view.main.name))
    ]
    if sum(not row.left_out for row in found) < 2:
        return [RowTexts(row.label, row.seed, False, row.lines) for row in found]
    return found


def samples(rows: list[RowTexts], sources: Mapping[str, str]) -> list[Sample]:
    """A few test examples, each with its text, its reference and what every row's first completed seed wrote.

    They are taken at even distances in the order of the test split, never by what was written.
    """
    ids = list(rows[0].lines)
    chosen = (
        [ids[place * len(ids) // MOST_SAMPLES] for place in range(MOST_SAMPLES)] if len(ids) > MOST_SAMPLES else ids
    )
    return [
        Sample(
            id=example,
            source=cut(sources.get(example, ""), LONGEST_SOURCE),
            reference=cut(rows[0].lines[example].reference, LONGEST_TEXT),
            texts=[
                Written(row.label, row.seed, cut(line.text, LONGEST_TEXT) or "(nothing)", f"{100 * line.score:.1f}")
                for row in rows
                if (line := row.lines.get(example)) is not None
            ],
        )
        for example in chosen
    ]


def _notes(rows: list[RowTexts], sources: Mapping[str, str], packed: Packed, keeps: bool) -> list[str]:
    """What a reader must know of what is shown."""
    found = []
    if out := [row.label for row in rows if row.left_out]:
        found.append(f"Left out at first: {few(out, MOST_NAMES)} (random weights).")
    n = len(rows[0].lines)
    if len(packed.places) < n:
        found.append(
            f"Of {n:,} test texts {len(packed.places):,} are here, since a page cannot carry all: drawn with a fixed "
            "seed, alike from texts that rows write well and from those that they do not. Counts are of these."
        )
    ids = list(rows[0].lines)
    if not keeps:
        found.append(NO_TEXTS)
    elif cut_note := told_cut([sources.get(ids[e], "") for e in packed.places], packed.longest):
        found.append(cut_note)
    return found


# -- what the script reads -------------------------------------------------------------------------------


def packed_rows(view: View, rows: list[RowTexts], sources: Mapping[str, str], keeps: bool) -> Packed:
    """What rows wrote for the test texts, or for as many of them as fit a page."""
    ids = list(rows[0].lines)
    strata = _tenths(np.array([np.mean([r.lines[i].score for r in rows if i in r.lines]) for i in ids]))

    def choose(most: int) -> NDArray[np.int64]:
        return drawn([np.arange(len(ids))], strata, most)

    def build(places: NDArray[np.int64], longest: int) -> str:
        return pack(_meta(view, rows, sources if keeps else None, [ids[e] for e in places], longest))

    return fitted(choose, build)


def _tenths(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which tenth of the examples each is in, by the rows' mean score."""
    order = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
    return np.asarray(10 * order // max(1, len(scores)), dtype=np.int64)


def _meta(
    view: View, rows: list[RowTexts], sources: Mapping[str, str] | None, ids: list[str], longest: int
) -> dict[str, object]:
    lines = [[row.lines.get(example) for example in ids] for row in rows]
    whole = [] if sources is None else [sources.get(example, "") for example in ids]
    return {
        "kind": "texts",
        "metric": view.main.title,
        "rows": [{"label": row.label, "out": row.left_out, "seeds": [row.seed]} for row in rows],
        "start": first_two(view, [(row.label, row.left_out) for row in rows]),
        "ids": ids,
        "texts": None if sources is None else [text[:longest] for text in whole],
        "cut": {str(i): len(text) for i, text in enumerate(whole) if len(text) > longest},
        "references": [] if sources is None else [cut(rows[0].lines[i].reference, longest) for i in ids],
        "written": [] if sources is None else [[cut(x.text, longest) if x else "" for x in row] for row in lines],
        "scores": [[round(100 * x.score, 1) if x else None for x in row] for row in lines],
    }


def _read(path: Path, metric: str) -> dict[str, Line]:
    """Text, reference and score of a run's test examples; texts are empty where the study keeps none."""
    import pyarrow.parquet
    from pyarrow import ArrowException

    if not path.is_file():
        return {}
    try:
        file = pyarrow.parquet.ParquetFile(path)
        wanted = ["split", "example_id", metric, "prediction", "reference"]
        table = file.read(columns=[name for name in wanted if name in file.schema_arrow.names])
        split, ids, scores = (table[key].to_pylist() for key in wanted[:3])
        empty = [""] * len(ids)
        texts, references = (
            table[key].to_pylist() if key in table.column_names else empty for key in ("prediction", "reference")
        )
    except (OSError, ValueError, KeyError, ArrowException) as error:  # some of pyarrow's own errors are ValueErrors
        raise StoreError(f"'{path}' cannot be read: {error}.") from error
    rows = zip(split, ids, texts, references, scores, strict=True)
    return {str(i): Line(text, reference, score) for name, i, text, reference, score in rows if name == "test"}
