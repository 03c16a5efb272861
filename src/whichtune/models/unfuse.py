"""Query, key and value as three layers where a checkpoint fuses them, so that each can be adapted alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from whichtune.models.sizes import hidden_width, text_part, told

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Layout = Literal["concatenated", "interleaved"]
# Name of the fused layer in each family: [q; k; v] one after the other, or q, k, v of each head in turn.
FUSED: dict[str, Layout] = {
    "c_attn": "concatenated",
    "Wqkv": "concatenated",
    "query_key_value": "interleaved",
}
PARTS = ("q_proj", "k_proj", "v_proj")


class UnfusedProjection(nn.Module):
    """Three linear layers with the output, layout included, of the fused layer they replace."""

    def __init__(self, weight: Tensor, bias: Tensor | None, layout: Layout, head_dim: int) -> None:
        """`weight` (3 * D_out, D_in) and `bias` (3 * D_out,) of the fused layer, as nn.Linear holds them."""
        super().__init__()
        self.layout, self.head_dim = layout, head_dim
        self.total = weight.shape[0]
        for name, rows in zip(PARTS, self.rows(), strict=True):
            part = nn.utils.skip_init(
                nn.Linear, weight.shape[1], len(rows), bias=bias is not None, device=weight.device
            )
            with torch.no_grad():
                part.weight.copy_(weight[rows])
                if bias is not None:
                    part.bias.copy_(bias[rows])
            setattr(self, name, part)

    def rows(self) -> list[Tensor]:
        """Which rows of the fused weight belong to q, k and v."""
        rows = torch.arange(self.total)
        if self.layout == "concatenated":
            return list(rows.chunk(3))
        by_head = rows.view(-1, 3, self.head_dim)
        return [by_head[:, part].reshape(-1) for part in range(3)]

    def fused(self, parts: Sequence[Tensor]) -> Tensor:
        """The fused layer's weight (3 * D_out, D_in) or bias (3 * D_out,), from those of the three."""
        whole = parts[0].new_empty(self.total, *parts[0].shape[1:])
        for rows, part in zip(self.rows(), parts, strict=True):
            whole[rows] = part
        return whole

    def forward(self, x: Tensor) -> Tensor:
        parts = [getattr(self, name)(x) for name in PARTS]
        if self.layout == "concatenated":
            return torch.cat(parts, dim=-1)
        by_head = [part.unflatten(-1, (-1, 1, self.head_dim)) for part in parts]
        return torch.cat(by_head, dim=-2).flatten(-3)


def unfuse(backbone: PreTrainedModel) -> int:
    """Replace every fused q-k-v layer of a model in place; gives how many were replaced."""
    config = text_part(backbone.config)
    heads = told(config, "num_attention_heads", "n_head")
    if not heads:
        return 0  # without attention, such as Mamba, or not of one kind
    replaced = 0
    for parent in list(backbone.modules()):
        for name, child in list(parent.named_children()):
            layout = FUSED.get(name)
            if layout is None or getattr(child, "weight", None) is None:
                continue
            head_dim = told(config, "head_dim") or hidden_width(config) // heads
            weight = child.weight if isinstance(child, nn.Linear) else child.weight.t()  # Conv1D holds (in, out)
            if weight.shape[0] != 3 * heads * head_dim:
                continue  # grouped keys, or cross-attention: not three equal parts
            new = UnfusedProjection(weight.detach(), getattr(child, "bias", None), layout, head_dim)
            setattr(parent, name, new.to(weight.device))
            replaced += 1
    return replaced
