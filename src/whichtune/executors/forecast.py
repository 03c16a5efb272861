"""How long the rows of a study are expected to take against one another, told to whoever watches it.

Seconds are by this machine's speed at large matrix products, so only their ratios count: runs that are done tell what a
predicted second is worth.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from whichtune.executors.order import shared_states
from whichtune.records.events import Event, Expected
from whichtune.runs.estimate import estimate_runs
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset

RUNS_FIRST, SECONDS_FIRST = 2, 20.0
# An operation of a step, with what is saved for the way back and the optimiser's own, takes about twice as long as one
# of a pass through frozen blocks, which is made in large batches: measured on the studies in tests/test_pace.py.
STEPS = 2.0


def forecast(specs: Sequence[RunSpec], dataset: AnyDataset) -> dict[str, Expected]:
    """Of each row that can be estimated what one of its runs takes; baselines are left out."""
    faults: dict[str, str] = {}  # what cannot be estimated is found out by the run itself
    estimates = estimate_runs(specs, dataset, faults)
    found: dict[str, Expected] = {}
    for spec in specs:
        if spec.run_id in estimates and spec.label not in found:
            guess = estimates[spec.run_id]
            left = guess.seconds if guess.shared_seconds is None else guess.shared_seconds
            alone = guess.seconds - left + STEPS * left
            # Each seed of random weights is a model of its own, with its own pass.
            shared = alone if spec.weights == "random" else STEPS * left
            found[spec.label] = {
                "seconds": alone,
                "shared_seconds": shared,
                "after": guess.evaluation_seconds / guess.seconds if left == guess.seconds and left else 0.0,
                "shares": shared_states(spec),
            }
    return found


class Forecaster:
    """Makes a study's forecast once it is worth its seconds: when two runs are done and the study is no quick one.

    It is made between two runs, so that it disturbs the clock of none that is made alone.
    """

    def __init__(self, specs: Sequence[RunSpec], dataset: AnyDataset) -> None:
        self.specs, self.dataset = list(specs), dataset
        self.began = time.monotonic()
        self.done: list[str] = []
        self.told = False

    def after(self, event: Event) -> Event | None:
        """The forecast, where this event makes it due."""
        if event["event"] != "end" or self.told:
            return None
        self.done.append(event["run_id"])
        known = {spec.label for spec in self.specs if spec.run_id in self.done}
        new = any(spec.label not in known and spec.role is not Role.BASELINE for spec in self.specs)
        if len(self.done) < RUNS_FIRST or not new or time.monotonic() - self.began < SECONDS_FIRST:
            return None
        self.told = True
        return {"event": "forecast", "expected": forecast(self.specs, self.dataset)}
