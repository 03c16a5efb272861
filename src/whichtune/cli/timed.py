"""`show --time`: where the time of a run, or of a study's rows, went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.cli.terminal import plain_table
from whichtune.report.view import View
from whichtune.report.words import seconds
from whichtune.stats.phases import PHASES, medians_of, share_of_steps, total_of

if TYPE_CHECKING:
    from rich.console import Console

    from whichtune.evidence.summary import Summary
    from whichtune.records.record import RunRecord


def print_times_of_run(record: RunRecord, console: Console) -> None:
    """The phases of one run with their shares, and what each of them is."""
    whole = total_of(record.cost)
    rows = []
    for phase in PHASES:
        spent = phase.of(record.cost)
        share = "–" if spent is None or not whole else f"{100 * spent / whole:.0f} %"
        rows.append([phase.name, _shown(spent), share, phase.what])
    rows.append(["together", _shown(whole), "", ""])
    console.print(plain_table(["phase", "seconds", "share", "what it is"], rows, "lrrl"))


def print_times(summary: Summary, console: Console) -> None:
    """The phases of each row, medians over its runs, and what all runs took together."""
    rows, runs = [], 0
    whole = 0.0
    for row in View(summary).rows:
        costs = [run.cost for run in row.done]
        if not costs:
            continue
        share, runs = share_of_steps(costs), runs + len(costs)
        whole += sum(map(total_of, costs))
        steps = "–" if share is None else f"{100 * share:.0f}"
        rows.append([row.label, *map(_short, medians_of(costs)), steps])
    header = ["row", *(phase.name for phase in PHASES), "%"]
    console.print(plain_table(header, rows, "l" + "r" * (len(header) - 1), dense=True))
    console.print(
        f"Seconds, medians over a row's runs; %: the steps' share. {runs} runs took {seconds(whole)} s together. "
        "What each phase is: whichtune show DIR RUN --time.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _short(spent: float | None) -> str:
    """With one decimal below ten seconds: in a wide table more would say no more."""
    return "–" if spent is None else f"{spent:,.0f}" if spent >= 9.95 else f"{spent:.1f}"


def _shown(spent: float | None) -> str:
    return "–" if spent is None else seconds(spent)
