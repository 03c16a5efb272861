"""What a search would take, told before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whichtune.runs.estimate import estimate_runs
from whichtune.study.spec import RunSpec
from whichtune.tuning.trials import SearchPlan

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset


@dataclass(frozen=True)
class SearchEstimate:
    """What the search for one line's settings would take; `draws` is a guess where the budget is in seconds."""

    label: str
    draws: int
    seconds: float
    flops: int | None


def estimate_search(
    plan: SearchPlan, dataset: AnyDataset, faults: dict[str, str] | None = None
) -> list[SearchEstimate]:
    """An estimate for each line that is searched. `dataset` has no test split. Lines that cannot be estimated are left
    out where there are `faults` to take the reasons."""
    first = [line.draws[0].spec for line in plan.lines if line.draws]
    one = _by_label(first, dataset, faults)
    found = []
    for line in plan.lines:
        if not line.draws:
            found.append(SearchEstimate(line.label, 0, 0.0, None))
            continue
        if line.label not in one:
            continue
        draws, seconds = len(line.draws), one[line.label]
        if plan.unit == "seconds" and plan.amount is not None:
            draws = min(draws, max(1, -int(-plan.amount // seconds)))
        predicted = [draw.flops for draw in line.draws]
        share = line.whole_draws / len(line.draws)
        flops = None if None in predicted else line.shared_flops + int(share * sum(n or 0 for n in predicted))
        whole = line.whole_draws if line.rungs else draws
        found.append(SearchEstimate(line.label, draws, whole * seconds, flops))
    return found


def _by_label(specs: Sequence[RunSpec], dataset: AnyDataset, faults: dict[str, str] | None) -> dict[str, float]:
    """Seconds of one run of each row."""
    estimates = estimate_runs(specs, dataset, faults)
    return {spec.label: estimates[spec.run_id].seconds for spec in specs if spec.run_id in estimates}
