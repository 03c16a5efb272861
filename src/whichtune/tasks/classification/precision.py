"""What a lower precision changes: predictions of the same trained weights, in float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

    from whichtune.data.encoding import Encoded
    from whichtune.models.heads import Classifier


def changed_predictions(
    classifier: Classifier,
    encoded: Encoded,
    device: torch.device,
    logits: Mapping[str, np.ndarray],
    precision: str,
    threshold: float | None = None,
) -> list[str]:
    """A sentence for the validation and test split each: how many predictions float32 would make otherwise.

    `logits` (n, C) of each split are the run's own, in `precision`; the comparison runs every block the plain way
    and counts in no cost. Empty for a run in float32.
    """
    if precision == "float32":
        return []
    from whichtune.tasks.classification.deciding import decided
    from whichtune.tasks.classification.evaluate import predict_split
    from whichtune.training.forward import PlainForward

    plain = PlainForward(classifier, encoded, device, "float32")
    sentences = []
    for name in ("validation", "test"):
        if name not in logits:
            continue
        exact = predict_split(classifier, plain, name)
        changed = int((decided(exact, threshold) != decided(logits[name], threshold)).sum())
        sentences.append(
            f"{precision} changes {changed} of {len(exact)} {name} predictions against float32 with the same weights."
        )
    return sentences
