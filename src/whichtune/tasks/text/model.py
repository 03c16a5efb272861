"""A run's language model with its method attached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.study.spec import RunSpec
from whichtune.tasks.base import TASKS
from whichtune.tasks.text.settings import TextToTextSettings

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from whichtune.models.language import LanguageModel


def settings_of(spec: RunSpec) -> TextToTextSettings:
    """The run's settings of its task."""
    chosen = TASKS[spec.task].Settings(**spec.task_settings)
    assert isinstance(chosen, TextToTextSettings)
    return chosen


def build_language_model(spec: RunSpec) -> tuple[LanguageModel, PreTrainedTokenizerBase]:
    """The model with its method attached, in float32 on the CPU, and its tokenizer.

    A tied head gets its own copy where the head trains and the embeddings do not, unless the settings say
    `train_both`. A method that inserts something leaves the pretrained head as it is.
    """
    from whichtune.models.language import LanguageModel, load_language_model
    from whichtune.models.loading import inspect_unchanged, load_tokenizer
    from whichtune.training.streams import streams_of

    info = inspect_unchanged(spec)
    tokenizer = load_tokenizer(info.path, spec.remote_code)
    model = LanguageModel(load_language_model(spec, info.path, streams_of(spec).seed_weights), tokenizer)
    attach(model, spec)
    if spec.gradient_checkpointing:
        model.backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model, tokenizer


def attach(model: LanguageModel, spec: RunSpec) -> None:
    """Attach the run's method, and settle what becomes of a tied head."""
    from whichtune.methods import METHODS
    from whichtune.models.layers import weight_of
    from whichtune.models.tying import apply_tying, input_embeddings

    method = METHODS[spec.method]
    was_tied = model.tied
    apply_tying(model.backbone, model.head, settings_of(spec).tied)
    method.attach(model, method.Settings(**spec.method_settings), spec.seed or 0)
    if method.inserts:
        model.head.requires_grad_(False)
    own, shared = weight_of(model.head), weight_of(input_embeddings(model.backbone))
    if was_tied and not model.tied and (not own.requires_grad or shared.requires_grad):
        model.tie_again()
    model.own_head()


def meta_language_model(spec: RunSpec, config: PretrainedConfig) -> LanguageModel:
    """The model with its method attached, shapes only. `config` takes the run's dropout."""
    import torch
    from transformers import AutoModelForCausalLM

    from whichtune.models.language import LanguageModel
    from whichtune.models.loading import set_dropout

    if spec.dropout != "model":
        set_dropout(config, float(spec.dropout))
    with torch.device("meta"):
        common = {"trust_remote_code": spec.remote_code, "dtype": torch.float32}  # as runs load it
        model = LanguageModel(AutoModelForCausalLM.from_config(config, **common))
        attach(model, spec)
    return model.to("meta").train()
