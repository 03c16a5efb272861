"""Taking a decoder's causal mask away, and proving that it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from whichtune.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def remove_causal_mask(backbone: PreTrainedModel, name: str) -> None:
    """Let every token attend to every other. Raises ModelError where the model does not heed it."""
    backbone.config.is_causal = False
    for module in backbone.modules():
        if isinstance(getattr(module, "is_causal", None), bool):
            module.is_causal = False
        # GPT-Neo keeps its mask in a boolean buffer of each attention layer.
        mask = getattr(module, "bias", None)
        if isinstance(mask, torch.Tensor) and mask.dtype == torch.bool and mask.ndim == 4:
            mask.fill_(True)
    if is_causal(backbone):
        raise ModelError(
            f"The causal mask of '{name}' ({backbone.config.model_type}) cannot be switched off: "
            "leave causal_mask on, or choose another model."
        )


@torch.no_grad()
def is_causal(backbone: PreTrainedModel) -> bool:
    """Whether the first token's state ignores a change of the last token. Tried on three tokens."""
    training = backbone.training
    backbone.eval()
    device = next(backbone.parameters()).device
    ids = torch.tensor([[1, 2, 3], [1, 2, 4]], device=device)
    states = backbone(input_ids=ids).last_hidden_state
    backbone.train(training)
    return bool(torch.equal(states[0, 0], states[1, 0]))
