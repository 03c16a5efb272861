"""`whichtune demo`: the main job on the model and the data that are in the package, with nothing to download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whichtune.cli import choices
from whichtune.cli.asked import check_folder
from whichtune.cli.comparing import How, compare_and_tell
from whichtune.cli.examples import epilog
from whichtune.cli.screen import console, say
from whichtune.wording import duration, listing

if TYPE_CHECKING:
    from whichtune.study.spec import Study

SECONDS = 45  # on two cores with nothing else to do
NEXT = "Now yours: whichtune compare --data FILE --model NAME (whichtune compare --help has examples)."


def demo(
    out: Annotated[Path | None, typer.Option(help="The study's folder [default: whichtune-demo].")] = None,
    replace: choices.Replace = False,
    figures: Annotated[bool, typer.Option(help="Write the report's figures as PNG and SVG files, too.")] = False,
    threads: choices.Threads = None,
    jobs: choices.Jobs = None,
) -> None:
    """Show what whichtune does, on a model and data of its own."""
    from whichtune.cli.brief import wrapped
    from whichtune.cli.summary import NAMES, READABLE

    study = demo_study()
    check_folder(study, out)
    width = min(console().width, READABLE)
    for name, text in beforehand(study):
        for number, line in enumerate(wrapped(text, width - NAMES)):
            say(f"{'' if number else name:{NAMES}}{line}")
    say("")
    compare_and_tell(
        study, out, How(forecast=False, threads=threads, jobs=jobs, figures=figures, replace=replace), NEXT
    )


def demo_study() -> Study:
    """The study that the demo makes."""
    from whichtune.embedded import demo_path
    from whichtune.study.load import load_study

    return load_study(demo_path())


def beforehand(study: Study) -> list[tuple[str, str]]:
    """What will be done, on what, and about how long it takes, each under its name."""
    from whichtune.embedded import DATASETS
    from whichtune.expansion.expand import baselines_of
    from whichtune.stats.results import in_text

    data = DATASETS[study.data.source]
    rows = [in_text(str(entry.label or entry.method)) for entry in study.runs]
    return [
        (
            "Data",
            f"{study.data.source}, {data.sizes['train']:,} texts to learn from and {data.sizes['test']:,} to test on: "
            f"{data.description}.",
        ),
        ("Model", "embedded, a language model of 2.7 million parameters."),
        ("Rows", f"{listing(rows)}; without a language model {listing(baselines_of(study))}."),
        ("Takes", f"about {duration(SECONDS)} on two cores. Ctrl-C is safe: the same command goes on."),
    ]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(epilog=epilog("demo"))(demo)
