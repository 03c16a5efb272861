"""Tables and cards as `rich` draws them in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.cli.screen import safe
from whichtune.metrics import METRICS
from whichtune.metrics.tag_names import types_of
from whichtune.records.record import SPLITS, AnyMetrics, CurvePoint, LabelSetMetrics, Metrics, RunRecord, TagMetrics
from whichtune.report import reproduction, words
from whichtune.report.run_notes import run_notes, stopping_notes
from whichtune.report.view import View
from whichtune.study.price import parse_price
from whichtune.study.roles import Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from whichtune.evidence.summary import Summary
    from whichtune.expansion.expand import Expansion
    from whichtune.runs.estimate import Estimate
    from whichtune.runs.preview import Preview
    from whichtune.shortcuts.cache import Entry


def plain_table(header: list[str], rows: list[list[str]], sides: str, dense: bool = False) -> Table:
    """A plain table with a side for each column, `l` or `r`; every cell is text, never markup.

    `dense`: many columns of short figures, which stand close and are not broken.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False, header_style="bold", padding=0 if dense else (0, 1))
    for i, name in enumerate(header):
        left = sides[i] == "l"
        table.add_column(
            Text(safe(name)),
            justify="left" if left else "right",
            overflow="fold",
            vertical="top",
            no_wrap=dense and not left,
        )
    for row in rows:
        table.add_row(*[Text(safe(cell)) for cell in row])  # here too, so that columns are as wide as what is shown
    return table


def _table(header: list[str], rows: list[list[str]], left: int = 1) -> Table:
    """A plain table, the first `left` columns on the left."""
    return plain_table(header, rows, "l" * left + "r" * (len(header) - left))


FILE_WIDTH = 250  # where the output is no terminal


def print_reproduction(summary: Summary, console: Console) -> None:
    """Measured beside published, with what the table is and what it is not; the usual table where claims were published
    without figures."""
    for line in reproduction.heading(summary):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not reproduction.printed_figures(summary):
        from whichtune.cli.summary import print_summary

        print_summary(summary, console)
        for note in reproduction.published_notes(summary):
            console.print(note, markup=False, highlight=False, soft_wrap=True)
        return
    view = View(summary)
    header, rows = reproduction.reproduction_table(summary)
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    console.print(_table(header, rows))
    for note in [*reproduction.footnotes(summary), *stopping_notes(view), *run_notes(view)]:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def print_lines(header: list[str], rows: list[list[str]], console: Console, left: int = 1) -> None:
    """Any table of texts."""
    if not console.is_terminal:
        console.width = max(console.width, 250)
    console.print(_table(header, rows, left))


def print_estimates(expansion: Expansion, estimates: Mapping[str, Estimate], free: int, console: Console) -> None:
    """`--dry-run`: each run with predicted time, memory and disk."""
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    rows = []
    for spec in expansion.specs:
        guess = estimates.get(spec.run_id)
        seed = words.seed(spec.seed)
        if spec.run_id in expansion.missing:
            rows.append([spec.label, seed, *[words.NOTHING] * 4])
            continue
        if guess is None:
            guessed = ["a few", "little", "little"] if spec.role is Role.BASELINE else [words.NOTHING] * 3
            rows.append([spec.label, seed, words.NOTHING, *guessed])
            continue
        rows.append(
            [
                spec.label,
                seed,
                words.whole(guess.trainable_parameters),
                words.seconds(guess.seconds),
                words.mebibytes(guess.memory_bytes),
                f"{guess.disk_bytes / 2**20:,.1f}",
            ]
        )
    header = ["run", "seed", "trainable parameters", "seconds", "memory MiB", "disk MiB"]
    console.print(_table(header, rows))
    for reason in dict.fromkeys(expansion.missing.values()):
        console.print(reason, markup=False, highlight=False, soft_wrap=True)
    total = sum(guess.seconds for guess in estimates.values())
    disk = sum(guess.disk_bytes for guess in estimates.values())
    console.print(
        f"{len(expansion.specs)} runs, about {words.seconds(total)} seconds in all, each as it costs alone; "
        f"{disk / 2**20:,.1f} MiB on disk with --save all ({free / 2**30:,.1f} GiB free). "
        f"{_priced(expansion.study.price, total)}Nothing was run.",
        highlight=False,
        soft_wrap=True,
    )


def _priced(price: str | None, seconds: float) -> str:
    """A sentence on what so many seconds cost, where a price is stated."""
    if price is None:
        return ""
    known = parse_price(price)
    return f"At {price} this is about {words.money(known.of_seconds(seconds))} {known.currency}".rstrip() + ". "


