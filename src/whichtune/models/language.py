"""A causal language model in two parts, so that methods attach to it as they do to a classifier.

`backbone` is the transformer without its head; `head` is the model's own output layer, whose matrix may be that of
the input embeddings. Shapes: B texts, T tokens, N tokens with a loss, D hidden size, V words.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from whichtune.errors import ModelError
from whichtune.models.loading import load_config, set_dropout
from whichtune.models.tying import input_embeddings, is_tied
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    from whichtune.data.pair_encoding import PairBatch

HEAD_TOLERANCE = 1e-4  # of the largest logit


class LanguageModel(nn.Module):
    """`prompt`: virtual tokens before every text, where a method puts them. `tokenizer`: what made the texts' tokens,
    for methods that begin from words."""

    def __init__(self, causal: Any, tokenizer: Any = None) -> None:
        super().__init__()
        self.backbone: nn.Module = causal.base_model
        self.head: nn.Module = causal.get_output_embeddings()
        self.tokenizer = tokenizer
        self.register_module("prompt", None)
        # Outside the tree of modules: its parameters are those of the two parts.
        self._outside = [causal]
        takes = inspect.signature(self.backbone.forward).parameters
        self._extra = {"use_cache": False} if "use_cache" in takes else {}

    @property
    def causal(self) -> Any:
        """The transformers model that the two parts belong to: it generates, with whatever a method has inserted."""
        return self._outside[0]

    def states_of(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The last hidden states (B, T, D), after the final norm. A prompt's own are left out."""
        if isinstance(self.prompt, nn.Module):
            from whichtune.models.prompts import prompted_hidden_states

            return prompted_hidden_states(self.backbone, self.prompt, input_ids, attention_mask, **self._extra)
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **self._extra)
        return output.last_hidden_state

    def forward(self, batch: PairBatch) -> Tensor:
        """The states (N, D) that the head reads: of the tokens that predict one with a loss."""
        return self.states_of(batch.input_ids, batch.attention_mask)[batch.rows, batch.columns]

    def own_head(self) -> None:
        """Let the model that generates use this head, which may have left the embeddings."""
        self.causal.set_output_embeddings(self.head)

    def tie_again(self) -> None:
        """Make the head's matrix that of the input embeddings."""
        self.head.weight = input_embeddings(self.backbone).weight

    @property
    def tied(self) -> bool:
        return is_tied(self.backbone, self.head)


def load_language_model(spec: RunSpec, path: Path, seed_weights: Callable[[], None]) -> Any:
    """The causal model in float32 with its head, and the spec's dropout. Raises ModelError where its logits are
    more than its head makes of the last hidden states. `seed_weights` is called before random weights are drawn."""
    from transformers import AutoModelForCausalLM

    config = load_config(path, spec.remote_code)
    if spec.dropout != "model":
        set_dropout(config, float(spec.dropout))
    common = {"trust_remote_code": spec.remote_code, "dtype": torch.float32}
    if spec.weights == "random":
        seed_weights()
        causal = AutoModelForCausalLM.from_config(config, **common)
    else:
        causal = AutoModelForCausalLM.from_pretrained(
            path, config=config, use_safetensors=True, local_files_only=True, **common
        )
    check_head(causal, spec.model)
    return causal


@torch.no_grad()
def check_head(causal: Any, name: str) -> None:
    """Raise ModelError unless the model's logits are its head's of its last hidden states."""
    head = causal.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise ModelError(f"'{name}' has no linear output layer, which generation tasks train and read: choose another.")
    training = causal.training
    causal.eval()
    ids = torch.tensor([[3, 4, 5]])
    logits = causal(input_ids=ids, use_cache=False).logits
    ours = head(causal.base_model(input_ids=ids, use_cache=False).last_hidden_state)
    causal.train(training)
    scale = max(1.0, float(logits.abs().max()))
    if logits.shape != ours.shape or float((logits - ours).abs().max()) > HEAD_TOLERANCE * scale:
        raise ModelError(f"'{name}' changes its logits after its output layer, which is not supported: choose another.")
