"""Adapters of the installed PEFT, whatever types it has, put into a model's blocks.

What types there are, which fields their configurations have and which layers they can be put on is asked of PEFT
itself: a type that a later version adds is there without a line here.
"""

from __future__ import annotations

import dataclasses
import typing
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whichtune.errors import NeedsWeightsError, SettingError
from whichtune.models.weights import first_line
from whichtune.registry import did_you_mean
from whichtune.wording import shown

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

ADAPTER = "default"
# Fields of every configuration that say where an adapter comes from and what a model is for: known here.
OURS = (
    "task_type",
    "peft_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "total_step",
)
NAMED = {"PROMPT_TUNING": "soft_prompt", "PREFIX_TUNING": "prefix_tuning", "P_TUNING": "p_tuning"}
# Why a type of PEFT's cannot serve here, where that is no matter of the model.
NOT_HERE = {
    "ADAPTION_PROMPT": "its layers know the attention of a few old families alone, whose code has changed since",
    "LILY": "its routers average over all tokens of a batch, so that a text's answer depends on the texts beside it",
    "MULTITASK_PROMPT_TUNING": "it learns several tasks at once from texts that say which is theirs",
    "CARTRIDGE": "it distils a long text into keys and values, from a model's own answers",
    "CPT": "it learns the tokens of a prompt with labelled examples in it, by a loss of its own",
    "POLY": "it learns several tasks at once from texts that say which is theirs",
    "SHADOW": "it runs a second, smaller model beside the blocks",
    "XLORA": "it mixes adapters that were trained before",
    "TRAINABLE_TOKENS": "it trains single rows of the embeddings, and no layer that a classifier's texts share",
}
# Fields of LoRA's configuration, and of kinds made of it, that ask for more than a model and its texts.
NEEDS_MORE = {
    "eva_config": "a pass over the data before training",
    "corda_config": "a pass over the data before training",
    "lora_ga_config": "gradients of the data before training",
    "loftq_config": "a quantised model",
    "use_qalora": "a quantised model on CUDA",
    "arrow_config": "adapters that were trained before",
    "alora_invocation_tokens": "texts with tokens that switch the adapter on",
    "megatron_config": "a model of Megatron",
    "layer_replication": "blocks that run twice",
}
NEEDS_MORE_INITIALISATION = {"eva", "corda", "lora_ga", "loftq"}


@dataclass
class Inserted:
    """What stands for PEFT of an adapter in a model: its tuner, with the configuration filled in."""

    tuner: Any
    config: Any


def adapter_types() -> dict[str, type]:
    """The configuration classes of all types that the installed PEFT has, by name."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    return {str(getattr(name, "value", name)): cls for name, cls in PEFT_TYPE_TO_CONFIG_MAPPING.items()}


def config_class(peft_type: str) -> type:
    """The configuration class of a type. Raises SettingError for one that PEFT does not have, or that cannot serve."""
    from peft.config import PromptLearningConfig

    known = adapter_types()
    if peft_type not in known:
        raise SettingError(f"PEFT has no type '{shown(peft_type)}': {did_you_mean(peft_type.upper(), known)}")
    if peft_type in NOT_HERE:
        raise SettingError(f"PEFT's {peft_type} cannot be compared here, because {NOT_HERE[peft_type]}")
    if issubclass(known[peft_type], PromptLearningConfig):
        other = NAMED.get(peft_type)
        instead = f"use {other}" if other else "use soft_prompt, prefix_tuning or p_tuning"
        raise SettingError(f"PEFT's {peft_type} puts learned tokens before a text and adapts no layer: {instead}")
    return known[peft_type]


def fields_of(peft_type: str) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a type's configuration that a study can set, by name."""
    return {
        field.name: field
        for field in dataclasses.fields(config_class(peft_type))
        if field.init and field.name not in OURS
    }


def check_fields(peft_type: str, given: Mapping[str, object]) -> None:
    """Raise SettingError for the first field that the type does not have, whose value is of another kind, or that asks
    for more than a model and texts."""
    known = fields_of(peft_type)
    for name, value in given.items():
        if name in OURS:
            raise SettingError(f"{name} of PEFT's configuration is set by whichtune: leave it out")
        if name not in known:
            raise SettingError(f"PEFT's {peft_type} has no setting '{shown(name)}': {did_you_mean(name, known)}")
        if (name in NEEDS_MORE and value) or (
            name == "init_lora_weights" and str(value).lower() in NEEDS_MORE_INITIALISATION
        ):
            more = NEEDS_MORE.get(name, "a pass over the data, or more, before training")
            raise SettingError(f"{name} {shown(value)} of PEFT's {peft_type} needs {more}, which is not done here")
        _check_kind(peft_type, name, value)


def _check_kind(peft_type: str, name: str, value: object) -> None:
    """Raise SettingError for a value that is not of the kind that the configuration class says of its field."""
    from pydantic import PydanticUserError, TypeAdapter, ValidationError

    from whichtune.study.explain import given_words, words_of

    try:
        adapter = TypeAdapter(typing.get_type_hints(config_class(peft_type))[name])
    except (NameError, TypeError, PydanticUserError):  # a kind that is no plain value's: PEFT itself must judge
        return
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        words = " or ".join(dict.fromkeys(words_of(each) for each in error.errors()))
        raise SettingError(f"{name} of PEFT's {peft_type} is wrong{given_words(value)}: {words}") from error


