"""Segments of paired texts, carried in the token ids.

A model of BERT's kind is told of each token whether it is of the first text or the second (`token_type_ids`). A token
of the second segment is written here as its id plus the number of the model's embeddings, from its text's tokens to the
model itself, which takes the two apart. Whatever computes less (packed rows, cached states, distinct texts) thereby
tells segments apart as it tells tokens apart, and knows nothing of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel

_ROWS = "rows_of_a_segment"


def tells_segments(config: PretrainedConfig) -> bool:
    """Whether the model has vectors for two segments."""
    return int(getattr(config, "type_vocab_size", None) or 0) >= 2


def read_segments(backbone: PreTrainedModel, rows: int) -> None:
    """Have the model take tokens of two segments, whoever calls it with `input_ids` (B, T)."""
    setattr(backbone, _ROWS, rows)
    backbone.register_forward_pre_hook(_apart, with_kwargs=True)


def apart(backbone: nn.Module, input_ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """Token ids and segments (B, T) of the tokens of a text; None where the model was not told to read segments."""
    rows = getattr(backbone, _ROWS, None)
    if rows is None:
        return input_ids, None
    return input_ids % rows, input_ids // rows


def _apart(backbone: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    if named.get("input_ids") is None or named.get("token_type_ids") is not None:
        return arguments, named
    ids, segments = apart(backbone, named["input_ids"])
    return arguments, {**named, "input_ids": ids, "token_type_ids": segments}
