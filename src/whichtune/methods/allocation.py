"""Adapters whose ranks are shared out anew as they train: PEFT's own allocator, called after every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whichtune.models.course import Course

if TYPE_CHECKING:
    from torch import Tensor

    from whichtune.models.adapters import Inserted


IMPORTANCES = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # of PEFT's allocator, by parameter


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

    def state(self) -> dict[str, Any] | None:
        """The importances that the allocator has summed, and the ranks that it gave; None for a tuner without one."""
        allocator = getattr(self.tuner, "rankallocator", None)
        if allocator is None:
            return {} if getattr(self.config, "use_asa", True) is False else None
        sums = {name: dict(getattr(allocator, name)) for name in IMPORTANCES}
        return {**sums, "rank_pattern": getattr(self.config, "rank_pattern", None)}

    def restore(self, state: dict[str, Any]) -> None:
        if not state:
            return
        device = next(self.tuner.model.parameters()).device
        for name in IMPORTANCES:
            setattr(self.tuner.rankallocator, name, {key: value.to(device) for key, value in state[name].items()})
        self.config.rank_pattern = state["rank_pattern"]

    def after_update(self, number: int) -> None:
        self.tuner.update_and_allocate(number)
