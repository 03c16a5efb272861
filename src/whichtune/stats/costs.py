"""Costs of a row over its seeds, and their ratios."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Literal

from whichtune.records.record import Cost

Count = Literal["optimiser_steps", "examples_seen"]
# The words are read as "1.5 times the training time".
COSTS = {
    "training_seconds": "training time",
    "peak_memory_bytes": "peak memory",
    "trainable_parameters": "trainable parameters",
    "adapter_bytes": "stored size",
    "inference_ms": "inference time",
    "inference_ms_p95": "95th percentile of the inference time",
    "inference_ms_batch_32": "inference time in batches of 32",
    "inference_ms_batch_32_p95": "95th percentile of the inference time in batches of 32",
    "training_flops": "training operations",
    # As they were paid: they depend on which run made a pass that several share, so rows are not told by them.
    "train_seconds": "time of the optimiser steps",
    "flops": "training operations as they were paid",
}
# Costs that a sentence on two rows tells.
TOLD = ("training_seconds", "peak_memory_bytes", "trainable_parameters", "adapter_bytes", "inference_ms")


def median_costs(costs: Iterable[Cost]) -> dict[str, float | None]:
    """Median over seeds of each cost; None where no seed has it."""
    rows = list(costs)
    found = {key: [v for row in rows if (v := getattr(row, key)) is not None] for key in COSTS}
    return {key: float(median(values)) if values else None for key, values in found.items()}


def count_of(cost: Cost, key: Count) -> int | None:
    """What a run's training came to, whatever was asked for."""
    return cost.optimiser_steps if key == "optimiser_steps" else cost.examples_seen


def seconds_of_run(cost: Cost) -> float | None:
    """Seconds that a run took, as it paid them; None where nothing was timed.

    Where the whole was not timed, as in records of earlier versions, from loading to the last evaluation.
    """
    if cost.total_seconds is not None:
        return cost.total_seconds
    phases = (cost.load_seconds, cost.cache_seconds, cost.train_seconds, cost.evaluate_seconds)
    timed = [seconds for seconds in phases if seconds is not None]
    return sum(timed) if timed else None


def cost_ratios(a: Mapping[str, float | None], b: Mapping[str, float | None]) -> dict[str, float | None]:
    """a divided by b; None where one is missing or b is zero."""
    ratios: dict[str, float | None] = {}
    for key in COSTS:
        first, second = a.get(key), b.get(key)
        ratios[key] = None if first is None or second is None or second == 0 else first / second
    return ratios
