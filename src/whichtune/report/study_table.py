"""The page's main table: rows by score, the recommended one on top, those without a language model apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whichtune.report import columns, tables, words
from whichtune.report.columns import Column
from whichtune.report.cost_columns import cost_columns
from whichtune.report.cost_notes import OUTSIDE, is_outside
from whichtune.report.rows import TableRow
from whichtune.report.sections import page_of
from whichtune.report.view import View
from whichtune.study.roles import Role

# What is shown unasked; the rest is a tick away.
FIRST_COSTS = ("training_seconds", "inference_ms", "peak_memory_bytes", "trainable_parameters")


@dataclass(frozen=True)
class Cell:
    """A cell as text, with the value to sort by and a note below. `key` is its column's."""

    key: str
    text: str
    sort: float | str
    note: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class Head:
    """A column by its key and title; `hidden` until it is picked."""

    key: str
    title: str
    hidden: bool


@dataclass(frozen=True)
class StudyRow:
    """A row of the table. `id` is what links to it name."""

    id: str
    label: str
    mark: str
    baseline: bool
    failed: str
    cells: list[Cell]


@dataclass(frozen=True)
class Group:
    """Rows under a heading, highest score first; the first group's is empty."""

    title: str
    rows: list[StudyRow]


@dataclass(frozen=True)
class StudyTable:
    """The main table."""

    columns: list[Head]
    groups: list[Group]
    intervals: bool


def row_id(view: View, label: str) -> str:
    """The id of a row's line in the table."""
    return f"row-{list(view.groups).index(label)}"


def study_table(view: View) -> StudyTable:
    """The main table: scores, costs, and what a trained row takes and needs in use."""
    shown = [
        *columns.score_columns(view, page_of(view).beside_loss),
        *cost_columns(view),
        *([columns.EPOCHS] if columns.has_stopping(view) else []),
    ]
    filled = [column for column in shown if any(column.value(row) is not None for row in view.rows)]
    first = _first(view, filled)
    return StudyTable(
        columns=[
            *(Head(title, title, False) for title in (tables.PLACES if view.places else [])),
            *(Head(_key(column), column.title, column not in first) for column in filled),
            Head("seeds", "seeds", False),
        ],
        groups=_groups(view, filled, first),
        intervals=bool(view.intervals),
    )


def _first(view: View, shown: Sequence[Column]) -> list[Column]:
    """Columns that are shown unasked: the primary metric on test, money, and four costs."""
    return [
        column
        for column in shown
        if (column.split == "test" and column.figure == view.metric)
        or (
            (column.split is None and (column.of is not None or column.figure in FIRST_COSTS))
            and column.figure != "training_joules"
        )
    ]


def _key(column: Column) -> str:
    return column.title.replace(" ", "-")


def _groups(view: View, shown: Sequence[Column], first: Sequence[Column]) -> list[Group]:
    scored = {row.label: place for place, row in enumerate(view.scored)}
    ordered = sorted(
        (row for row in view.rows if row.label not in view.partial), key=lambda row: scored.get(row.label, len(scored))
    )
    top = view.verdict.recommended if view.verdict is not None else None
    parts = (
        ("", [row for row in ordered if row.label == top]),
        ("with a language model", [r for r in ordered if r.label != top and r.role is not Role.BASELINE]),
        ("without a language model", [r for r in ordered if r.label != top and r.role is Role.BASELINE]),
        ("on fewer training texts", [r for r in view.rows if r.label in view.partial]),
    )
    return [Group(title, [_study_row(view, row, shown, first) for row in rows]) for title, rows in parts if rows]


def _study_row(view: View, row: TableRow, shown: Sequence[Column], first: Sequence[Column]) -> StudyRow:
    broken = row.runs - row.completed
    outside = [f"{OUTSIDE} what is required"] if is_outside(view, row.label) else []
    places = zip(tables.PLACES, tables.places(view, row), strict=False)
    return StudyRow(
        id=row_id(view, row.label),
        label=row.label,
        mark=view.mark(row.label),
        baseline=row.role is Role.BASELINE,
        failed="; ".join([*([f"{broken} of {row.runs} not completed"] if broken else []), *outside]),
        cells=[
            *(Cell(title, text, text.partition("-")[0] or "") for title, text in places),
            *(_cell(view, row, column, column not in first) for column in shown),
            Cell("seeds", _seeds(row), len(row.seeds)),
        ],
    )


def _seeds(row: TableRow) -> str:
    """`0 to 9`, or the seeds themselves where they are few or have gaps."""
    seeds = sorted(seed for seed in row.seeds if seed is not None)
    whole = len(seeds) > 3 and seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if whole else tables.seeds_text(row)


def _cell(view: View, row: TableRow, column: Column, hidden: bool) -> Cell:
    value = column.value(row)
    below = _range(view, row, column) if column.split == "test" else column.tail_text(row)
    return Cell(_key(column), column.text(row), "" if value is None else value, below, hidden)


def _range(view: View, row: TableRow, column: Column) -> str:
    """The 95 % interval where the column is the primary metric and there is one, else lowest to highest."""
    if column.figure == view.metric and view.intervals:  # no range beside intervals: they would be taken for one
        return words.span(view.intervals[row.label], view.digits) if row.label in view.intervals else ""
    ends = column.ends(row)
    if ends is None:
        return ""
    low, high = (f"{end:.{column.digits}f}" for end in ends)
    return "" if low == high else f"{low} to {high}"
