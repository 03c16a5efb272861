"""Tables and cards as `rich` draws them in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whichtune.records import RunRecord
from whichtune.report import tables

if TYPE_CHECKING:
    from rich.console import Console


def _table(header: list[str], rows: list[list[str]], left: int = 1) -> Any:
    """A plain table, the first `left` columns on the left; every cell is text, never markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False, header_style="bold")
    for i, name in enumerate(header):
        table.add_column(Text(name), justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    return table


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """The study's table with its notes. Where the output is no terminal the columns keep their width."""
    header, rows = tables.cells(summary)
    if not console.is_terminal:
        console.width = max(console.width, 250)
    console.print(_table(header, rows))
    for note in [*tables.footnotes(summary), "", *tables.verdict_lines(summary)]:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def print_estimates(expansion: Any, estimates: dict[str, Any], free: int, console: Console) -> None:
    """`--dry-run`: each run with predicted time, memory and disk."""
    rows = []
    for spec in expansion.specs:
        guess = estimates.get(spec.run_id)
        seed = tables.NOTHING if spec.seed is None else str(spec.seed)
        if guess is None:
            rows.append([spec.label, seed, tables.NOTHING, "a few", "little", "little"])
            continue
        rows.append(
            [
                spec.label,
                seed,
                tables.count(guess.trainable_parameters),
                tables.seconds(guess.seconds),
                tables.mebibytes(guess.memory_bytes),
                f"{guess.disk_bytes / 2**20:,.1f}",
            ]
        )
    header = ["run", "seed", "trainable parameters", "seconds", "memory MiB", "disk MiB"]
    console.print(_table(header, rows))
    total = sum(guess.seconds for guess in estimates.values())
    disk = sum(guess.disk_bytes for guess in estimates.values())
    console.print(
        f"{len(expansion.specs)} runs, about {tables.seconds(total)} seconds in all, computed the plain way; "
        f"{disk / 2**20:,.1f} MiB on disk with --save all ({free / 2**30:,.1f} GiB free). Nothing was run.",
        highlight=False,
        soft_wrap=True,
    )


def print_methods(console: Console) -> None:
    """Every method and baseline, a line each."""
    from whichtune.baselines import BASELINES
    from whichtune.methods import METHODS

    rows = [
        [name, "" if m.card.learning_rate is None else f"{m.card.learning_rate:g}", m.card.summary]
        for name, m in METHODS.items()
    ]
    console.print(_table(["method", "learning rate", "what it does"], rows, left=3))
    rows = [[name, baseline.card.summary] for name, baseline in BASELINES.items()]
    console.print(_table(["baseline", "what it does"], rows, left=2))
    console.print("whichtune methods NAME shows a method's card and settings.", highlight=False)


def print_method(name: str, console: Console) -> None:
    """One method's card with its settings."""
    from whichtune.report.reference import method_card

    console.print(method_card(name), markup=False, highlight=False, soft_wrap=True)


def print_run(record: RunRecord, curves: list[dict[str, Any]], console: Console) -> None:
    """Everything that a record holds, for people."""
    rows = [["run", record.run_id], ["label", record.label], ["method", record.method]]
    rows += [["seed", str(record.seed)], ["status", str(record.status)]]
    if record.error:
        rows.append(["reason", record.error])
    for split in ("train", "validation", "test"):
        metrics = getattr(record.metrics, split)
        if metrics is not None:
            rows.append(
                [
                    split,
                    f"accuracy {tables.percent(metrics.accuracy)} %, macro F1 {tables.percent(metrics.f1_macro)} %, "
                    f"loss {tables.loss(metrics.loss)}, n {metrics.n}",
                ]
            )
            rows.append(["", f"confusion matrix (rows: true {', '.join(record.labels)}) {metrics.confusion_matrix}"])
    rows += [[key, str(value)] for key, value in record.cost.model_dump().items() if value is not None]
    rows += [["note", note] for note in record.notes]
    rows += [[f"setting {key}", str(value)] for key, value in record.spec.items()]
    console.print(_table(["", ""], rows, left=2))
    if curves:
        header = list(curves[0])
        body = [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in point.values()] for point in curves]
        console.print(_table(header, body))
