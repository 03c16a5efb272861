"""Arguments and options that several commands take, each declared once: the same words mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whichtune.study.numbers import MOST_THREADS

StudyFile = Annotated[Path | None, typer.Argument(help="A study file in YAML; options override it.")]
StudyDir = Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder.")]

Data = Annotated[str | None, typer.Option(help="File, folder, named set, NAME=FILE, or Hub dataset id.")]
TextColumn = Annotated[str | None, typer.Option(help="Column of the texts; several between commas.")]
Model = Annotated[str | None, typer.Option(help="`embedded`, a Hub id, or a folder; several between commas.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="A setting, key=value; may be repeated.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]
Plan = Annotated[str | None, typer.Option(help="`auto` computes only what is needed, `off` everything.")]

Require = Annotated[
    list[str] | None,
    typer.Option(help="What a row must keep to be recommended: inference_ms<=20, peak_memory<=2GB; may be repeated."),
]
Price = Annotated[str | None, typer.Option(help="What the machine costs, as 2.50/h: costs are told in money, too.")]
CostMatrix = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="What mistakes cost, in YAML or JSON: true label, predicted label, cost."),
]
Power = Annotated[str | None, typer.Option(help="Its power, as 65W: energy is estimated where it cannot be measured.")]

Decide = Annotated[
    bool, typer.Option("--decide", help="Add seeds where they are needed until it is sure enough which row to use.")
]
MaxSeeds = Annotated[int | None, typer.Option(min=2, help="Most seeds of a row with --decide [default: 10].")]
Budget = Annotated[str | None, typer.Option(help="Time that all runs may take with --decide, as 20min.")]

NoTexts = Annotated[
    bool,
    typer.Option("--no-texts", help="Keep and show no text of an example, and take those out that the folder has."),
]
Save = Annotated[
    str,
    typer.Option(help="Trained weights to keep: none, best (the recommended row, and small ones of each), or all."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the runs with predicted cost; run none.")]
Out = Annotated[
    Path | None, typer.Option(help="The study's folder [default: whichtune-DATA-MODEL, or whichtune-NAME].")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Move what the folder holds aside, to FOLDER.replaced-1, and begin anew.")
]
Threads = Annotated[
    int | None, typer.Option(min=1, max=MOST_THREADS, help="CPU threads of a run [default: torch's choice].")
]
Jobs = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER|auto",
        help="Runs made at a time; their times are then those of a shared machine. auto: a run a GPU; auto:2: two.",
    ),
]
RemoteCode = Annotated[
    bool, typer.Option("--remote-code", help="Let the model's own Python code run; only if you trust it.")
]
