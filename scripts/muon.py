"""Muon, an optimiser for matrices, in float32."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal: every direction of a matrix moves by the same amount.

    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). `torch.optim.Muon`
    works in bfloat16, which most CPUs only emulate; this one stays in float32. Parameters are matrices
    (in, out) as GPT-2's Conv1D holds them; one that holds several side by side (queries, keys, values)
    is orthogonalised piece by piece: `pieces` of its group says how many.
    """

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "pieces": 1})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                buffer = state["momentum"]
                buffer.lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(buffer, group["momentum"])  # Nesterov's look ahead
                pieces = [orthogonalise(piece) for piece in update.chunk(group["pieces"], dim=1)]
                scale = math.sqrt(max(1.0, pieces[0].shape[1] / pieces[0].shape[0]))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(torch.cat(pieces, dim=1), alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor, iterations: int = 5) -> Tensor:
    """A matrix with the same singular vectors and singular values near 1 (quintic Newton-Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315  # Jordan et al.: steepest at zero, values settle between 0.7 and 1.2
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
