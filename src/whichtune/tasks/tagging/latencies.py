"""Milliseconds that a trained tagger takes for a test sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from whichtune.measure.cost import Latency, latency_ms
from whichtune.methods import METHODS
from whichtune.models.tagger import Tagger
from whichtune.study.spec import RunSpec
from whichtune.tasks.tagging.forward import TagForward
from whichtune.training.forward import autocast

LATENCY_BATCHES = 5  # of 32 sentences that are timed


def latencies(spec: RunSpec, model: Tagger, forward: TagForward) -> dict[str, float]:
    """Milliseconds a sentence at batch sizes 1 and 32, with and without merged adapters."""
    encoded, device = forward.encoded, forward.device
    n = len(encoded.splits["test"])

    def tag(rows: Sequence[int]) -> None:
        with torch.no_grad(), autocast(spec.precision, device):
            model(encoded.batch("test", rows).to(device))

    def timed(calls: int, warm: bool = False) -> tuple[Latency, Latency]:
        many = [[(start * 32 + i) % n for i in range(32)] for start in range(calls)]
        return (
            latency_ms(lambda i: tag([i % n]), device, 20, warm),
            latency_ms(lambda i: tag(many[i]), device, calls, warm).of_each(32),
        )

    model.eval()
    one, batch = timed(LATENCY_BATCHES)
    figures = one.costs("inference_ms") | batch.costs("inference_ms_batch_32")
    with METHODS[spec.method].merged(model) as merged:
        if merged:
            one, batch = timed(3, warm=True)  # the same shapes as before
            figures |= {"inference_ms_merged": one.p50, "inference_ms_batch_32_merged": batch.p50}
    return figures
