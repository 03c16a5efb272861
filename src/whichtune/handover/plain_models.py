"""Form `transformers`: weights that the family's own class loads, adapters merged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from whichtune.handover.families import (
    SEQUENCE,
    TOKEN,
    NotExactError,
    backbone_state,
    config_with_classes,
    empty_model,
    lone_head,
    names_of_final_modules,
    native_state,
    reads_last_token,
    refuse_other_heads,
    refuse_own_code,
    refuse_own_mask,
    sequence_head,
)
from whichtune.handover.forms import Form
from whichtune.handover.tokens import refuse_ends_like_padding
from whichtune.methods import METHODS
from whichtune.models.adapters import adapter_layers
from whichtune.models.language import LanguageModel
from whichtune.models.loading import kind_of, load_config
from whichtune.models.plain import effective_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from whichtune.handover.trained import Trained


def write_plain(trained: Trained, folder: Path) -> Form:
    """Write `config.json` and `model.safetensors`. Raises NotExactError where the family's class computes another
    function than the row."""
    refuse_own_code(trained)
    if trained.model.prompt is not None:
        raise NotExactError(
            "its virtual tokens stand before every text, and the family's class puts none there",
            "onnx" if len(native_state(trained) or {}) > 1 else "peft",
        )
    refuse_other_heads(trained)
    with METHODS[trained.spec.method].merged(trained.model) as merged:
        if not merged and adapter_layers(trained.model):
            raise NotExactError("its adapter does not merge into the weights that it adapts", "onnx")
        model = _made(trained)
    model.save_pretrained(folder)
    return Form("transformers", type(model).__name__)


def _made(trained: Trained) -> PreTrainedModel:
    if trained.writes:
        return _with_words(trained)
    return _with_classes(trained) if trained.tag_token is None else _with_tags(trained)


def _with_tags(trained: Trained) -> PreTrainedModel:
    refuse_own_mask(trained)
    config = config_with_classes(trained)
    empty = empty_model(TOKEN, config)
    state = backbone_state(trained, empty)
    own = {f"{empty.base_model_prefix}.{name}": value for name, value in state.items()}
    own |= sequence_head(trained, empty, lone_head(empty, set(state)), names_of_final_modules(trained))
    return _filled(type(empty)(config), own)


def _with_classes(trained: Trained) -> PreTrainedModel:
    refuse_own_mask(trained)
    config = config_with_classes(trained)
    empty = empty_model(SEQUENCE, config)
    state = backbone_state(trained, empty)
    own = {f"{empty.base_model_prefix}.{name}": value for name, value in state.items()}
    native = native_state(trained)
    if native is None:
        head = lone_head(empty, set(state))
        _refuse_other_reading(trained, empty)
    refuse_ends_like_padding(trained)
    own |= native if native is not None else sequence_head(trained, empty, head, names_of_final_modules(trained))
    return _filled(type(empty)(config), own)


def _refuse_other_reading(trained: Trained, empty: PreTrainedModel) -> None:
    """Raise NotExactError where the class's only layer reads another token than the row's head."""
    spec = trained.spec
    decoder = kind_of(trained.model.backbone.config, spec.model) == "decoder"
    if reads_last_token(trained) if decoder else spec.token_position == "first":
        return
    reads = "the last token that is no padding" if decoder else "the first token"
    position = (
        {"last": "last_nonpad", "mean": "mean_nonpad"}.get(str(spec.token_position)) if spec.padding == "none" else None
    )
    raise NotExactError(
        f"its head reads {reading_in_words(position or spec.token_position)}, and {type(empty).__name__} reads {reads}",
        "onnx",
    )


def reading_in_words(position: str | None) -> str:
    """A token position as it stands in a sentence."""
    return {
        "first": "the first token",
        "last": "the last token, padding included",
        "last_nonpad": "the last token that is no padding",
        "mean": "the mean of all tokens, padding included",
        "mean_nonpad": "the mean of all tokens",
    }[position or "last_nonpad"]


def _with_words(trained: Trained) -> PreTrainedModel:
    """The causal model with its own head, tied or not."""
    from transformers import AutoModelForCausalLM

    assert isinstance(trained.model, LanguageModel)
    config = load_config(trained.base, trained.spec.remote_code)
    config.tie_word_embeddings = trained.model.tied
    causal = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    state = backbone_state(trained, causal)
    causal.base_model.load_state_dict(state)
    weight, bias = effective_head(trained.model.head)
    own = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    causal.get_output_embeddings().load_state_dict(own)
    return causal


def _filled(model: PreTrainedModel, state: dict) -> PreTrainedModel:
    model.load_state_dict(state)
    return model.eval()
