"""What a run cost, from its phases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from whichtune.records.record import Cost

if TYPE_CHECKING:
    from whichtune.shortcuts.prepared import Prepared
    from whichtune.training.trainer import Training


def training_cost(training: Training, seconds: Mapping[str, float], prepared: Prepared) -> Cost:
    """Costs of training and evaluation. What training costs alone follows from its parts, see `Cost`."""
    busy = seconds.get("train") or None
    return Cost(
        load_seconds=seconds.get("load"),
        check_seconds=seconds.get("check"),
        cache_seconds=seconds.get("cache", 0.0),
        cache_seconds_alone=prepared.seconds_alone,
        flops=training.flops + prepared.flops,
        cache_flops=prepared.flops,
        cache_flops_alone=prepared.flops_alone,
        train_seconds=seconds.get("train", 0.0),
        evaluate_seconds=seconds.get("evaluate"),
        max_epoch_seconds=max(training.epoch_seconds, default=None),
        curve_seconds=training.curve_seconds,
        real_tokens_per_second=training.real_tokens / busy if busy else None,
        padding_tokens_per_second=training.padding_tokens / busy if busy else None,
        optimiser_steps=training.steps,
        examples_seen=training.examples,
        epochs=training.epochs,
    )
