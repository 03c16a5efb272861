"""Form `peft`: an adapter beside its pretrained model, the head with it.

A decoder's class for sequences reads the last token, as most rows do. Where it computes another function than the row,
the family's class for tokens stands in: its head has a bias and gives logits of every token, and a linear head's logits
of a mean are the mean of its logits, so that what is left to the user is one line.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from whichtune.handover.families import (
    SEQUENCE,
    TOKEN,
    NotExactError,
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
from whichtune.models.adapters import adapter_layers
from whichtune.models.loading import kind_of, load_config
from whichtune.models.plain import updates
from whichtune.models.prompts import Prefix, SoftPrompt
from whichtune.models.weights import load_whole

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel

    from whichtune.handover.trained import Trained
    from whichtune.models.plain import Update

CAUSAL = "AutoModelForCausalLM"
LOW_RANK = ("lora", "rslora", "lora_plus")
TASK_TYPES = {SEQUENCE: "SEQ_CLS", TOKEN: "TOKEN_CLS", CAUSAL: "CAUSAL_LM"}


def write_adapter(trained: Trained, folder: Path, sequences_only: bool = False) -> Form:
    """Write `adapter_config.json`, `adapter_model.safetensors` and a `config.json` with the names of the classes.

    With `sequences_only` no class for tokens stands in. Raises NotExactError for a row without an adapter, or one that
    no class of the family computes.
    """
    refuse_own_code(trained)
    if trained.spec.weights == "random":
        raise NotExactError("its model's own weights were drawn at random, and an adapter leaves them out", "onnx")
    refuse_other_heads(trained)
    method = trained.spec.method
    if method not in LOW_RANK and adapter_layers(trained.model.backbone):
        raise NotExactError(
            f"{method}'s adapter is no plain low-rank update of the pretrained weights, which alone is written in that "
            "form",
            "transformers",
        )
    found = updates(trained.model.backbone)
    if not found and trained.model.prompt is None:
        raise NotExactError(f"{method} has no adapter: its trained weights are the model's own", None)
    if trained.writes:
        return _write(trained, folder, CAUSAL, found, [], None)
    refuse_own_mask(trained)
    if trained.tag_token is not None:
        return _write_for_tokens(trained, folder, found)
    try:
        return _write_for_sequences(trained, folder, found)
    except NotExactError:
        if sequences_only:
            raise
    return _write_for_tokens(trained, folder, found)


def _write_for_sequences(trained: Trained, folder: Path, found: dict[str, Update]) -> Form:
    """Raises NotExactError where the class for sequences reads something else than the row's head."""
    if isinstance(trained.model.prompt, SoftPrompt):
        raise NotExactError(
            "the family's class cannot tell padding from text behind virtual tokens, so that it reads padding where "
            "texts share a batch",
            "onnx",
        )
    refuse_ends_like_padding(trained)
    native = native_state(trained)
    if native is not None:
        base = _base(trained, SEQUENCE)
        base.load_state_dict(native, strict=False)
        prefix = f"{base.base_model_prefix}."
        parts = sorted({name.removeprefix(prefix).partition(".")[0] for name in native})
        return _write(trained, folder, SEQUENCE, found, parts, base)
    if kind_of(trained.model.backbone.config, trained.spec.model) != "decoder" or not reads_last_token(trained):
        raise NotExactError("its head reads something else than the family's class for sequences", "onnx")
    base = _base(trained, SEQUENCE)
    head = _lone_head(trained, base)
    state = sequence_head(trained, base, head, names_of_final_modules(trained))
    base.load_state_dict(state, strict=False)
    moved = sorted({name.rpartition(".")[0] for name in state} - {head})
    return _write(trained, folder, SEQUENCE, found, [head, *moved], base)


def _write_for_tokens(trained: Trained, folder: Path, found: dict[str, Update]) -> Form:
    if trained.spec.token_position in ("last", "mean") and trained.spec.padding != "none":
        raise NotExactError("its head reads padding, too", "onnx")
    if len(native_state(trained) or {}) > 1:
        raise NotExactError("its head is that of the family's class for sequences", "onnx")
    base = _base(trained, TOKEN)
    head = _lone_head(trained, base)
    base.load_state_dict(sequence_head(trained, base, head, []), strict=False)
    return _write(trained, folder, TOKEN, found, [head], base)


def _base(trained: Trained, auto: str) -> PreTrainedModel:
    """The pretrained model in a class of its family, its head still to be filled."""
    config = config_with_classes(trained)
    base = type(empty_model(auto, config))(config)
    own = load_whole(trained.base, trained.spec.model, load_config(trained.base), False, with_head=False).model
    names = set(base.base_model.state_dict()) & _plain_names(trained)
    base.base_model.load_state_dict({name: own.state_dict()[name] for name in names}, strict=False)
    return base


