"""What methods attach to: a backbone and a head, and virtual tokens before every text where a method puts them.

A classifier is one, a language model the other. Shapes: B texts, T tokens, D hidden size.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from torch import Tensor, nn

from whichtune.models.prompts import Prompt, prompted_hidden_states

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from whichtune.models.adapters import Inserted


class Adaptable(nn.Module):
    """`prompt`: the virtual tokens (`models.prompts`). `adapter`: what PEFT keeps of an adapter in the backbone.
    `tokenizer`: what made the texts' tokens, for methods that begin from words."""

    backbone: PreTrainedModel
    head: nn.Module
    prompt: Prompt | None
    adapter: Inserted | None = None

    def __init__(
        self, backbone: PreTrainedModel, head: nn.Module, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.tokenizer = tokenizer
        self.register_module("prompt", None)
        # Keys and values of past tokens are never needed here, and keeping them costs memory.
        takes = inspect.signature(backbone.forward).parameters
        self._extra = {"use_cache": False} if "use_cache" in takes else {}

    def states_of(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The backbone's last hidden states (B, T, D), after its final norm, of token ids (B, T) and a mask (B, T) or
        None. A prompt's own states are left out."""
        if self.prompt is not None:
            return prompted_hidden_states(self.backbone, self.prompt, input_ids, attention_mask, **self._extra)
        states: Tensor = self.backbone(
            input_ids=input_ids, attention_mask=attention_mask, **self._extra
        ).last_hidden_state
        return states
