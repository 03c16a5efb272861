"""A causal language model in two parts, so that methods attach to it as they do to a classifier.

`backbone` is the transformer without its head; `head` is the model's own output layer, whose matrix may be that of
the input embeddings. Shapes: B texts, T tokens, N tokens with a loss, D hidden size, V words.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.errors import ModelError
from whichtune.models.adaptable import Adaptable
from whichtune.models.layers import weight_of
from whichtune.models.loading import load_config, set_dropout
from whichtune.models.tying import input_embeddings, is_tied
from whichtune.models.weights import load_whole
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from whichtune.data.pair_encoding import PairBatch

HEAD_TOLERANCE = 1e-4  # of the largest logit


class LanguageModel(Adaptable):
    """`forward(batch)` gives the states that the head reads: logits of a large vocabulary are formed in chunks."""

    def __init__(self, causal: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        super().__init__(causal.base_model, causal.get_output_embeddings(), tokenizer)
        # Outside the tree of modules: its parameters are those of the two parts.
        self._outside = [causal]

    @property
    def causal(self) -> PreTrainedModel:
        """The transformers model that the two parts belong to: it generates, with whatever a method has inserted."""
        return self._outside[0]

    def forward(self, batch: PairBatch) -> Tensor:
        """The states (N, D) that the head reads: of the tokens that predict one with a loss."""
        return self.states_of(batch.input_ids, batch.attention_mask)[batch.rows, batch.columns]

    def own_head(self) -> None:
        """Let the model that generates use this head, which may have left the embeddings."""
        self.causal.set_output_embeddings(self.head)

    def tie_again(self) -> None:
        """Make the head's matrix that of the input embeddings."""
        self.head.weight = weight_of(input_embeddings(self.backbone))

    @property
    def tied(self) -> bool:
        return is_tied(self.backbone, self.head)


def load_language_model(spec: RunSpec, path: Path, seed_weights: Callable[[], None]) -> PreTrainedModel:
    """The causal model in float32 with its head, and the spec's dropout. Raises ModelError where its logits are
    more than its head makes of the last hidden states. `seed_weights` is called before random weights are drawn."""
    from transformers import AutoModelForCausalLM

    config = load_config(path, spec.remote_code)
    if spec.dropout != "model":
        set_dropout(config, float(spec.dropout))
    if spec.weights == "random":
        seed_weights()
        causal = AutoModelForCausalLM.from_config(config, trust_remote_code=spec.remote_code, dtype=torch.float32)
    else:
        causal = load_whole(path, spec.model, config, spec.remote_code, with_head=True).model
    check_head(causal, spec.model)
    return causal


@torch.no_grad()
def check_head(causal: PreTrainedModel, name: str) -> None:
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
