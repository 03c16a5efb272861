"""What the page says beside its figures: the record of how it was made, failed runs, published figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from whichtune.metrics import METRICS, metric_title
from whichtune.records.record import SPLITS, Environment, RunRecord
from whichtune.report import columns, words
from whichtune.report.columns import Column, metric_column
from whichtune.report.published import PublishedRow, published_of
from whichtune.report.rows import TableRow
from whichtune.report.tables import Table
from whichtune.report.view import View
from whichtune.report.words import few
from whichtune.stats.results import Comparison
from whichtune.study.published import Published
from whichtune.study.roles import Role

NOT_SHOWN = ("label", "role", "seed", "fingerprints", "learning_rate_source", "tuned")
LONGEST_REASON = 2_000
AGREEMENT = {True: "agrees", False: "does not agree"}


@dataclass(frozen=True)
class FailedRun:
    """A run that did not complete, with its reason."""

    label: str
    seed: str
    status: str
    reason: str


def failed_runs(view: View) -> list[FailedRun]:
    """Every run that did not complete, with its reason."""
    return [
        FailedRun(
            run.label,
            words.seed(run.seed),
            run.status.replace("_", " "),
            (run.error or "No reason was recorded.")[:LONGEST_REASON],
        )
        for run in view.failed
    ]


def flat(value: Mapping[str, object], before: str = "") -> dict[str, object]:
    """Nested settings as one level, `data.split_seed`."""
    found: dict[str, object] = {}
    for key, inner in value.items():
        name = key if key == "method_settings" or not before else f"{before}{key}"
        if isinstance(inner, Mapping):
            found |= flat(inner, "" if key == "method_settings" else f"{name}.")
        else:
            found[name] = inner
    return found


@dataclass(frozen=True)
class SettingsTables:
    """Settings that all trained rows share, and those in which they differ."""

    shared: list[tuple[str, str]]
    differing: Table


def settings_tables(view: View) -> SettingsTables:
    """Settings that all trained rows share, and those in which they differ."""
    specs = {
        label: {key: value for key, value in flat(runs[0].spec).items() if key not in NOT_SHOWN}
        for label, runs in view.groups.items()
        if runs[0].role is not Role.BASELINE
    }
    keys = list(dict.fromkeys(key for spec in specs.values() for key in spec))
    values = {key: [words.setting(spec.get(key)) for spec in specs.values()] for key in keys}
    shared = {key: found[0] for key, found in values.items() if len(set(found)) == 1}
    differing = [key for key in keys if key not in shared]
    rows = [[label, *(words.setting(spec.get(key)) for key in differing)] for label, spec in specs.items()]
    return SettingsTables(list(shared.items()), Table(["run", *differing], rows))


@dataclass(frozen=True)
class Machine:
    """Where and when runs were made, with what, and of which rows they are."""

    rows: list[tuple[str, str]]
    runs: int
    days: str
    labels: str


def machine_tables(view: View) -> list[Machine]:
    """Where runs were made and with what; more than one where the study's runs were spread over machines."""
    found: dict[tuple[tuple[str, str], ...], list[RunRecord]] = {}
    for run in (run for runs in view.groups.values() for run in runs):
        if run.environment is not None:
            found.setdefault(tuple(_machine_facts(run.environment)), []).append(run)
    every = {run.label for runs in found.values() for run in runs}
    return [Machine(list(rows), len(runs), _days(runs), _labels(runs, every)) for rows, runs in found.items()]


def _days(runs: list[RunRecord]) -> str:
    """`2026-11-26`, or from the first day to the last; empty where no run tells."""
    days = sorted({run.started_at[:10] for run in runs if run.started_at})
    return " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""


def _labels(runs: list[RunRecord], every: set[str]) -> str:
    """The rows that runs are of; empty where that is every row."""
    labels = list(dict.fromkeys(run.label for run in runs))
    return "" if set(labels) == every else few(labels)


def _machine_facts(environment: Environment) -> list[tuple[str, str]]:
    return [
        ("whichtune", environment.whichtune),
        ("Python", environment.python),
        ("system", environment.platform),
        ("processor", f"{environment.processor}, {environment.cores} cores, {environment.threads} used"),
        ("runs at a time", str(max(environment.jobs, environment.runs_at_once))),
        ("memory", f"{environment.memory_bytes / 2**30:,.1f} GiB"),
        ("device", environment.device),
        *environment.packages.items(),
    ]


def fingerprints(view: View) -> list[tuple[str, str]]:
    """What was hashed, each value once."""
    runs = [run for runs in view.groups.values() for run in runs]
    return sorted({(name, value) for run in runs for name, value in run.fingerprints.items() if value})


