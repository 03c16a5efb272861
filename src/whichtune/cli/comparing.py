"""A study run from the command line: progress while it is made, then its table and its decision."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from whichtune.cli.screen import console, debug_wanted, safe_json, typed_command

if TYPE_CHECKING:
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
    from whichtune.cli.progress import Progress
    from whichtune.cli.summary import print_summary
    from whichtune.compare import compare as run_study
    from whichtune.report.loggers import Sender

    screen = console(stderr=how.as_json)
    with Progress(screen, debug_wanted()) as progress:
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
    if how.as_json:
        print(safe_json((result.folder / "summary.json").read_text(encoding="utf-8")))
    else:
        print_summary(result.summary, screen)
        made = f"{result.started} run{'' if result.started == 1 else 's'} made."
        for line in [f"{made} The page to open: {result.folder / 'report.html'}", *([after] if after else [])]:
            screen.print(line, highlight=False, markup=False, soft_wrap=True)
    if any(run.status != "completed" for run in result.records):
        raise typer.Exit(1)
