"""A study's rows as a terminal shows them: sorted by score, rounded, and only the columns that fit side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from whichtune.cli import brief
from whichtune.cli.card import interval_of, main_metric
from whichtune.metrics import METRICS
from whichtune.report.cost_columns import money_columns
from whichtune.report.cost_notes import OUTSIDE, is_outside
from whichtune.report.drawing.scales import text_units
from whichtune.report.rows import TableRow
from whichtune.report.view import View
from whichtune.report.words import NOTHING
from whichtune.study.roles import Role

GAP = 2
LONGEST_NAME = 34  # columns of a name that other columns may not take away
SHORTEST_NAME = 12
LONGEST_TITLE = 16
CHOSEN, PLAIN = "▸ ", "  "  # before the recommended row, and before the others


@dataclass(frozen=True)
class ShortColumn:
    """A column; `place` says where it stands among those that are shown."""

    title: str
    show: Callable[[TableRow], str]
    place: int = 2


@dataclass(frozen=True)
class Line:
    """A line of the table, with what it is: `head`, `rule`, `row`, `chosen` or `apart`."""

    text: str
    kind: str


def columns_of(view: View) -> list[ShortColumn]:
    """From the most important to the least: a narrow terminal shows the first that fit."""
    metric = main_metric(view)

    def score(name: str) -> ShortColumn:
        title = f"{METRICS[name].title}{brief.unit_of(name)}"
        place = 0 if name == metric else 2
        return ShortColumn(
            brief.cut(title, LONGEST_TITLE), lambda row: brief.figure(name, row.mean("test", name)), place
        )

    others = [each.name for each in (*view.metrics, METRICS["loss"]) if each.name != metric and "test" in each.splits]
    return [
        score(metric),
        ShortColumn("train time", lambda row: brief.duration(row.cost("training_seconds"))),
        ShortColumn("95 % interval", lambda row: interval_of(view, metric, row.label) or NOTHING, place=1),
        ShortColumn("memory", lambda row: brief.memory(row.cost("peak_memory_bytes"))),
        ShortColumn("parameters", lambda row: brief.count(row.cost("trainable_parameters"))),
        ShortColumn("a text", lambda row: brief.milliseconds(row.cost("inference_ms"))),
        *(ShortColumn(column.title, column.text) for column in money_columns(view)),
        ShortColumn("seeds", lambda row: str(len([seed for seed in row.seeds if seed is not None]) or NOTHING)),
        ShortColumn("rank", lambda row: view.places.get(row.label, (NOTHING,))[0]),
        *(score(name) for name in dict.fromkeys(others)),
        ShortColumn("validation", lambda row: brief.figure(metric, row.mean("validation", metric))),
    ]


def sorted_rows(view: View) -> tuple[list[TableRow], list[TableRow]]:
    """Rows with a language model and those without one, each the best first, what did not complete last."""
    metric = main_metric(view)
    sign = -1.0 if METRICS[metric].higher_is_better else 1.0

    def place(row: TableRow) -> tuple[bool, float, str]:
        value = row.mean("test", metric)
        return value is None, 0.0 if value is None else sign * value, row.label

    rows = sorted(view.rows, key=place)
    return [row for row in rows if row.role is not Role.BASELINE], [row for row in rows if row.role is Role.BASELINE]


def short_table(view: View, width: int, longest: int = LONGEST_NAME) -> tuple[list[Line], int]:
    """Lines no wider than `width`, and how many columns were left out. A name of up to `longest` columns is shown whole
    before columns of figures are."""
    trained, free = sorted_rows(view)
    rows = [*trained, *free]
    named = {row.label: row.label + _state(view, row) for row in rows}
    wanted = max((text_units(name) for name in named.values()), default=0)
    columns, sizes = _fitting(columns_of(view), rows, width - text_units(PLAIN) - min(wanted, longest))
    used = text_units(PLAIN) + sum(size + GAP for size in sizes)
    room = max(SHORTEST_NAME, min(max(wanted, len("row")), width - used))

    def line(mark: str, name: str, cells: list[str]) -> str:
        parts = [brief.padded(cell, size, False) for cell, size in zip(cells, sizes, strict=True)]
        return (mark + (" " * GAP).join([brief.padded(brief.cut(name, room), room, True), *parts])).rstrip()

    head = line(PLAIN, "row", [column.title for column in columns])
    lines = [Line(head, "head"), Line(PLAIN + "─" * (text_units(head) - text_units(PLAIN)), "rule")]
    for group in (trained, free):
        if group is free and free:
            lines.append(Line(f"{PLAIN}without a language model:", "apart"))
        for row in group:
            chosen = view.verdict is not None and row.label == view.verdict.recommended
            cells = [column.show(row) for column in columns]
            kind = "chosen" if chosen else "row"
            lines.append(Line(line(CHOSEN if chosen else PLAIN, named[row.label], cells), kind))
    return lines, len(columns_of(view)) - len(columns)


def _state(view: View, row: TableRow) -> str:
    """What stands beside a name: how many runs did not complete, and that the row may not be recommended."""
    broken = row.runs - row.completed
    failed = f" [{broken} of {row.runs} {' and '.join(row.statuses)}]" if broken else ""
    return failed + (f" [{OUTSIDE}]" if is_outside(view, row.label) else "")


def _fitting(columns: list[ShortColumn], rows: list[TableRow], left: int) -> tuple[list[ShortColumn], list[int]]:
    """The first columns that fit, and their widths; the first of all is always there. Columns that say nothing of any
    row are left out."""
    taken: list[tuple[ShortColumn, int]] = []
    for column in columns:
        cells = [column.show(row) for row in rows]
        if taken and all(cell == NOTHING for cell in cells):
            continue
        size = max(text_units(text) for text in [column.title, *cells])
        if taken and size + GAP > left:
            continue
        taken.append((column, size))
        left -= size + GAP
    taken.sort(key=lambda each: each[0].place)
    return [column for column, _ in taken], [size for _, size in taken]