def data_facts(view: View) -> list[tuple[str, str]]:
    """Where the examples come from and how many each split has."""
    facts = [("source", view.study.data.source)]
    facts += [(f"{split} examples", f"{n:,}") for split, n in _sizes(view.done).items()]
    tests = [run.metrics.test for run in view.done if run.metrics.test is not None]
    if tests:
        facts.append(("test examples that stand verbatim in train", f"{tests[0].duplicates_of_train:,}"))
        facts.append(("test texts cut to the context length", f"{max(test.truncated for test in tests):,}"))
    if view.class_names:
        kind = {"labels": "labels", "tags": "tags"}.get(METRICS[view.metric].answers, "classes")
        facts.append((kind, f"{len(view.class_names):,}: {few(view.class_names, 40)}"))
    return facts


def _sizes(runs: list[RunRecord]) -> dict[str, int]:
    """Examples of each split, as far as runs tell."""
    sizes: dict[str, int] = {}
    for run in runs:
        for split in SPLITS:
            if (metrics := run.metrics.of(split)) is not None:
                sizes[split] = max(sizes.get(split, 0), metrics.n)  # a published script judges whole batches only
    if "train" not in sizes:  # written texts are not judged on train
        seen = max((run.cost.examples_seen or 0 for run in runs if run.role is Role.BASELINE), default=0)
        sizes = ({"train": seen} if seen else {}) | sizes
    return sizes


@dataclass(frozen=True)
class PublishedTable:
    """Measured beside published, with where it was published and what was not run."""

    source: str
    table: Table
    left_out: str


@dataclass(frozen=True)
class PublishedFigure:
    """A kind of published figure: its key, its heading, how a row has it measured, and the interval's metric."""

    key: str
    title: str
    divisor: float
    column: Column


def published_table(view: View) -> PublishedTable | None:
    """Measured beside published, a line a figure; rows that were not run are named alone.

    None where the study has no published figures.
    """
    published = published_of(view)
    if published is None or not published.rows:
        return None
    rows = {row.label: row for row in view.rows}
    lines = [
        [*_published_line(view, rows[facts.label], figure, facts.figures[figure.key]), _reproduced(facts)]
        for facts in published.rows.values()
        if facts.label in rows
        for figure in _published_figures(view)
        if figure.key in facts.figures
    ]
    left_out = [label for label in published.rows if label not in rows]
    if not lines and not left_out:
        return None
    header = ["run", "figure", "published", "measured", "difference", "measured 95 % interval", "reproduction"]
    return PublishedTable(published.source, Table(header, lines), "; ".join(left_out))


def _published_figures(view: View) -> list[PublishedFigure]:
    """What may have been published: metrics on every split of their columns, the loss, time and steps."""
    scores = [metric_column(metric, split) for metric in view.metrics for split in metric.splits]
    scores.append(metric_column(METRICS["loss"], "test"))
    return [
        *(PublishedFigure(f"{c.split}_{c.figure}", c.title, 1 / c.scale, c) for c in scores),
        PublishedFigure("train_minutes", "training minutes", 60, columns.TRAINING),
        PublishedFigure("optimiser_steps", "optimiser steps", 1, Column("steps", "optimiser_steps", words.whole)),
    ]


def _reproduced(published: PublishedRow) -> str:
    """Whether the row was run as it was published, and if not why."""
    if published.reproduced is None:
        return words.NOTHING
    return "yes" if published.reproduced else f"no: {published.why_not or 'it differs'}"


def _published_line(view: View, row: TableRow, figure: PublishedFigure, value: float) -> list[str]:
    found = figure.column.value(row)
    measured = None if found is None else found / figure.divisor
    primary = figure.column.split == "test" and figure.column.figure == view.metric
    interval = view.intervals.get(row.label) if primary else None
    inside = ""
    if interval is not None:
        inside = " (published inside)" if interval[0] <= value <= interval[1] else " (published outside)"
    return [
        row.label,
        figure.title,
        f"{value:.2f}",
        words.number(measured),
        words.NOTHING if measured is None else f"{measured - value:+.2f}".replace("-", "−"),
        f"{words.span(interval)}{inside}",
    ]


def claims(view: View) -> list[list[str]]:
    """Declared pairs with a published claim, and whether the measured figures agree."""
    return [_claim(view, pair) for pair in view.comparisons if pair.claim or pair.published]


def _claim(view: View, pair: Comparison) -> list[str]:
    figures = pair.published or Published({})
    undecided = "not judged" if figures.direction is None else "left open"
    other = "" if pair.metric == view.metric else f", {metric_title(pair.metric)}"
    change = words.NOTHING if pair.difference is None else f"{pair.difference:+.2f} {pair.unit}".replace("-", "−")
    return [
        f"{pair.a} against {pair.b}{other}",
        pair.claim or words.NOTHING,
        " against ".join(f"{value:.2f} %" for value in figures.figures) if figures.figures else words.NOTHING,
        change,
        pair.verdict.replace("_", " "),
        undecided if pair.agrees_with_published is None else AGREEMENT[pair.agrees_with_published],
    ]
