"""What a lower precision changes: predictions of the same trained weights, in float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

    from whichtune.data.encoding import Encoded
    from whichtune.models.heads import Classifier
    from whichtune.study.spec import RunSpec
    from whichtune.training.forward import Forward


def rounding_of(spec: RunSpec, forward: Forward) -> str | None:
    """What of a run is in fewer bits than float32, as a sentence on it begins; None where nothing is."""
    from whichtune.shortcuts.planned import PlannedForward

    if spec.precision != "float32":
        return spec.precision
    if isinstance(forward, PlannedForward) and forward.reads_rounded_states:
        return f"Keeping hidden states in {spec.state_precision}"
    return None


def changed_predictions(
    classifier: Classifier,
    encoded: Encoded,
    device: torch.device,
    logits: Mapping[str, np.ndarray],
    rounding: str | None,
    threshold: float | None = None,
) -> list[str]:
    """A sentence for the validation and test split each: how many predictions float32 would make otherwise.

    `logits` (n, C) of each split are the run's own, and `rounding` what sets them apart from float32 (`rounding_of`);
    the comparison runs every block the plain way and counts in no cost. Empty where nothing does.
    """
    if rounding is None:
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
            f"{rounding} changes {changed} of {len(exact)} {name} predictions against float32 with the same weights."
        )
    return sentences
