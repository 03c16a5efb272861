"""A finished study as a notebook shows it: one piece of HTML with its styles and its picture inside."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from whichtune.metrics import METRICS, Metric
from whichtune.report import words
from whichtune.report.columns import COSTS, LATENCY, TRAINING, Column, metric_column
from whichtune.report.cost_columns import money_columns
from whichtune.report.cost_notes import OUTSIDE, is_outside
from whichtune.report.drawing.sheets import sheet
from whichtune.report.drawing.svg import as_file
from whichtune.report.page import headline_facts, title_of
from whichtune.report.rows import TableRow
from whichtune.report.score_figures import score_dots
from whichtune.report.tables import places, seeds_text
from whichtune.report.templates import render
from whichtune.report.view import View
from whichtune.study.roles import Role

SHOWN_COSTS = ("training_seconds", "peak_memory_bytes", "trainable_parameters")
MOST_ROWS = 30  # a card is compact; the page has them all


@dataclass(frozen=True)
class CardRow:
    """A line of the card: its cells, or the reason why it has none."""

    label: str
    mark: str
    tags: list[str]
    cells: list[str]
    reason: str


def render_card(view: View, page: Path) -> str:
    """The study's headline, answers, main columns and scores. `page` is where the whole report lies.

    Every text is escaped. Nothing is loaded from elsewhere; only the link leads to the page.
    """
    verdict = view.verdict
    figure = score_dots(view)
    ordered = [*view.scored, *(row for row in view.rows if view.score(row) is None)]
    left = len(ordered) - MOST_ROWS
    return str(
        render(
            "card.html.j2",
            name=title_of(view),
            facts=headline_facts(view),
            headline="Nothing was judged yet." if verdict is None else verdict.headline,
            warnings=view.study.notes if verdict is None else verdict.warnings,
            answers=[] if verdict is None else [answer.sentence for answer in verdict.answers],
            columns=_titles(view),
            rows=[_row(view, row) for row in ordered[:MOST_ROWS]],
            picture=None if figure is None else _as_address(as_file(sheet(figure))),
            alt="" if figure is None else figure.alt,
            link=_link(page),
            folder=f"{page.parent}, and {left} rows more" if left > 0 else str(page.parent),
        )
    )


def _columns(view: View) -> list[Column]:
    """What a reader asks first: cost by cost after the score."""
    costs = [column for column in COSTS if column.figure in SHOWN_COSTS and column is not TRAINING]
    return [TRAINING, *money_columns(view), *costs, LATENCY]


def _titles(view: View) -> list[str]:
    score = [metric_column(_primary(view), "test").title]
    ranks = ["rank"] if view.places else []
    return [*score, "95 % interval", *ranks, "seeds", *(column.title for column in _columns(view))]


def _primary(view: View) -> Metric:
    """The score that is drawn, too."""
    return METRICS[view.metric]


def _row(view: View, row: TableRow) -> CardRow:
    mark = view.mark(row.label)
    tags: list[str] = [mark] if mark in ("recommended", "best") else []
    tags += ["baseline"] if row.role is Role.BASELINE else []
    tags += [OUTSIDE] if is_outside(view, row.label) else []
    broken = row.runs - row.completed
    tags += [f"{broken} of {row.runs} {' and '.join(row.statuses)}"] if broken else []
    cells = [
        metric_column(_primary(view), "test").text(row),
        words.span(view.intervals.get(row.label), view.digits),
        *places(view, row)[:1],
        seeds_text(row),
        *(column.text(row) for column in _columns(view)),
    ]
    reason = "" if row.completed else " ".join(row.errors) or "No run of it completed."
    return CardRow(row.label, mark, tags, cells, reason)


def _as_address(svg: str) -> str:
    """A picture inside the page: an image runs no script, whatever a label holds."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _link(page: Path) -> str | None:
    """The page as a notebook that lies in the working directory finds it; None where it is not written."""
    if not page.is_file():
        return None
    place = os.path.relpath(page)
    return page.resolve().as_uri() if place.startswith("..") else quote(Path(place).as_posix())
