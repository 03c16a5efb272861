"""Where a run's time went, phase by phase, as its record tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import fsum
from statistics import median

from whichtune.records.record import Cost


@dataclass(frozen=True)
class Phase:
    """A part of a run's time; `of` gives its seconds, None where a record does not know them."""

    name: str
    what: str
    of: Callable[[Cost], float | None]


def _final(cost: Cost) -> float | None:
    """Evaluation without the part that the curves took."""
    return None if cost.evaluate_seconds is None else cost.evaluate_seconds - (cost.curve_seconds or 0.0)


STEPS = Phase("steps", "optimiser steps, or solving a closed form", lambda cost: cost.train_seconds)
KNOWN = (
    Phase("load", "loading the model, and making tokens of the texts", lambda cost: cost.load_seconds),
    Phase("check", "comparing the plan with the plain way", lambda cost: cost.check_seconds),
    Phase("frozen", "the pass through the frozen blocks, as this run paid it", lambda cost: cost.cache_seconds),
    STEPS,
    Phase("curves", "evaluations during training", lambda cost: cost.curve_seconds),
    Phase("final", "validation and test at the end", _final),
    Phase("timing", "timing answers", lambda cost: cost.latency_seconds),
    Phase("saving", "writing predictions and weights, and proving these", lambda cost: cost.save_seconds),
)


def _other(cost: Cost) -> float | None:
    """What no phase accounts for; None where the whole was not timed."""
    if cost.total_seconds is None:
        return None
    return max(0.0, cost.total_seconds - fsum(phase.of(cost) or 0.0 for phase in KNOWN))


PHASES = (*KNOWN, Phase("other", "reading data, counting operations, and the rest", _other))


def total_of(cost: Cost) -> float:
    """Seconds of all phases."""
    return fsum(phase.of(cost) or 0.0 for phase in PHASES)


def share_of_steps(costs: Sequence[Cost]) -> float | None:
    """The share of a row's time that went into steps, in the median of its runs; None where nothing was timed."""
    shares = [(STEPS.of(cost) or 0.0) / whole for cost in costs if (whole := total_of(cost))]
    return median(shares) if shares else None


def medians_of(costs: Sequence[Cost]) -> list[float | None]:
    """The median seconds of each phase over a row's runs; None where no run knows it."""
    found = [[seconds for cost in costs if (seconds := phase.of(cost)) is not None] for phase in PHASES]
    return [median(known) if known else None for known in found]
