"""What a finished study shows in a terminal: the decision first, a short table, and what must be read with them.

Everything else is on the page and in table.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.cli import brief
from whichtune.cli.card import card_of
from whichtune.cli.short_table import LONGEST_NAME, short_table
from whichtune.evidence.checked import warned_beside
from whichtune.report.cost_columns import money_notes
from whichtune.report.drawing.scales import text_units
from whichtune.report.run_notes import run_notes
from whichtune.report.tables import failure_notes
from whichtune.report.view import View
from whichtune.wording import plural

if TYPE_CHECKING:
    from rich.console import Console

    from whichtune.evidence.summary import Summary

NARROWEST = 40
READABLE = 100  # columns of running text
PIPED = 120  # columns where the output is no terminal
STYLES = {"head": "bold", "chosen": "bold green", "apart": "dim", "rule": "dim", "row": ""}
NAMES = 12  # columns of what a line of the card is about
MOST_NOTES = 3
WIDEST_PLOT = 88


def print_summary(summary: Summary, console: Console) -> None:
    """Print card, table and notes, no line wider than the console."""
    view = View(summary)
    if not console.is_terminal:  # other programs read it: names stay whole
        longest = max((text_units(label) for label in view.groups), default=0)
        console.width = max(console.width, PIPED + longest - LONGEST_NAME)
    width = max(NARROWEST, console.width)
    _print_card(view, min(width, READABLE), console)
    lines, left_out = short_table(view, width, LONGEST_NAME if console.is_terminal else width)
    _say("", console)
    for each in lines:
        _say(each.text, console, STYLES[each.kind])
    _say("", console)
    for text, style in notes_of(view, left_out):
        for line in brief.wrapped(text, min(width, READABLE)):
            _say(line, console, style)


def _print_card(view: View, width: int, console: Console) -> None:
    title = "── Decision "
    _say(title + "─" * (width - len(title)), console, "bold")
    labels = list(view.groups)
    room = width - NAMES
    for name, text in card_of(view):
        for number, line in enumerate(brief.wrapped(brief.shortened(text, labels, room * 2 // 3), room)):
            _say(f"{'' if number else name:{NAMES}}{line}", console, "bold" if name in ("Use", "Verdict") else "")
    _say("─" * width, console, "bold")


def print_plot(summary: Summary, console: Console) -> None:
    """Print score against training time, where more than one row has both."""
    from whichtune.cli.textplot import text_scatter
    from whichtune.report.score_figures import cost_figures

    figures = cost_figures(View(summary))
    if figures and len(figures[0].points) > 1:
        _say("", console)
        for line in text_scatter(figures[0], min(console.width, WIDEST_PLOT)):
            _say(line, console)


def notes_of(view: View, left_out: int) -> list[tuple[str, str]]:
    """What must be read with the figures, each with its style, and where the rest is."""
    found: list[tuple[str, str]] = [(f"Failed: {line}", "red") for line in failure_notes(view)]
    warnings = view.verdict.warnings if view.verdict is not None else []
    found += [(f"Mind: {line}", "yellow") for line in warnings]
    checks = warned_beside(view.summary.checks, warnings)
    if checks:
        found.append((f"Checks that warn: {', '.join(check.title.lower() for check in checks)}.", "yellow"))
    found += [(note, "") for note in money_notes(view)]  # only where a price was stated, so that it was asked for
    notes = [f"Note: {note}" for note in run_notes(view)]
    found += [(note, "") for note in notes[:MOST_NOTES]]
    more = [plural(len(notes) - MOST_NOTES, "more note")] if len(notes) > MOST_NOTES else []
    more += [plural(left_out, "more column")] if left_out else []
    test = next((run.metrics.test for run in view.done if run.metrics.test is not None), None)
    of = "" if test is None else f" of {test.n:,} examples"
    shared = max((row.runs_at_once for row in view.rows), default=1)
    times = f"; times are those of a machine with {shared} runs at a time" if shared > 1 else ""
    found.append((f"Scores are of the test split{of}, means over seeds{times}.", "dim"))
    found.append(
        (f"On the page and in table.md: {', '.join([*more, 'figures, comparisons and all settings'])}.", "dim")
    )
    return found


def _say(text: str, console: Console, style: str = "") -> None:
    console.print(text, style=style, markup=False, highlight=False, no_wrap=True, overflow="crop", crop=True)
