"""`whichtune extend`, `diff`, `history` and `gate`: studies that grow, and studies beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whichtune.cli import choices
from whichtune.cli.examples import epilog
from whichtune.cli.screen import safe_json, say

if TYPE_CHECKING:
    from whichtune.evidence.across import Side

FAILED = 1


def extend(
    folder: choices.StudyDir,
    methods: Annotated[str | None, typer.Option(help="Methods and baselines to add, separated by commas.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds to add, separated by commas.")] = None,
    model: Annotated[str | None, typer.Option(help="Models to add, separated by commas.")] = None,
    train_sizes: Annotated[str | None, typer.Option(help="Numbers of training texts to add, as 50,100,all.")] = None,
    set_: choices.Settings = None,
    save: choices.Save = "best",
    threads: choices.Threads = None,
    jobs: choices.Jobs = None,
) -> None:
    """Add methods, seeds, models or sizes to a finished study; what is there is kept."""
    from whichtune.cli.comparing import How, compare_and_tell
    from whichtune.expansion.assemble import check_choice
    from whichtune.expansion.extended import extended

    check_choice("--save", save, ("none", "best", "all"))
    study = extended(folder, methods, seeds, model, train_sizes, set_ or [])
    compare_and_tell(study, folder, How(save, threads, jobs))


def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A study's folder.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Another study's folder.")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what differs between two studies, and which scores changed by more than noise."""
    from whichtune.evidence.across import change_of, what_changed

    first, second = _side(before), _side(after)
    metric = second.summary.study.primary_metric
    common = [label for label in second.labels if label in first.labels]
    changes = [change_of(first, second, label, metric) for label in common]
    made = list(what_changed(first.summary, second.summary))
    picks = [side.summary.verdict.recommended if side.summary.verdict else None for side in (first, second)]
    only = [[label for label in a.labels if label not in b.labels] for a, b in ((first, second), (second, first))]
    if json_:
        found = {
            "changed": made,
            "rows": [change.__dict__ for change in changes],
            "only_before": only[0],
            "only_after": only[1],
            "recommended": picks,
        }
        print(safe_json(json.dumps(found, indent=1, ensure_ascii=False)))
        return
    old, new = (pick or "none" for pick in picks)
    say(f"Recommended in both: {old}." if old == new else f"Recommended: {old}, then {new}.")
    for title, lines in (("What changed", made), ("Rows", [change.sentence for change in changes])):
        say(f"\n{title}:" if lines else f"\n{title}: nothing.")
        for line in lines:
            say(f"  {line}")
    for place, labels in (("before", only[0]), ("after", only[1])):
        if labels:
            say(f"\nOnly {place}: {', '.join(labels)}.")


def history(
    place: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder with studies in it.")] = Path(),
) -> None:
    """List the studies of a folder by when they were made: data, model, recommended row and its score."""
    from whichtune.errors import StoreError
    from whichtune.report.history import studies_in

    found = studies_in(place)
    if not found:
        raise StoreError(f"There is no study in '{place}': name a folder that holds studies' folders.")
    for line in found:
        say(line)


def gate(
    folder: choices.StudyDir,
    row: Annotated[str | None, typer.Option(help="The row [default: the recommended one].")] = None,
    at_least: Annotated[
        list[str] | None, typer.Option(help="What it must reach on test, as accuracy=0.95; may be repeated.")
    ] = None,
    not_worse_than: Annotated[
        Path | None, typer.Option(help="A study's folder that it must not be worse than.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Points it may lose at most; it must then be shown to lose less.")
    ] = None,
) -> None:
    """Exit with 1 where a row is not good enough, or worse than before: for pipelines."""
    from whichtune.errors import SettingError
    from whichtune.evidence import gate as gates

    side = _side(folder)
    verdict = side.summary.verdict
    label = row or (verdict.recommended if verdict else None)
    if label is None:
        raise SettingError("The study recommends no row: name one with --row.")
    if not at_least and not_worse_than is None:
        raise SettingError("There is nothing to check: give --at-least METRIC=NUMBER or --not-worse-than FOLDER.")
    if margin is not None and not_worse_than is None:
        raise SettingError("--margin says how much worse than before a row may be: give --not-worse-than, too.")
    outcomes = [gates.at_least(side, label, gates.parse_least(text)) for text in at_least or []]
    if not_worse_than is not None:
        outcomes.append(gates.not_worse(_side(not_worse_than), side, label, margin))
    for outcome in outcomes:
        say(f"{'passed' if outcome.passed else 'FAILED'}  {outcome.sentence}")
    if not all(outcome.passed for outcome in outcomes):
        raise typer.Exit(FAILED)


def _side(folder: Path) -> Side:
    from whichtune.evidence.across import Side
    from whichtune.records.store import StudyFolder
    from whichtune.report.write import load_summary

    place = StudyFolder(folder)
    return Side(str(folder), load_summary(place), place.predictions)


def add_to(app: typer.Typer) -> None:
    """The commands, in the order of the help."""
    for name, command in (("extend", extend), ("diff", diff), ("history", history), ("gate", gate)):
        app.command(epilog=epilog(name))(command)
