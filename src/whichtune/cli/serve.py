"""`whichtune serve`: a saved row behind an address of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from whichtune.cli import choices
from whichtune.cli.examples import epilog
from whichtune.cli.screen import say


def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder, or an exported row's.")],
    row: Annotated[
        str | None,
        typer.Argument(
            help="A row's label, LABEL:SEED or a run's id [default: the recommended row, or the best saved]."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The row's seed [default: the best on validation that is saved].")
    ] = None,
    compare: Annotated[
        str | None, typer.Option(metavar="ROW", help="A second row, whose answers stand beside.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="The address; others than this machine's need --token.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(envvar="WHICHTUNE_TOKEN", help="What clients must know, sent as 'Authorization: Bearer TOKEN'."),
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Let everybody ask who reaches --host.")] = False,
    remote_code: choices.RemoteCode = False,
) -> None:
    """Answer texts over HTTP with a saved row, and show a page to try them on."""
    from whichtune.handover.serve.server import serve as serve_row

    def tell(text: str) -> None:
        say(text)
        sys.stdout.flush()

    serve_row(
        folder,
        row,
        seed,
        compare=compare,
        host=host,
        port=port,
        token=token,
        no_token=no_token,
        remote_code=remote_code,
        tell=tell,
    )


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(epilog=epilog("serve"))(serve)
