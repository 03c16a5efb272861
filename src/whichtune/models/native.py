"""The head that a family's own class for sequences puts on its backbone, for runs that are to be that class.

BERT's pooler and classifier, RoBERTa's two layers, a decoder's matrix without a bias. transformers' own code computes
them: its class runs with the backbone taken out, on the states that are handed to it.

Shapes: B texts, D hidden size, C classes.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from whichtune.errors import ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions


class _Given(nn.Module):
    """Stands in for a backbone: its last states are the vectors that it is called with."""

    def __init__(self, pooler: nn.Module | None) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, *_: object, inputs_embeds: Tensor, **__: object) -> BaseModelOutputWithPoolingAndCrossAttentions:
        from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

        pooled = None if self.pooler is None else self.pooler(inputs_embeds)
        return BaseModelOutputWithPoolingAndCrossAttentions(last_hidden_state=inputs_embeds, pooler_output=pooled)


class NativeHead(nn.Module):
    """`forward` takes what the head reads, (B, D), and gives logits (B, C).

    `outer` is the family's class; what it holds has the names that it has there.
    """

    def __init__(self, outer: PreTrainedModel) -> None:
        super().__init__()
        self.outer = outer

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.outer(inputs_embeds=features[:, None]).logits
        return logits


def has_native_head(model_type: str) -> bool:
    """Whether transformers has a class for sequences of this family."""
    from transformers.models.auto import modeling_auto as auto

    return model_type in auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES


def native_head(config: PretrainedConfig, classes: int, pooler: nn.Module | None) -> NativeHead:
    """The family's own head, drawn as the family draws it, from torch's global generator.

    `pooler` is the backbone's own, pretrained where its files have one; it is used where the family's class uses it.
    Raises ModelError where the family has no such class, or pools in a way of its own.
    """
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(config)
    config.num_labels = classes
    config.pad_token_id = config.pad_token_id if config.pad_token_id is not None else 0  # asked for, and not read here
    if hasattr(config, "classifier_pooling"):
        config.classifier_pooling = "cls"  # what is read is one vector already
    if not has_native_head(config.model_type):
        raise ModelError(f"head: transformers has no class for sequences of {config.model_type}: leave head at linear.")
    with torch.device("meta"):
        outer = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    own = getattr(outer.base_model, "pooler", None)
    if own is not None and (pooler is None or isinstance(own, nn.Linear)):
        raise ModelError(f"head: the pooler of {config.model_type} cannot be used alone: leave head at linear.")
    setattr(outer, outer.base_model_prefix, _Given(None))
    if torch.empty(0).is_meta:  # shapes alone are wanted
        setattr(outer, outer.base_model_prefix, _Given(pooler if own is not None else None))
        return NativeHead(outer)
    outer.to_empty(device="cpu")
    with torch.no_grad():
        outer.apply(outer._init_weights)
    setattr(outer, outer.base_model_prefix, _Given(pooler if own is not None else None))
    return NativeHead(cast("PreTrainedModel", outer.float()))
