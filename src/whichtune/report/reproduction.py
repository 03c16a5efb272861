"""Measured beside published: the table of a reproduction, from `summary.json` alone."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from whichtune.evidence.summary import Summary
from whichtune.metrics import Metric
from whichtune.records.record import SPLITS, RunRecord
from whichtune.report.cells import written_cell
from whichtune.report.published import Published, PublishedRow, published_of
from whichtune.report.rows import TableRow
from whichtune.report.view import View
from whichtune.report.words import few
from whichtune.study.roles import Role
from whichtune.wording import plural

HEADER = [
    "row",
    "train %",
    "validation %",
    "test %",
    "published",
    "difference",
    "95 % interval",
    "agrees?",
    "without repeats",
    "time",
    "published time",
]
STEPS = "optimiser_steps"
NUMBER = "row"  # of a published row: where it stands, and no figure
TIMES = ("training_seconds", "curve_seconds")


@dataclass(frozen=True)
class ReproductionRow:
    """A row measured and published. Scores are in percent, times in minutes; None where there is no figure.

    `measured` is the main metric by split. `agrees` is whether the published test figure lies in the measured one's
    95 % interval; None for a row that is no reproduction, that failed, or whose interval is not known.
    """

    label: str
    role: Role
    seeds: list[int | None]
    errors: list[str]
    measured: dict[str, float | None]
    published: PublishedRow | None
    target: float | None
    more: dict[str, float | None]
    interval: tuple[float, float] | None
    without_duplicates: float | None
    minutes: float | None
    device: str | None

    @property
    def reproduced(self) -> bool:
        return self.published is not None and bool(self.published.reproduced)

    @property
    def reasons(self) -> list[str]:
        """Why it is no reproduction."""
        return [] if self.published is None else self.published.reasons or [str(self.published.why_not)]

    @property
    def difference(self) -> float | None:
        test = self.measured["test"]
        return test - self.target if test is not None and self.target is not None else None

    @property
    def agrees(self) -> bool | None:
        if self.interval is None or not self.reproduced or not self.target:
            return None
        # Published figures have two decimals: half of the last one is no disagreement.
        return self.interval[0] - 0.005 <= self.target <= self.interval[1] + 0.005


def reproduction_rows(summary: Summary) -> list[ReproductionRow]:
    """One row a line of the study."""
    view = View(summary)
    published = published_of(view)
    intervals = {figures.label: figures.interval for figures in view.method_figures}
    devices = {run.label: device for run in summary.runs if (device := _device(run)) is not None}
    return [_row(view, row, published, intervals.get(row.label), devices.get(row.label)) for row in view.rows]


def _row(
    view: View, row: TableRow, published: Published | None, interval: tuple[float, float] | None, device: str | None
) -> ReproductionRow:
    facts = None if published is None else published.rows.get(row.label)
    known = [value for key in TIMES if (value := row.cost(key)) is not None]
    main = view.main.name
    more = {f"test_{metric.name}": _percent(row.mean("test", metric.name)) for metric in _others(view)}
    return ReproductionRow(
        label=row.label,
        role=row.role,
        seeds=row.seeds,
        errors=row.errors,
        measured={split: _percent(row.mean(split, main)) for split in SPLITS},
        published=facts,
        target=None if facts is None else facts.figures.get(f"test_{main}"),
        more={**more, STEPS: row.cost(STEPS)},
        interval=None if interval is None else (100 * interval[0], 100 * interval[1]),
        without_duplicates=_percent(row.mean("test", f"{main}_without_duplicates")),
        minutes=sum(known) / 60 if known else None,
        device=device,
    )


def _others(view: View) -> list[Metric]:
    """Metrics beside the main one."""
    return [metric for metric in view.metrics if metric is not view.main]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _device(run: RunRecord) -> str | None:
    environment = run.environment
    if environment is None or environment.device != "cpu":
        return None if environment is None else environment.device
    return f"CPU, {plural(environment.threads, 'thread')}"


def reproduction_table(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Header and cells. Published figures stand in parentheses, but the main metric's on test, which have a column.

    Other metrics and optimiser steps have columns where they were published, and where no figure was.
    """
    view = View(summary)
    published = published_of(view)
    rows = reproduction_rows(summary)
    titles = {**{f"test_{metric.name}": f"{metric.title} %" for metric in _others(view)}, STEPS: "optimiser steps"}
    known = {key for row in rows if row.published for key in row.published.figures}
    more = [key for key in titles if key in known or not printed_figures(summary)]
    device = None if published is None else published.device
    cells = [[*_cells(row, view.main.name, device), *(_beside(row, key) for key in more)] for row in rows]
    return [*HEADER, *(titles[key] for key in more)], cells