def straighten(backbone: PreTrainedModel) -> int:
    """Replace layers that hold their weight as (in, out), as GPT-2's do, by linear layers with the same output, which
    every adapter knows; gives how many."""
    import torch
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    replaced = 0
    for parent in list(backbone.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, Conv1D):
                continue
            into, out = child.weight.shape
            new = nn.utils.skip_init(nn.Linear, into, out, device=child.weight.device)
            with torch.no_grad():
                new.weight.copy_(child.weight.t())
                new.bias.copy_(child.bias)
            setattr(parent, name, new)
            replaced += 1
    return replaced


def insert(backbone: PreTrainedModel, peft_type: str, fields: Mapping[str, Any]) -> Inserted:
    """Put an adapter into the model in place, as PEFT does it: what PEFT trains has gradients, and nothing else.

    Draws from the global generators. Raises SettingError with PEFT's own words where it does not fit.
    """
    from peft import PEFT_TYPE_TO_TUNER_MAPPING
    from peft.utils import PeftType

    try:
        with _quiet():
            config = config_class(peft_type)(**fields)
            place = of_no_family(backbone) if peft_type == "LORA" else backbone
            tuner = PEFT_TYPE_TO_TUNER_MAPPING[PeftType(peft_type)](place, config, ADAPTER)
    except (ValueError, TypeError, AssertionError, RuntimeError, ImportError, KeyError) as error:
        if lacks_values(error):
            raise NeedsWeightsError(f"PEFT puts {peft_type} into a model with weights only") from error
        if isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError):
            raise  # of memory, say
        raise SettingError(
            f"PEFT's {peft_type} cannot be put into {type(backbone).__name__}: {first_line(error)}"
        ) from error
    return Inserted(tuner, config)


def of_no_family(backbone: PreTrainedModel) -> nn.Module:
    """The model's blocks under their own names, in a module that does not tell which family they are of.

    Where PEFT sees a family whose experts were layers of their own once, LoRA's layers of the same last names (dense
    ones, shared experts) are left out, and all experts adapted instead: here what is named is adapted, and no more.
    """
    from torch import nn

    from whichtune.models.partition import blocks_of

    blocks = blocks_of(backbone)
    path = next(name for name, module in backbone.named_modules() if module is blocks).split(".")
    whole = inner = nn.Module()
    for name in path[:-1]:
        further = nn.Module()
        inner.add_module(name, further)
        inner = further
    inner.add_module(path[-1], blocks)
    for name in ("is_loaded_in_4bit", "is_loaded_in_8bit"):
        if hasattr(backbone, name):
            setattr(whole, name, getattr(backbone, name))
    return whole


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PEFT's remarks and progress bars."""
    import contextlib
    import io

    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def lacks_values(error: BaseException | None) -> bool:
    """Whether an error came of a model without storage (torch's meta device), and not of what was asked."""
    while error is not None:
        if isinstance(error, NeedsWeightsError) or ("meta" in str(error) and isinstance(error, RuntimeError)):
            return True
        error = error.__cause__
    return False


def draws_in_training(backbone: PreTrainedModel) -> bool:
    """Whether gradients of two tokens depend on random numbers, as those of adapters do that sample: made twice, with
    unlike numbers. (That numbers are taken says nothing: some take them and use none at dropout 0.)

    Random streams, mode and gradients are left as they were; a model without storage has no numbers to take.
    """
    import torch

    trained = [p for p in backbone.parameters() if p.requires_grad]
    if not trained or trained[0].is_meta:
        return False
    device, training = trained[0].device, backbone.training
    ids = torch.tensor([[3, 4]], device=device)
    found = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.enable_grad():
        backbone.train()
        try:
            for seed in (1, 2):
                torch.manual_seed(seed)
                states = backbone(input_ids=ids)[0]
                found.append(torch.autograd.grad(states.square().sum(), trained, allow_unused=True))
        finally:
            backbone.train(training)
    pairs = [(x, y) for x, y in zip(*found, strict=True) if x is not None and y is not None]
    return not all(torch.allclose(x, y, rtol=1e-4, atol=1e-6) for x, y in pairs)


def adapter_layers(model: nn.Module) -> list[Any]:
    """The layers of a model that carry an adapter, outermost only."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def can_merge(model: nn.Module) -> bool:
    """Whether every adapter in the model can be merged into the weight that it adapts, as its layers say."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = adapter_layers(model)
    return bool(layers) and all(type(layer).merge is not BaseTunerLayer.merge for layer in layers)


@contextmanager
def merged_adapters(model: nn.Module) -> Iterator[bool]:
    """Within, adapters are merged into the weights they adapt. Yields whether they can be."""
    layers, merged = adapter_layers(model) if can_merge(model) else [], []
    try:
        for layer in layers:
            layer.merge()
            merged.append(layer)
    except (NotImplementedError, ValueError):  # a kind whose layers have the call, and refuse it
        for layer in merged:
            layer.unmerge()
        layers = []
    try:
        yield bool(layers)
    finally:
        for layer in layers:
            layer.unmerge()
