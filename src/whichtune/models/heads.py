"""A classifier: a backbone's hidden states, read at one token position, through one linear head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.data.batch import Batch
from whichtune.models.adaptable import Adaptable
from whichtune.study.spec import TokenPosition

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def pool(hidden_states: Tensor, lengths: Tensor, token_position: TokenPosition) -> Tensor:
    """The vector that stands for each text: (B, T, D) and lengths (B,) to (B, D)."""
    rows = torch.arange(hidden_states.shape[0], device=hidden_states.device)
    if token_position == "first":
        return hidden_states[:, 0]
    if token_position == "last":
        return hidden_states[:, -1]
    if token_position == "last_nonpad":
        return hidden_states[rows, lengths - 1]
    if token_position == "mean":
        return hidden_states.mean(dim=1)
    positions = torch.arange(hidden_states.shape[1], device=hidden_states.device)
    real = (positions[None, :] < lengths[:, None]).unsqueeze(-1).to(hidden_states.dtype)
    return (hidden_states * real).sum(dim=1) / lengths[:, None].to(hidden_states.dtype)


def new_head(hidden_size: int, classes: int, generator: torch.Generator) -> nn.Linear:
    """A linear head with bias, uniform in +-1/sqrt(hidden_size) (PyTorch's own initialisation of Linear),
    drawn from `generator` alone so that every method starts from the same head."""
    head = nn.utils.skip_init(nn.Linear, hidden_size, classes)
    bound = hidden_size**-0.5
    with torch.no_grad():
        head.weight.uniform_(-bound, bound, generator=generator)
        head.bias.uniform_(-bound, bound, generator=generator)
    return head


class Classifier(Adaptable):
    """`forward(batch)` gives logits (B, C)."""

    def __init__(
        self,
        backbone: PreTrainedModel,
        head: nn.Module,
        token_position: TokenPosition,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        super().__init__(backbone, head, tokenizer)
        self.token_position = token_position

    def hidden_states(self, batch: Batch) -> Tensor:
        """The backbone's last hidden states (B, T, D), after its final norm."""
        return self.states_of(batch.input_ids, batch.attention_mask)

    def features(self, batch: Batch) -> Tensor:
        """What the head reads: (B, D)."""
        return pool(self.hidden_states(batch), batch.lengths, self.token_position)

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.features(batch))
