"""`whichtune predict`: a file of texts with the answers of a saved run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whichtune.cli import choices
from whichtune.cli.examples import epilog
from whichtune.cli.screen import console, say, whole_output

if TYPE_CHECKING:
    import pandas as pd

PLAIN_SECONDS = 15.0  # between two lines on how far it is, where there is no terminal


def predict(
    folder: choices.StudyDir,
    run: Annotated[str, typer.Argument(help="Run id, label, or LABEL:SEED.")],
    file: Annotated[
        Path, typer.Argument(help="Texts: .txt with one a line, or a table (CSV, TSV, JSON, JSONL, Parquet, Excel).")
    ],
    text_column: choices.TextColumn = None,
    out: Annotated[
        Path | None, typer.Option(help="Write here instead of printing: CSV, TSV, JSONL or Parquet by its ending.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="csv, tsv, jsonl or parquet, whatever the ending [default: by it, else csv]."),
    ] = None,
    threshold: Annotated[
        str | None, typer.Option(help="CLASS=0.3: of two classes, this one from that probability on.")
    ] = None,
    remote_code: choices.RemoteCode = False,
) -> None:
    """Answer a file of texts with a saved run: classes with their probabilities, or written texts."""
    from whichtune.records.store import StudyFolder
    from whichtune.runs.predict import find_run, open_run, predict_texts, texts_for
    from whichtune.runs.threshold import parse_threshold
    from whichtune.runs.writing import check_place, format_for, whole_file, writer_of

    place = StudyFolder(folder)
    kind = format_for(out, format_)
    if out is not None:
        check_place(out)
    record = find_run(place, run)
    decided = parse_threshold(threshold, record) if threshold is not None else None
    opened = open_run(place, record, remote_code)
    texts = texts_for(record, file, text_column)
    total = texts.count()  # every row is read before the first is answered: what is wrong is told now
    with whole_file(out) if out is not None else whole_output() as handle:
        writer = writer_of(kind, handle)
        for table in told(predict_texts(opened, texts.pieces()), total):
            writer.write(table if decided is None else decided.applied(table))
        writer.close()


def told(tables: Iterable[pd.DataFrame], total: int) -> Iterator[pd.DataFrame]:
    """The tables, with how far it is on standard error: a live line in a terminal, else a line now and then."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield from _told_plainly(tables, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), "texts", TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as live:
        task = live.add_task("", total=total)
        for table in tables:
            yield table
            live.advance(task, len(table))


def _told_plainly(tables: Iterable[pd.DataFrame], total: int) -> Iterator[pd.DataFrame]:
    began = last = time.monotonic()
    done = 0
    for table in tables:
        yield table
        done += len(table)
        now = time.monotonic()
        if now - last >= PLAIN_SECONDS and done < total:
            last = now
            say(f"{done:,} of {total:,} texts, {done / (now - began):,.0f} a second", stderr=True)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(epilog=epilog("predict"))(predict)
