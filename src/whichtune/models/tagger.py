"""A tagger: a backbone's hidden states through one linear head, token by token."""

from __future__ import annotations

from torch import Tensor

from whichtune.data.batch import Batch
from whichtune.models.adaptable import Adaptable


class Tagger(Adaptable):
    """`forward(batch)` gives logits (B, T, C)."""

    def hidden_states(self, batch: Batch) -> Tensor:
        """The backbone's last hidden states (B, T, D), after its final norm."""
        return self.states_of(batch.input_ids, batch.attention_mask)

    def forward(self, batch: Batch) -> Tensor:
        logits: Tensor = self.head(self.hidden_states(batch))
        return logits
