"""A study run from the command line: progress while it is made, then its table and its decision."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from whichtune.cli.screen import console, debug_wanted, safe_json, typed_command

if TYPE_CHECKING:
    from whichtune.evidence.summary import Summary
    from whichtune.result import Result
    from whichtune.study.spec import Study


@dataclass(frozen=True)
class How:
    """What a command says of how a study is made and told; nothing here changes a run."""

    save: str = "best"
    threads: int | None = None
    jobs: int | str | None = None
    figures: bool = True
    cache_limit: int | None = None
    executor: str | None = None
    replace: bool = False
    as_json: bool = False
    loggers: list[str] = field(default_factory=list)
    forecast: bool = True  # tell the time left by each row's operations, whose count takes seconds between two runs


def compare_and_tell(study: Study, out: Path | None, how: How, after: str | None = None) -> None:
    """Run a study with live progress and print what it shows, with the sentence `after` it; exits with 1 where a run
    failed."""
    from whichtune.cli.unchanged import as_it_was, leave_stamp
    from whichtune.expansion.places import place_of

    place = place_of(study, out)
    plain = not (how.replace or how.loggers or how.executor)
    how_it_ends = (how.save, how.figures)
    if plain and (summary := as_it_was(study, place, how_it_ends)) is not None:
        kept = len(summary.runs)
        console(stderr=how.as_json).print(f"{kept} runs; {kept} complete, kept; 0 to make.", highlight=False)
        _tell(summary, place, 0, how, after)
        return
    result = _made(study, out, how)
    complete = all(run.status == "completed" for run in result.records)
    if plain and complete:
        leave_stamp(study, result.folder, how_it_ends)
    _tell(result.summary, result.folder, result.started, how, after)
    if not complete:
        raise typer.Exit(1)


def _made(study: Study, out: Path | None, how: How) -> Result:
    """The study made, with live progress."""
    from whichtune.cli.progress import Progress
    from whichtune.compare import compare as run_study
    from whichtune.report.loggers import Sender

    with Progress(console(stderr=how.as_json), debug_wanted()) as progress:
        sender = Sender(how.loggers, progress)
        result = run_study(
            study,
            out,
            save=how.save,  # type: ignore[arg-type]
            threads=how.threads,
            jobs=how.jobs,
            figures=how.figures,
            cache_limit=how.cache_limit,
            executor=how.executor,
            on_event=sender,
            command=typed_command(),
            replace=how.replace,
            forecast=how.forecast,
        )
        sender.finish()
    return result


def _tell(summary: Summary, folder: Path, started: int, how: How, after: str | None) -> None:
    """What a study in this folder shows, after so many runs were made."""
    from whichtune.cli.summary import print_summary

    if how.as_json:
        print(safe_json((folder / "summary.json").read_text(encoding="utf-8")))
        return
    screen = console()
    print_summary(summary, screen)
    made = f"{started} run{'' if started == 1 else 's'} made."
    for line in [f"{made} The page to open: {folder / 'report.html'}", *([after] if after else [])]:
        screen.print(line, highlight=False, markup=False, soft_wrap=True)
