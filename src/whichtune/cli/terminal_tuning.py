"""The search for settings as the terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.cli.terminal import print_lines
from whichtune.report import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from whichtune.tuning.estimate import SearchEstimate
    from whichtune.tuning.trials import SearchPlan


def print_search(plan: SearchPlan, estimates: Sequence[SearchEstimate], console: Console) -> None:
    """`--dry-run`: how many draws of each line, of what, and about how long they take."""
    ranges = {line.label: line.spaces for line in plan.lines}
    rows = [
        [
            guess.label,
            "; ".join(f"{name} {space.words()}" for name, space in ranges[guess.label].items()) or "nothing to search",
            f"{'about ' if plan.unit == 'seconds' and guess.draws else ''}{guess.draws}",
            words.seconds(guess.seconds) if guess.draws else words.NOTHING,
            words.giga_operations(guess.flops),
        ]
        for guess in estimates
    ]
    print_lines(["search", "settings", "draws", "seconds", "GFLOP"], rows, console, left=2)
    total = sum(guess.seconds for guess in estimates)
    begun = " begun, the worse dropped on the way" if any(line.rungs for line in plan.lines) else ""
    console.print(
        f"{sum(guess.draws for guess in estimates)} draws{begun}, about {words.seconds(total)} seconds in all, "
        "computed the plain way, before the runs:",
        highlight=False,
        soft_wrap=True,
    )
