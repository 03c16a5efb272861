"""Cross-entropy over a large vocabulary, computed in chunks of rows.

Logits of N tokens over a vocabulary of V are N x V numbers, and the plain way holds them three or four times:
for 4,096 tokens and 50,257 words one copy is 823 MB. Here the logits of one chunk exist at a time. Gradients are
formed while a chunk's logits are there, so nothing is computed twice. Sums run in another order than the plain
way's; otherwise the formula is the same.

Shapes: N tokens, D hidden size, V words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from whichtune.models.autocast import autocast_type, without_autocast

# Logits of a chunk, together: 64 MiB in float32. Products of a few hundred rows already run at full speed.
CHUNK_LOGITS = 2**24
# Words at a time in the weight's gradient where products are in half precision and sums in float32.
WORDS = 8192

Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


def chunked_cross_entropy(
    hidden: Tensor, weight: Tensor, labels: Tensor, bias: Tensor | None = None, chunk: int | None = None
) -> Tensor:
    """The summed cross-entropy in nats, a scalar in at least float32, of `hidden @ weight.T + bias` against `labels`.

    `hidden` (N, D), `weight` (V, D), `labels` (N,) int64 in 0..V-1, `bias` (V,); `chunk` rows at a time (None: as
    many as keep a chunk's logits to 64 MiB). Under autocast, products are in its precision, as those of a linear
    layer are. N may be 0. It can be differentiated once, by `hidden`, `weight` and `bias`.
    """
    if not torch.is_grad_enabled():
        return chunked_token_losses(hidden, weight, labels, bias, chunk).sum()
    loss: Tensor = _SummedLoss.apply(hidden, weight, labels, bias, chunk)
    return loss


@torch.no_grad()
def chunked_token_losses(
    hidden: Tensor, weight: Tensor, labels: Tensor, bias: Tensor | None = None, chunk: int | None = None
) -> Tensor:
    """Each token's cross-entropy in nats (N,), without a graph. The arguments of `chunked_cross_entropy`."""
    return _Chunks(hidden, weight, labels, bias, chunk).run((False, False, False))[0]


if TYPE_CHECKING:

    class _Context(FunctionCtx):
        """What the forward pass leaves for the backward pass."""

        needs_input_grad: tuple[bool, ...]
        saved_tensors: tuple[Tensor, Tensor, Tensor, Tensor | None]
        chunk: int | None
        precision: torch.dtype
        wanted: tuple[bool, bool, bool]
        gradients: Gradients | None

        def save_for_backward(self, *tensors: Tensor | None) -> None: ...


class _SummedLoss(torch.autograd.Function):
    """Forms the gradients with the loss, for an outer gradient of one, and scales them in backward."""

    @staticmethod
    def forward(
        ctx: _Context, hidden: Tensor, weight: Tensor, labels: Tensor, bias: Tensor | None, chunk: int | None
    ) -> Tensor:
        ctx.save_for_backward(hidden, weight, labels, bias)
        ctx.chunk, ctx.precision = chunk, _product_type(hidden)
        ctx.wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.needs_input_grad[3])
        losses, ctx.gradients = _Chunks(hidden, weight, labels, bias, chunk).run(ctx.wanted)
        return losses.sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: _Context, outer: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:  # a second pass through a kept graph: the first has given the tensors away
            hidden, weight, labels, bias = ctx.saved_tensors
            chunks = _Chunks(hidden, weight, labels, bias, ctx.chunk, ctx.precision)
            gradients = chunks.run(ctx.wanted)[1]
        # In place: another copy of the weight's gradient would be as large as the weight.
        of_hidden, of_weight, of_bias = (None if g is None else g.mul_(outer.to(g.dtype)) for g in gradients)
        return of_hidden, of_weight, None, of_bias, None


class _Chunks:
    """One pass over the rows."""

    def __init__(
        self,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        bias: Tensor | None,
        chunk: int | None,
        precision: torch.dtype | None = None,
    ) -> None:
        self.hidden, self.weight, self.labels, self.bias = hidden, weight, labels, bias
        self.precision = precision or _product_type(hidden)
        self.sums = torch.promote_types(self.precision, torch.float32)
        # Small probabilities would vanish in fp16, before a gradient scaler could have helped: float32 there.
        self.products = torch.float32 if self.precision == torch.float16 else self.precision
        self.size = chunk or max(1, CHUNK_LOGITS // weight.shape[0])

    def run(self, wanted: tuple[bool, bool, bool]) -> tuple[Tensor, Gradients]:
        """Losses (N,), and the sum's gradients by hidden, weight and bias, of those that are `wanted`."""
        of_hidden, of_weight, of_bias = self._room(wanted)
        losses = torch.empty(len(self.labels), dtype=self.sums, device=self.hidden.device)
        with without_autocast(self.hidden.device):
            weight = self.weight.to(self.precision)
            for start in range(0, len(self.labels), self.size):
                rows = slice(start, start + self.size)
                losses[rows], shares = self._losses(rows, weight)
                if not any(wanted):
                    continue
                gradient = self._of_logits(shares, self.labels[rows])
                if of_bias is not None:
                    of_bias += gradient.sum(dim=0)
                gradient = gradient.to(self.products)
                if of_hidden is not None:
                    of_hidden[rows] = gradient @ weight.to(self.products)
                if of_weight is not None:
                    _add_product(of_weight, gradient, self.hidden[rows].to(self.products))
        return losses, (of_hidden, of_weight, None if of_bias is None else of_bias.to(self.weight.dtype))

    def _room(self, wanted: tuple[bool, bool, bool]) -> Gradients:
        of_hidden = torch.empty_like(self.hidden) if wanted[0] else None
        of_weight = torch.zeros_like(self.weight) if wanted[1] else None
        of_bias = torch.zeros_like(self.bias, dtype=self.sums) if wanted[2] and self.bias is not None else None
        return of_hidden, of_weight, of_bias

    def _losses(self, rows: slice, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (n,) of a chunk, and its words' shares (n, V): one tensor, changed in place from its logits on."""
        bias = None if self.bias is None else self.bias.to(self.precision)
        scores = nn.functional.linear(self.hidden[rows].to(self.precision), weight, bias).to(self.sums)
        scores -= scores.amax(dim=1, keepdim=True)
        right = scores.gather(1, self.labels[rows, None])[:, 0]
        shares = scores.exp_()
        total = shares.sum(dim=1)
        shares /= total[:, None]
        return total.log() - right, shares

    @staticmethod
    def _of_logits(shares: Tensor, labels: Tensor) -> Tensor:
        """The gradient of a chunk's summed loss by its logits (n, V), in the place of the shares."""
        return shares.scatter_add_(1, labels[:, None], shares.new_full((len(labels), 1), -1.0))


def _add_product(total: Tensor, gradient: Tensor, hidden: Tensor) -> None:
    """Add `gradient.T @ hidden`, (V, n) by (n, D), to `total` (V, D) without another tensor of its size."""
    if total.dtype == gradient.dtype:
        torch.addmm(total, gradient.T, hidden, out=total)  # torch's counter of operations knows addmm, not addmm_
        return
    for start in range(0, total.shape[0], WORDS):
        words = slice(start, start + WORDS)
        total[words] += gradient[:, words].T @ hidden


def _product_type(hidden: Tensor) -> torch.dtype:
    """The type in which a linear layer would multiply here."""
    lower = autocast_type(hidden.device)
    return hidden.dtype if lower is None or hidden.dtype == torch.float64 else lower
