"""A language model's head that shares its matrix with the input embeddings.

GPT-2, GPT-Neo and many others are released so. What it means to train the head is then a choice:

- `train_both`: the shared matrix trains as the one parameter that it is. It is counted once and saved once, under
  the embeddings' name, and since the first block's inputs move with it, nothing below can be computed once.
- `untie`: the head trains in a copy of its own, with the same first values; the embeddings stay as they are unless
  the method trains them, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import nn

from whichtune.models.layers import weight_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Tied = Literal["train_both", "untie"]


def is_tied(backbone: PreTrainedModel, head: nn.Module) -> bool:
    """Whether the head's weight is the very parameter that the input embeddings use."""
    return input_embeddings(backbone).weight is head.weight


def apply_tying(backbone: PreTrainedModel, head: nn.Module, tied: Tied) -> bool:
    """Give a tied head its own copy where `tied` says so; to be called before a method says what trains.

    A head that is not tied is left alone either way. Returns whether head and embeddings are one parameter now.
    A model that is built again from the same settings gets the same parameter names, so that
    `saving.trained_state` of either kind loads into it.
    """
    if not is_tied(backbone, head):
        return False
    if tied == "train_both":
        return True
    shared = weight_of(head)
    head.weight = nn.Parameter(shared.detach().clone(), requires_grad=shared.requires_grad)
    return False


def input_embeddings(backbone: PreTrainedModel) -> nn.Module:
    """The module that turns token ids into vectors (V, D); some scale them, too, so it is called, not looked into."""
    found: nn.Module = backbone.get_input_embeddings()
    return found