def _lone_head(trained: Trained, base: PreTrainedModel) -> str:
    return lone_head(base, set(base.base_model.state_dict()) & _plain_names(trained))


def _plain_names(trained: Trained) -> set[str]:
    """The names of the backbone's weights in the unmodified model; a pooler is none of them."""
    from transformers import AutoModel

    with torch.device("meta"):
        plain = AutoModel.from_config(load_config(trained.base))
    return {name for name in plain.state_dict() if not name.startswith("pooler.")}


def _write(
    trained: Trained, folder: Path, auto: str, found: dict[str, Update], kept: list[str], base: PreTrainedModel | None
) -> Form:
    """`kept` are the modules that are saved whole."""
    if base is None:
        config = load_config(trained.base)
        base = load_whole(trained.base, trained.spec.model, config, False, with_head=True).model
    settings = _settings(trained, base, found)
    settings.modules_to_save = [name.rpartition(".")[2] for name in kept] or None
    settings.task_type = TASK_TYPES[auto]
    model = _adapted(base, settings)
    _fill(trained, model, found)
    settings.base_model_name_or_path = trained.base_name
    settings.revision = trained.base_revision
    settings.modules_to_save = sorted(set(settings.modules_to_save or [])) or None
    model.save_pretrained(folder, save_embedding_layers=False)
    base.config.save_pretrained(folder)
    prompt = trained.model.prompt
    if auto != TOKEN:
        return Form("peft", "PeftModel", auto)
    return Form("peft", "PeftModel", auto, trained.spec.token_position, prompt.leading if prompt is not None else 0)


def _adapted(base: PreTrainedModel, settings: PeftConfig) -> PeftModel:
    from peft import get_peft_model

    with warnings.catch_warnings():  # PEFT tells that it adapts Conv1D by itself, for every layer
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        return get_peft_model(base, settings)


def _settings(trained: Trained, base: PreTrainedModel, found: dict[str, Update]) -> PeftConfig:
    from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig

    prompt = trained.model.prompt
    if isinstance(prompt, SoftPrompt):
        return PromptTuningConfig(num_virtual_tokens=prompt.count)
    if isinstance(prompt, Prefix):
        encoder: Any = prompt.encoder
        return PrefixTuningConfig(
            num_virtual_tokens=prompt.count,
            num_layers=int(trained.model.backbone.config.num_hidden_layers),
            token_dim=prompt.heads * prompt.size,
            num_attention_heads=prompt.heads,
            prefix_projection=bool(encoder.prefix_projection),
            encoder_hidden_size=_projection_size(encoder),
        )
    prefix = f"{base.base_model_prefix}."
    targets = [prefix + name for name in found]
    ranks = {name: update.rank for name, update in found.items()}
    usual = min(ranks.values())
    scaling = next(iter(found.values())).scaling
    odd = {name: rank for name, rank in ranks.items() if rank != usual}
    names = _short(odd, found)
    return LoraConfig(
        r=usual,
        lora_alpha=scaling * usual,
        target_modules=_last_names(base, targets) or targets,
        rank_pattern={key: ranks[name] for key, name in names.items()},
        alpha_pattern={key: scaling * ranks[name] for key, name in names.items()},
    )


def _projection_size(encoder: Any) -> int | None:
    return int(encoder.transform[0].out_features) if encoder.prefix_projection else None


def _last_names(base: PreTrainedModel, targets: list[str]) -> list[str]:
    """The targets by the last parts of their names, where these mean the same layers; else nothing."""
    last = {name.rpartition(".")[2] for name in targets}
    meant = {name for name, _ in base.named_modules() if name.rpartition(".")[2] in last}
    return sorted(last) if meant == set(targets) else []


def _short(odd: dict[str, int], found: dict[str, Update]) -> dict[str, str]:
    """Layers of another rank by the shortest key that means them all: their last name where it means no others."""
    last = {name.rpartition(".")[2]: name for name in odd}
    alike = all(found[name].rank == odd[last[end]] for name in found if (end := name.rpartition(".")[2]) in last)
    return last if alike else {name: name for name in odd}


def _fill(trained: Trained, model: PeftModel, found: dict[str, Update]) -> None:
    """Put the trained adapter into PEFT's."""
    prompt: Any = trained.model.prompt
    if isinstance(prompt, SoftPrompt):
        with torch.no_grad():  # p_tuning's network has run: what it made are the virtual tokens
            model.prompt_encoder["default"].embedding.weight.copy_(prompt.vectors().reshape(prompt.count, -1))
        return
    if prompt is not None:
        model.prompt_encoder["default"].load_state_dict(prompt.encoder.state_dict())
        return
    prefix = f"{model.get_base_model().base_model_prefix}."
    for name, update in found.items():
        layer: Any = model.get_base_model().get_submodule(prefix + name)
        with torch.no_grad():
            layer.lora_A["default"].weight.copy_(update.down)
            layer.lora_B["default"].weight.copy_(update.up)
