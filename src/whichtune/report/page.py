"""The page: one HTML file with its styles, its script and every figure inside it, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from whichtune.records.store import StudyFolder
from whichtune.report import columns, details, tables, tuning, words
from whichtune.report.checks import checks_content
from whichtune.report.columns import Column
from whichtune.report.cost_columns import cost_columns
from whichtune.report.cost_notes import OUTSIDE, cost_notes, is_outside
from whichtune.report.drawing.kinds import Bars, Curves, Differences, Dots, Figure, Gains, Scatter, Sensitivity
from whichtune.report.drawing.looks import style_sheet
from whichtune.report.drawing.on_page import legend, panels, two_sizes
from whichtune.report.figures import all_figures, of_kind
from whichtune.report.rows import TableRow
from whichtune.report.run_notes import run_notes
from whichtune.report.sections import page_of
from whichtune.report.templates import asset, render
from whichtune.report.view import View
from whichtune.study.roles import Role
from whichtune.wording import plural


def render_page(view: View, folder: StudyFolder, drawn: list[Figure] | None = None) -> str:
    """report.html."""
    style = asset("page.css") + asset("examples.css") + style_sheet()
    script = asset("page.js") + asset("examples.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    content = page_content(view, folder, all_figures(view) if drawn is None else drawn)
    return str(render("page.html.j2", style=style, script=script, script_digest=digest, **content))


def page_content(view: View, folder: StudyFolder, drawn: list[Figure]) -> dict[str, object]:
    """Everything the template shows."""
    return {
        "name": view.study.name,
        "facts": headline_facts(view),
        "verdict": view.verdict,
        "checks": checks_content(view.summary.checks),
        "table": study_table(view),
        "failed": details.failed_runs(view),
        "footnotes": [*tables.figure_notes(view), *cost_notes(view)],
        "legend": legend({view.mark(row.label) for row in view.rows}),
        "scores": [two_sizes(figure) for figure in of_kind(drawn, Dots)],
        "costs": [two_sizes(figure) for figure in of_kind(drawn, Scatter)],
        "tuning": tuning_content(view, drawn),
        "curves": [panels(figure) for figure in of_kind(drawn, Curves)],
        "bars": [panels(figure) for figure in of_kind(drawn, Bars)],
        "differences": next(iter(of_kind(drawn, Differences)), None),
        "comparisons": comparison_rows(view),
        "sections": page_of(view).sections(view, folder, drawn),
        "paragraphs": paragraphs(view),
        "published": details.published_table(view),
        "claims": details.claims(view),
        "settings": details.settings_tables(view),
        "machines": details.machine_tables(view),
        "fingerprints": details.fingerprints(view),
        "data": details.data_facts(view),
        "notes": run_notes(view),
        "command": view.study.command,
    }


def tuning_content(view: View, drawn: list[Figure]) -> dict[str, object] | None:
    """The section on the search; None where there was none."""
    if view.summary.tuning is None:
        return None
    return {
        "sentences": tuning.tuning_lines(view),
        "figures": [panels(figure) for figure in drawn if isinstance(figure, Gains | Sensitivity)],
        "selected": tuning.selected_table(view),
        "draws": tuning.draws_table(view),
        "ranges": tuning.searched_ranges(view),
    }


def headline_facts(view: View) -> list[str]:
    """The line under the title."""
    runs = plural(sum(len(runs) for runs in view.groups.values()), "run")
    finished = max((run.finished_at for run in view.done if run.finished_at), default=None)
    return [
        f"data {view.study.data.source}",
        f"model {view.study.model}",
        f"{runs}, {len(view.failed)} not completed" if view.failed else runs,
        *([f"finished {finished[:10]}"] if finished else []),
    ]


def paragraphs(view: View) -> list[str]:
    """The interpretation: a paragraph a declared pair, else every comparison's; best against baseline last."""
    found = list(view.verdict.paragraphs) if view.verdict is not None else []
    if not found:
        found = [pair.sentence for pair in view.comparisons if pair.sentence]
    against = view.verdict.against_baseline if view.verdict is not None else None
    return found + ([against] if against and against not in found else [])


@dataclass(frozen=True)
class Cell:
    """A cell of the main table as text, with the value to sort by and a note below."""

    text: str
    sort: float | str
    note: str = ""


@dataclass(frozen=True)
class StudyRow:
    """A row of the main table."""

    label: str
    mark: str
    baseline: bool
    failed: str
    cells: list[Cell]


@dataclass(frozen=True)
class StudyTable:
    """The main table."""

    columns: list[str]
    rows: list[StudyRow]
    intervals: bool


def study_table(view: View) -> StudyTable:
    """The main table: scores, costs, and what a trained row takes and needs in use."""
    shown = [
        *columns.score_columns(view, page_of(view).beside_loss),
        *cost_columns(view),
        *([columns.EPOCHS] if columns.has_stopping(view) else []),
    ]
    rows = [_study_row(view, row, shown) for row in view.rows]
    return StudyTable(
        ["seeds", *(tables.PLACES if view.places else []), *(column.title for column in shown)],
        rows,
        bool(view.intervals),
    )


def _study_row(view: View, row: TableRow, shown: list[Column]) -> StudyRow:
    broken = row.runs - row.completed
    return StudyRow(
        label=row.label,
        mark=view.mark(row.label),
        baseline=row.role is Role.BASELINE,
        failed="; ".join(
            [
                *([f"{broken} of {row.runs} not completed"] if broken else []),
                *([f"{OUTSIDE} what is required"] if is_outside(view, row.label) else []),
            ]
        ),
        cells=[
            Cell(tables.seeds_text(row), len(row.seeds)),
            *(Cell(text, text) for text in tables.places(view, row)),
            *(_cell(view, row, column) for column in shown),
        ],
    )


def _cell(view: View, row: TableRow, column: Column) -> Cell:
    value = column.value(row)
    below = _range(view, row, column) if column.split == "test" else column.tail_text(row)
    return Cell(column.text(row), "" if value is None else value, below)


def _range(view: View, row: TableRow, column: Column) -> str:
    """The 95 % interval where the column is the primary metric and there is one, else lowest to highest."""
    if column.figure == view.metric and view.intervals:  # no range beside intervals: they would be taken for one
        return words.span(view.intervals[row.label]) if row.label in view.intervals else ""
    ends = column.ends(row)
    if ends is None:
        return ""
    low, high = (f"{end:.{column.digits}f}" for end in ends)
    return "" if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class ComparisonRow:
    """A comparison as a line: the pair, the difference with its interval, p, and the verdict."""

    a: str
    b: str
    difference: str
    unit: str
    interval: str
    p: str
    p_adjusted: str
    verdict: str


def comparison_rows(view: View) -> list[ComparisonRow]:
    """Every comparison as a line."""
    return [
        ComparisonRow(
            a=pair.a,
            b=pair.b,
            difference=words.NOTHING if pair.difference is None else words.signed(pair.difference),
            unit="" if pair.difference is None else pair.unit,
            interval=words.NOTHING if pair.interval is None else " to ".join(map(words.signed, pair.interval)),
            p=words.probability(pair.p),
            p_adjusted=words.probability(pair.p_adjusted),
            verdict=pair.verdict.replace("_", " "),
        )
        for pair in view.comparisons
    ]