def _metric_rows(split: str, metrics: AnyMetrics, labels: list[str]) -> list[list[str]]:
    named = {name for name, value in metrics if value is not None}
    scores = [metric for metric in METRICS.values() if metric.name in named and metric.unit == "points"]
    shares = [f"{metric.title} {words.percent(metrics.value(metric.name))} %" for metric in scores]
    others = [metric for metric in METRICS.values() if metric.name in named and metric.unit == "units"]
    shares += [f"{metric.title} {words.number(metrics.value(metric.name), metric.digits)}" for metric in others]
    rows = [[split, ", ".join([*shares, f"loss {words.loss(metrics.loss)}, n {metrics.n}"])]]
    if isinstance(metrics, LabelSetMetrics):
        told = zip(labels, metrics.thresholds, metrics.label_counts, strict=False)
        rows += [
            ["", f"{name}, from {least:.3f} on: {right} right, {wrong} wrong, {missed} missed"]
            for name, least, (right, wrong, missed) in told
        ]
    if isinstance(metrics, TagMetrics):
        rows += [
            ["", f"{name}: {right} right, {wrong} wrong, {missed} missed"]
            for name, (right, wrong, missed) in zip(types_of(labels), metrics.type_counts, strict=False)
        ]
    if isinstance(metrics, Metrics):
        rows.append(["", f"confusion matrix (rows: true {', '.join(labels)}) {metrics.confusion_matrix}"])
    return rows


def print_run(record: RunRecord, curves: Sequence[CurvePoint], console: Console) -> None:
    """Everything that a record holds, for people."""
    rows = [["run", record.run_id], ["label", record.label], ["method", record.method]]
    rows += [["seed", str(record.seed)], ["status", str(record.status)]]
    if record.error:
        rows.append(["reason", record.error])
    for split in SPLITS:
        if (metrics := record.metrics.of(split)) is not None:
            rows += _metric_rows(split, metrics, record.labels)
    rows += [[key, str(value)] for key, value in record.cost if value is not None]
    if record.stopping is not None:
        rows += [[f"early stopping {key}", str(value)] for key, value in record.stopping]
    rows += [["note", note] for note in record.notes]
    rows += [[f"setting {key}", str(value)] for key, value in record.spec.items()]
    console.print(_table(["", ""], rows, left=2))
    if curves:
        rare = {f"validation_{metric.name}" for metric in METRICS.values() if metric.on_request}
        header = [key for key in curves[0] if key not in rare]  # they would make the table too wide to read
        shown = [[value for key, value in point.items() if key not in rare] for point in curves]
        body = [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in values] for values in shown]
        console.print(_table(header, body))


def print_plan(previews: Sequence[Preview], console: Console) -> None:
    """`plan`: operations of every line with and without its plan, then each decision with its reason."""
    rows = [
        [
            preview.label,
            f"{preview.flops_plain:.3g}",
            f"{preview.flops_alone:.3g}",
            _times(preview.saving_alone),
            _times(preview.saving_shared),
            f"{preview.cache_bytes / 1e6:,.1f}",
        ]
        for preview in previews
    ]
    header = ["line", "operations, plain way", "with its plan", "times fewer", "cache shared", "cache MB"]
    console.print(_table(header, rows))
    for preview in previews:
        console.print(f"\n{preview.label}", highlight=False, markup=False)
        for decision in preview.decisions:
            reason = f" ({decision.reason})" if decision.reason else ""
            text = f"  {decision.about:13} {decision.decided}{reason}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.print(
        "\nOperations are those of training. Every run is compared with the plain way on a few texts first; "
        "--plan off computes everything.",
        highlight=False,
    )


def _times(saving: float | None) -> str:
    return "–" if saving is None else f"{saving:,.1f}"


def print_cache(entries: Sequence[Entry], root: Path, limit: int, console: Console) -> None:
    """`cache`: what is stored, most recently used first."""
    import datetime

    rows = [
        [
            entry.description.model,
            str(entry.description.depth),
            entry.description.texts,
            f"{entry.bytes / 1e6:,.1f}",
            datetime.datetime.fromtimestamp(entry.last_used).strftime("%Y-%m-%d %H:%M"),
        ]
        for entry in entries
    ]
    if rows:
        console.print(_table(["model", "below block", "texts", "MB", "last used"], rows))
    total = sum(entry.bytes for entry in entries)
    console.print(
        f"{len(entries)} entries, {total / 1e6:,.1f} MB of at most {limit / 1e6:,.0f} MB, in {root}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