def printed_figures(summary: Summary) -> bool:
    """Whether figures were published that a measured one can stand beside, and not claims alone."""
    published = published_of(View(summary))
    rows = () if published is None else published.rows.values()
    return any(row.figures.keys() - {NUMBER} or row.training_loss for row in rows)


def _cells(row: ReproductionRow, main: str, published_device: str | None) -> list[str]:
    figures = row.published.figures if row.published is not None else {}
    test = row.measured["test"]
    if test is None:
        failed = ["failed"] * 3
        return [row.label, *failed, _two(row.target), "", "", "", "", "", _published_time(figures, published_device)]
    beside = [
        _two(row.measured[split]) + (f" ({figures[key]:.2f})" if (key := f"{split}_{main}") in figures else "")
        for split in ("train", "validation")
    ]
    agrees = {True: "yes", False: "no", None: "not compared" if figures else ""}[row.agrees]
    minutes = f"{row.minutes:.2f} min" if row.minutes is not None else ""
    return [
        row.label,
        *beside,
        _two(test),
        _two(row.target),
        "" if row.difference is None else f"{row.difference + 0.0:+.2f}",
        f"{row.interval[0]:.1f} to {row.interval[1]:.1f}" if row.interval else "",
        agrees,
        _two(row.without_duplicates),
        f"{minutes}, {row.device}" if minutes and row.device else minutes,
        _published_time(figures, published_device),
    ]


def _beside(row: ReproductionRow, key: str) -> str:
    """A measured figure with the published one in parentheses."""
    write = ("{:,.0f}" if key == STEPS else "{:.2f}").format
    measured, published = row.more[key], row.published.figures.get(key) if row.published is not None else None
    text = "" if measured is None else write(measured)
    return text if published is None else f"{text} ({write(published)})".strip()


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _published_time(figures: dict[str, float], device: str | None) -> str:
    return f"{figures['train_minutes']:.2f} min, {device}" if "train_minutes" in figures else ""


def heading(summary: Summary) -> list[str]:
    """What the table is, and what it is not, in sentences."""
    if not summary.study.published:
        return []
    rows = [row for row in reproduction_rows(summary) if row.published is not None]
    real = [row for row in rows if row.reproduced]
    lines = []
    if not real:
        lines.append(f"This is not a reproduction of the published figures: {_reasons(rows)}.")
    elif len(real) < len(rows):
        others = _reasons([row for row in rows if not row.reproduced])
        lines.append(f"{len(real)} of {len(rows)} rows are a reproduction; for the others {others}.")
    done = [row for row in real if row.agrees is not None]
    if done:
        agree = sum(bool(row.agrees) for row in done)
        lines.append(
            f"{agree} of {len(done)} reproduced rows agree: the published test {View(summary).main.title} lies in the "
            "measured one's 95 % interval."
        )
    return lines


def _reasons(rows: list[ReproductionRow]) -> str:
    """Why rows are no reproduction, each reason once; one that is not every row's names its rows."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for reason in row.reasons:
            found.setdefault(reason, []).append(row.label)
    return "; ".join(
        reason if len(labels) == len(rows) else f"{reason} ({few(labels)})" for reason, labels in found.items()
    )


def footnotes(summary: Summary) -> list[str]:
    """Why rows failed, what the columns mean, and what is known to be wrong with the published table."""
    view = View(summary)
    published = published_of(view)
    failed = [f"{row.label}: {reason}" for row in view.rows for reason in row.errors]
    unit = (published.unit if published is not None else None) or "message"
    n = max((test.n for run in summary.runs if (test := run.metrics.test) is not None), default=0)
    means = [
        f"Differences are in points; with {plural(n, f'test {unit}')} one {unit} is {100 / max(1, n):.2g} points.",
        f"Without repeats: test {view.main.title} on the {unit}s that do not stand in train too.",
        "Times are of training with its evaluations, as published, on the device named.",
    ]
    return [*failed, *(means if printed_figures(summary) else []), *published_notes(summary)]


def published_notes(summary: Summary) -> list[str]:
    """What is known of the published table and wrong with it, and where it stands."""
    published = published_of(View(summary))
    if published is None:
        return []
    where = ", ".join(filter(None, (published.source, published.url)))
    return [*(f"Published table: {note}" for note in published.notes), f"Published: {where}"]


def reproduction_markdown(summary: Summary) -> str:
    """reproduction.md."""
    header, rows = reproduction_table(summary)
    table = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    table += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    parts = [f"# {summary.study.name}: measured beside published", "", *heading(summary), "", *table, ""]
    return "\n".join([*parts, *(f"- {note}" for note in footnotes(summary))]) + "\n"


def reproduction_csv(summary: Summary) -> str:
    """reproduction.csv: the same table for other programs."""
    header, rows = reproduction_table(summary)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([written_cell(text) for text in line] for line in [header, *rows])
    return text.getvalue()
