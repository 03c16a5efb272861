"""`whichtune export`, `selftest` and `push`: a trained row for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whichtune.cli import choices
from whichtune.cli.examples import epilog
from whichtune.cli.screen import say

Exported = Annotated[Path, typer.Argument(metavar="OUT", help="A folder that whichtune export wrote.")]


def export(
    folder: choices.StudyDir,
    row: Annotated[str, typer.Argument(help="A row's label, a run's id, or LABEL:SEED.")],
    out: Annotated[Path, typer.Argument(help="The folder to write; it must be new or empty.")],
    seed: Annotated[
        int | None, typer.Option(help="The row's seed [default: the saved one, or the best on validation].")
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", help="transformers, peft, onnx, or auto: the first of these that is exact."),
    ] = "auto",
    merge: Annotated[bool, typer.Option("--merge", help="Merge an adapter: plain weights for transformers.")] = False,
    texts: Annotated[bool, typer.Option(help="Test with ten of the study's test texts, or with invented ones.")] = True,
    remote_code: Annotated[
        bool, typer.Option("--remote-code", help="Let the model's own Python code run; only if you trust it.")
    ] = False,
    threads: choices.Threads = None,
) -> None:
    """Write a trained row as a folder for plain transformers, peft or onnxruntime, without whichtune."""
    from whichtune.handover.export import export_row

    done = export_row(
        folder,
        row,
        out,
        seed=seed,
        form=format_,  # type: ignore[arg-type]
        merge=merge,
        texts=texts,
        remote_code=remote_code,
        threads=threads,
        tell=lambda sentence: say(sentence, stderr=True),
    )
    for note in done.notes:
        say(note)
    say(f"{done.folder} holds '{done.record.label}' for {done.why}.")
    if done.difference is not None:
        say(f"The largest difference to the recorded predictions is {done.difference:.1e}. How to load it: README.md.")


def selftest(
    out: Exported,
    tolerance: Annotated[
        float | None, typer.Option(min=0, help="How much a logit may differ [default: the folder's own].")
    ] = None,
) -> None:
    """Ask an exported folder its ten texts again and say whether the answers are equal; exit code 1 if not."""
    from whichtune.handover.selftest import run_selftest

    found = run_selftest(out, tolerance)
    say(found.sentence)
    if not found.equal:
        raise typer.Exit(1)


def push(
    out: Exported,
    repo: Annotated[str, typer.Argument(help="NAME or OWNER/NAME on the Hugging Face Hub.")],
    public: Annotated[bool, typer.Option("--public", help="For everybody; else it is private.")] = False,
    with_texts: Annotated[
        bool, typer.Option("--with-texts", help="Send the study's test texts in selftest.json, too.")
    ] = False,
) -> None:
    """Upload an exported folder to the Hugging Face Hub."""
    from whichtune.handover.push import push_folder

    address = push_folder(out, repo, private=not public, texts=with_texts, tell=lambda line: say(line, stderr=True))
    say(f"Sent: {address}")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for name, command in (("export", export), ("selftest", selftest), ("push", push)):
        app.command(epilog=epilog(name))(command)
