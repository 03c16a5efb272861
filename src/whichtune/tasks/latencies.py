"""How long a trained model takes to answer: a text alone and as one of 32, with and without merged adapters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from whichtune.measure.cost import Latency, latency_ms
from whichtune.methods import METHODS

if TYPE_CHECKING:
    import torch

    from whichtune.models.adaptable import Adaptable
    from whichtune.study.spec import RunSpec

TIMED_BATCHES = 5  # of 32 texts
TIMED_MERGED = 3


def answering_latencies(
    spec: RunSpec, model: Adaptable, answer: Callable[[Sequence[int]], object], texts: int, device: torch.device
) -> dict[str, float]:
    """Milliseconds a text, as fields of a record's costs. `answer` computes test texts by their rows, of which there
    are `texts`."""

    def timed(calls: int, warm: bool = False) -> tuple[Latency, Latency]:
        many = [[(start * 32 + i) % texts for i in range(32)] for start in range(calls)]
        return (
            latency_ms(lambda i: answer([i % texts]), device, 20, warm),
            latency_ms(lambda i: answer(many[i]), device, calls, warm).of_each(32),
        )

    model.eval()
    one, batch = timed(TIMED_BATCHES)
    figures = one.costs("inference_ms") | batch.costs("inference_ms_batch_32")
    if spec.base_precision != "float32":
        return figures  # merged, an adapter would be rounded with the weights
    with METHODS[spec.method].merged(model) as merged:
        if merged:
            one, batch = timed(TIMED_MERGED, warm=True)  # the same shapes as before
            figures |= {"inference_ms_merged": one.p50, "inference_ms_batch_32_merged": batch.p50}
    return figures
