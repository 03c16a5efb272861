"""What a run's self-check compares: a shortcut's training pass against the plain way's, on a few texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from whichtune.training.forward import GRADIENT_TOLERANCE

# Largest differences from the plain way that are rounding, relative to the largest logit.
LOGIT_TOLERANCE = {"float32": 2e-5, "bf16": 5e-2, "fp16": 1e-2}
CHECKED_TEXTS = 4
STRICT = "WHICHTUNE_STRICT_SHORTCUTS"


class ShortcutError(Exception):
    """A shortcut is not the plain way, and that is asked to be an error: `WHICHTUNE_STRICT_SHORTCUTS=1`."""


def note_of_failure(what: str, reason: str) -> str:
    """The note that a check has failed and `what` is done instead. Raises ShortcutError where that is asked for."""
    return note_or_error(f"Self-check: {what} ({reason}).")


def note_or_error(note: str, cause: Exception | None = None) -> str:
    """The note that a shortcut is left out by a fault. Raises ShortcutError where that is asked for."""
    if os.environ.get(STRICT) == "1":
        raise ShortcutError(note) from cause
    return note


def ragged_rows(lengths: Sequence[int]) -> list[int]:
    """A few texts of the most different lengths."""
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    places = {round(i * (len(order) - 1) / max(1, CHECKED_TEXTS - 1)) for i in range(CHECKED_TEXTS)}
    return [order[place] for place in sorted(places)]


def gradients_of(loss: Tensor, parameters: Iterable[Tensor]) -> list[Tensor]:
    """The gradient of each trained parameter, zero for those that the loss does not depend on."""
    trained = [p for p in parameters if p.requires_grad]
    gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, trained, strict=True)]


def gradient_difference(found: Sequence[Tensor], expected: Sequence[Tensor], precision: str) -> str | None:
    """How gradients differ by more than rounding at `precision`; None where they do not."""
    largest = max((float(g.abs().max()) for g in expected), default=0.0)
    away = max((float((a - b).abs().max()) for a, b in zip(found, expected, strict=True)), default=0.0)
    if not away <= GRADIENT_TOLERANCE[precision] * max(largest, 1e-6):
        return f"gradients differ by {away:.1e}, the largest is {largest:.1e}"
    return None
