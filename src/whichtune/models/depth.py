"""A model's parameters in parts, from the head down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.models.partition import blocks_of, final_modules

if TYPE_CHECKING:
    from torch import nn

    from whichtune.models.adaptable import Adaptable


def parts_from_the_top(model: Adaptable) -> list[list[nn.Parameter]]:
    """What trains, in parts: the head with what follows the blocks, each block from the last to the first, and the
    rest, which is below. A parameter that several parts use is in the lowest of them."""
    blocks = list(blocks_of(model.backbone))
    parts = [[model.head, *final_modules(model.backbone)], *([block] for block in reversed(blocks))]
    part_of = {id(m): number for number, part in enumerate(parts) for each in part for m in each.modules()}
    lowest: dict[int, int] = {}
    for module in model.modules():
        number = part_of.get(id(module), len(parts))
        for parameter in module.parameters(recurse=False):
            lowest[id(parameter)] = max(number, lowest.get(id(parameter), 0))
    found: list[list[nn.Parameter]] = [[] for _ in range(len(parts) + 1)]
    for parameter in model.parameters():
        if parameter.requires_grad:
            found[lowest[id(parameter)]].append(parameter)
    return found
