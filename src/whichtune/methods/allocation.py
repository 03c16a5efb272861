"""Adapters whose ranks are shared out anew as they train: PEFT's own allocator, called after every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.models.course import Course

if TYPE_CHECKING:
    from torch import Tensor

    from whichtune.models.adapters import Inserted


class Allocation(Course):
    """Calls `update_and_allocate` of PEFT's tuner; for AdaLoRA, told the number of steps, with its penalty.

    `begins` and `ends` are shares of the steps: before and after them ranks stay as they are. None: steps as the
    configuration has them.
    """

    def __init__(self, inserted: Inserted, begins: float | None = None, ends: float | None = None) -> None:
        self.tuner, self.config = inserted.tuner, inserted.config
        self.begins, self.ends = begins, ends
        self.orthogonal = float(getattr(self.config, "orth_reg_weight", 0.0))

    def begin(self, total: int) -> None:
        if not hasattr(self.config, "total_step"):
            return
        self.config.total_step = total
        if self.begins is not None and self.ends is not None:
            self.config.tfinal = min(total - 1, round(total * self.ends))
            self.config.tinit = min(total - self.config.tfinal - 1, round(total * self.begins))

    def penalty(self) -> Tensor | None:
        """How far the thin matrices are from orthonormal ones, as AdaLoRA's loss has it: the mean Frobenius norm of
        A A^T - 1 and B^T B - 1, times a weight."""
        if not self.orthogonal:
            return None
        import torch

        norms = []
        for name, p in self.tuner.model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                product = p @ p.T if "lora_A" in name else p.T @ p
                norms.append(torch.linalg.matrix_norm(product - torch.eye(len(product), device=p.device)))
        return self.orthogonal * torch.stack(norms).mean()

    def after_update(self, number: int) -> None:
        self.tuner.update_and_allocate(number)
