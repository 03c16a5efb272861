"""A trained model as its family's own classes hold it: adapters merged or told apart, split layers fused again.

Shapes: D_in, D_out of a linear layer, r rank of an update, D hidden size, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from whichtune.models.layers import bias_of, weight_of
from whichtune.models.unfuse import PARTS, UnfusedProjection

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

ADAPTER = "default"  # PEFT's own name for the only adapter


@dataclass(frozen=True)
class Update:
    """A low-rank update of one layer: `scaling * up @ down`, with `down` (r, D_in) and `up` (D_out, r)."""

    down: Tensor
    up: Tensor
    scaling: float

    @property
    def rank(self) -> int:
        return int(self.down.shape[0])


def plain_state(model: nn.Module, plain: nn.Module) -> dict[str, Tensor]:
    """The weights of `model` under the names that the unmodified model of the same kind, `plain`, has for them, and as
    it holds them. Adapters are left out, so they are to be merged before.
    """
    shapes = {name: value.shape for name, value in plain.state_dict().items()}
    adapted = [f"{name}." for name, module in model.named_modules() if _has_adapter(module)]
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        own = next((prefix for prefix in adapted if name.startswith(prefix)), None)
        if own is None:
            state[name] = value.detach()
        elif name.startswith(f"{own}base_layer."):
            state[own + name.removeprefix(f"{own}base_layer.")] = value.detach()
    for name, module in model.named_modules():
        if not isinstance(module, UnfusedProjection):
            continue
        for kind in ("weight", "bias"):
            parts = [state.pop(f"{name}.{part}.{kind}", None) for part in PARTS]
            if any(part is None for part in parts):
                continue
            fused = module.fused([part for part in parts if part is not None])
            own = shapes[f"{name}.{kind}"]
            state[f"{name}.{kind}"] = (fused if fused.shape == own else fused.t()).contiguous()
    for name in _turned(model, plain):
        state[f"{name}.weight"] = state[f"{name}.weight"].t().contiguous()
    return state


def _turned(model: nn.Module, plain: nn.Module) -> list[str]:
    """Layers that hold their weight as (in, out) in the unmodified model, and as (out, in) here."""
    from transformers.pytorch_utils import Conv1D

    other = {name for name, module in plain.named_modules() if isinstance(module, Conv1D)}
    found = []
    for name, module in model.named_modules():
        layer = module.get_base_layer() if _has_adapter(module) else module
        if name in other and isinstance(layer, nn.Linear):
            found.append(name)
    return found


def updates(model: nn.Module) -> dict[str, Update]:
    """Every layer's low-rank update by the name that the unmodified model has for the layer.

    Updates of a split layer's parts are one update of the fused layer: their ranks add up, and each part's rows of
    `up` are zero where another part's are not.
    """
    split = {name: module for name, module in model.named_modules() if isinstance(module, UnfusedProjection)}
    found = {name: update for name, module in split.items() if (update := _fused_update(module)) is not None}
    for name, module in model.named_modules():
        if _is_adapted(module) and name.rpartition(".")[0] not in split:
            found[name] = _update_of(module)
    return found


def effective_head(head: nn.Module) -> tuple[Tensor, Tensor | None]:
    """A head's matrix (C, D) and bias (C,) or None, its adapter included, whether it is merged or not."""
    adapted: Any = head if _is_adapted(head) else None
    layer = head if adapted is None else adapted.get_base_layer()
    weight = weight_of(layer).detach()
    if adapted is not None and not adapted.merged:
        weight = weight + adapted.get_delta_weight(ADAPTER).detach()
    bias = bias_of(layer)
    return weight.clone(), None if bias is None else bias.detach().clone()


def folded_bias(weight: Tensor, bias: Tensor) -> Tensor | None:
    """What to add to each hidden state (D,) so that `weight` (C, D) alone gives `weight @ state + bias`.

    The shortest such vector, in float32; None where there is none, because the rows of `weight` depend on one another.
    """
    wide = weight.double()
    shift = torch.linalg.pinv(wide) @ bias.double()
    scale = max(1.0, float(bias.abs().max()))
    return shift.float() if float((wide @ shift - bias.double()).abs().max()) <= 1e-7 * scale else None


def _has_adapter(module: Any) -> bool:
    """Of any of PEFT's kinds."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return isinstance(module, BaseTunerLayer)


def _is_adapted(module: nn.Module) -> bool:
    from peft.tuners.lora import LoraLayer

    return isinstance(module, LoraLayer)


def _adapted_parts(module: UnfusedProjection) -> Iterator[tuple[int, LoraLayer]]:
    for place, part in enumerate(PARTS):
        layer = getattr(module, part)
        if _is_adapted(layer):
            yield place, layer


def _fused_update(module: UnfusedProjection) -> Update | None:
    parts = [(place, _update_of(layer)) for place, layer in _adapted_parts(module)]
    if not parts:
        return None
    down = torch.cat([update.down for _, update in parts])
    rows = module.rows()
    up = torch.zeros(sum(map(len, rows)), len(down))
    begin = 0
    for place, update in parts:
        up[rows[place], begin : begin + update.rank] = update.up
        begin += update.rank
    return Update(down, up, parts[0][1].scaling)


def _update_of(layer: LoraLayer) -> Update:
    down, up = layer.lora_A[ADAPTER].weight.detach().cpu(), layer.lora_B[ADAPTER].weight.detach().cpu()
    return Update(down, up, float(layer.scaling[ADAPTER]))
