"""LoRA's layers as one step of autograd each, without the passes over memory that their written-out formula takes.

PEFT computes `base(x) + B(A(x)) * scaling` in single operations: of three numbers for each output, two are written only
to be read once, forward and backward. Here the low-rank part is added by the matrix product itself. The products are
the same ones, so that operations are, too; sums differ in the last bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx


class LowRankLinear(torch.autograd.Function):
    """`x W' + b + scaling * x A' B'` for x (N, D_in).

    W (D_out, D_in) and b (D_out,) are frozen; A (r, D_in) and B (D_out, r) train.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float
    ) -> Tensor:
        inner = x @ a.t()
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scaling = scaling  # type: ignore[attr-defined]
        out = nn.functional.linear(x, weight, bias)
        return torch.addmm(out, inner, b.t(), alpha=scaling, out=out)

    @staticmethod
    def backward(
        ctx: FunctionCtx, gradient: Tensor
    ) -> tuple[Tensor | None, None, None, Tensor | None, Tensor | None, None]:
        x, weight, a, b, inner = ctx.saved_tensors  # type: ignore[attr-defined]
        scaling, needed = ctx.scaling, ctx.needs_input_grad  # type: ignore[attr-defined]
        of_inner = (gradient @ b).mul_(scaling) if needed[0] or needed[3] else None
        of_x = of_a = of_b = None
        if of_inner is not None and needed[0]:
            of_x = gradient @ weight
            of_x = torch.addmm(of_x, of_inner, a, out=of_x)
        if of_inner is not None and needed[3]:
            of_a = of_inner.t() @ x
        if needed[4]:
            of_b = (gradient.t() @ inner).mul_(scaling)
        return of_x, None, None, of_a, of_b, None


@dataclass(frozen=True)
class _Layer:
    """A plain LoRA layer and its parts. Weights are read when they are needed: loading may have replaced them."""

    whole: nn.Module
    base: nn.Linear | Conv1D
    a: nn.Linear
    b: nn.Linear
    scaling: float

    def kernel(self, x: Tensor) -> Tensor:
        """What the layer gives for x (..., D_in)."""
        weight = self.base.weight.t() if isinstance(self.base, Conv1D) else self.base.weight
        rows = x.reshape(-1, x.shape[-1])
        out = LowRankLinear.apply(rows, weight, self.base.bias, self.a.weight, self.b.weight, self.scaling)
        assert isinstance(out, Tensor)
        return out.view(*x.shape[:-1], out.shape[-1])


class AdapterKernels:
    """The LoRA layers of a model that can be computed so: plain ones in float32, without dropout, on a frozen layer."""

    def __init__(self, model: nn.Module) -> None:
        found = (_plain_layer(module) for module in model.modules())
        self._found = [layer for layer in found if layer is not None]

    def __len__(self) -> int:
        return len(self._found)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The layers are computed so inside."""
        for layer in self._found:
            layer.whole.__dict__["forward"] = layer.kernel
        try:
            yield
        finally:
            for layer in self._found:
                del layer.whole.__dict__["forward"]


def has_adapter_kernels(model: nn.Module) -> bool:
    """Whether any layer of `model` is one of LoRA's that can be computed in one step of autograd."""
    return len(AdapterKernels(model)) > 0


def _plain_layer(module: nn.Module) -> _Layer | None:
    """The parts of a LoRA layer that computes base(x) + B(A(x)) * scaling and nothing else; None for others."""
    from peft.tuners.lora.layer import Linear as LoraLinear

    if not isinstance(module, LoraLinear) or type(module) is not LoraLinear:
        return None
    if module.merged or module.disable_adapters or len(module.active_adapters) != 1:
        return None
    name, base = module.active_adapters[0], module.base_layer
    if name not in module.lora_A or name in module.lora_variant or not isinstance(base, (nn.Linear, Conv1D)):
        return None
    a, b = module.lora_A[name], module.lora_B[name]
    plain = type(base) in (nn.Linear, Conv1D) and isinstance(module.lora_dropout[name], nn.Identity)
    if not plain or not isinstance(a, nn.Linear) or not isinstance(b, nn.Linear):
        return None
    if a.bias is not None or b.bias is not None or any(p.requires_grad for p in base.parameters()):
        return None
    if any(p.dtype != torch.float32 for p in module.parameters()):
        return None
    return _Layer(module, base, a, b, module.scaling[name])
