"""Virtual tokens in front of every text: vectors that train while the model stays as it is.

A `SoftPrompt` puts trained vectors before the token embeddings (prompt tuning); a `Prefix` puts trained keys and
values before each block's own (prefix tuning). The parameters are PEFT's modules. Either way the virtual tokens take
the positions 0 to V-1 and the text begins at V, and the states that are returned are those of the text alone, so
that a head which reads the first, the last or the mean of a text's tokens reads what it would read without a prompt.
(With vectors for ids, transformers' own classifiers cannot see where padding begins and read a padding token.)

Shapes: B texts, T tokens, V virtual tokens, D hidden size, H heads that have keys, d their size, L blocks.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict, TypeVar

import torch
from torch import Tensor, nn

from whichtune.errors import ModelError, SettingError
from whichtune.models.autocast import autocast_type
from whichtune.models.layers import weight_of
from whichtune.models.loading import kind_of
from whichtune.models.reading import differ
from whichtune.models.segments import apart
from whichtune.models.sizes import differs_by_layer, hidden_width, text_part, told
from whichtune.models.temporary import evaluating
from whichtune.models.tying import input_embeddings
from whichtune.models.weights import first_line

if TYPE_CHECKING:
    from peft import PrefixTuningConfig
    from transformers import Cache, PreTrainedModel

Made = TypeVar("Made")
TRIAL = (3, 4, 5)  # tokens of a text that a new prefix is tried on
Initialisation = Literal["vocabulary", "random", "text"]


class PromptedInputs(TypedDict, total=False):
    """What a model is called with behind virtual tokens: vectors (B, V + T, E), or ids and past keys and values."""

    input_ids: Tensor
    inputs_embeds: Tensor
    attention_mask: Tensor | None
    token_type_ids: Tensor
    past_key_values: Cache


class Prompt(nn.Module, ABC):
    """Virtual tokens. `count` of them; `leading` positions of the model's output belong to them."""

    count: int
    leading: int
    places: Tensor  # (V,), 0 to V-1: what PEFT's modules are called with

    @abstractmethod
    def inputs(self, backbone: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None) -> PromptedInputs:
        """What to call the backbone with (or to generate from) for `input_ids` (B, T) behind the virtual tokens.

        `attention_mask` (B, T), 1 for tokens that are seen, or None where all are.
        """


def prompted_hidden_states(
    backbone: PreTrainedModel, prompt: Prompt, input_ids: Tensor, attention_mask: Tensor | None, **extra: bool
) -> Tensor:
    """The last hidden states (B, T, D) of the real tokens, computed behind the prompt.

    `input_ids` (B, T); `attention_mask` (B, T) or None; `extra` goes to the backbone.
    """
    inputs = prompt.inputs(backbone, input_ids, attention_mask)
    states: Tensor = backbone(**inputs, **extra).last_hidden_state
    return states[:, prompt.leading :]


class SoftPrompt(Prompt):
    """Trained vectors (V, E) before the token embeddings, E being the embeddings' size.

    `encoder` is PEFT's PromptEmbedding, or a PromptEncoder, whose small network makes them from others; without
    gradients what it makes is the same every time, and `fixed` keeps it.
    """

    def __init__(self, encoder: nn.Module, count: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.count = self.leading = count
        self.fixed: Tensor | None = None
        self.register_buffer("places", torch.arange(count), persistent=False)

    def vectors(self) -> Tensor:
        """(1, V, E)"""
        made: Tensor = self.encoder(self.places[None]) if self.fixed is None else self.fixed
        return made

    def inputs(self, backbone: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None) -> PromptedInputs:
        ids, segments = apart(backbone, input_ids)
        words = input_embeddings(backbone)(ids)
        vectors = self.vectors().to(words.dtype).expand(input_ids.shape[0], -1, -1)
        mask = _longer_mask(attention_mask, self.count, queries=True)
        made: PromptedInputs = {"inputs_embeds": torch.cat([vectors, words], dim=1), "attention_mask": mask}
        if segments is not None:  # the virtual tokens are of the first
            made["token_type_ids"] = nn.functional.pad(segments, (self.count, 0))
        return made


class Prefix(Prompt):
    """Trained keys and values of V virtual tokens before every block's own.

    `encoder` is PEFT's PrefixEncoder; with a projection it is a small network that makes them from V vectors.
    Without gradients what the network makes is the same every time, and `fixed` keeps it.
    """

    leading = 0

    def __init__(self, encoder: nn.Module, count: int, heads: int, size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.count, self.heads, self.size = count, heads, size
        self.fixed: Tensor | None = None
        self.register_buffer("places", torch.arange(count), persistent=False)

    def keys_and_values(self) -> Tensor:
        """(2 L, H, V, d): keys and values of each block in turn."""
        if self.fixed is not None:
            return self.fixed
        made: Tensor = self.encoder(self.places)
        return made.view(self.count, -1, self.heads, self.size).permute(1, 2, 0, 3)

    def inputs(self, backbone: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None) -> PromptedInputs:
        from transformers import DynamicCache

        if any(getattr(module, "gradient_checkpointing", False) for module in backbone.modules()):
            raise SettingError(CHECKPOINTING)
        made = self.keys_and_values()
        made = made.to(autocast_type(made.device) or made.dtype)  # as the text's own keys and values
        made = made[:, None].expand(-1, input_ids.shape[0], -1, -1, -1)
        past = DynamicCache([(made[place], made[place + 1]) for place in range(0, len(made), 2)])
        mask = _longer_mask(attention_mask, self.count, queries=False)
        return {"input_ids": input_ids, "attention_mask": mask, "past_key_values": past}


CHECKPOINTING = (
    "gradient_checkpointing: transformers runs blocks again without the prefix there: turn it off for prefix_tuning."
)


def _longer_mask(mask: Tensor | None, count: int, queries: bool) -> Tensor | None:
    """A mask over virtual and real tokens: the virtual ones are always seen."""
    if mask is None:
        return None
    if mask.ndim == 4:  # a finished mask, which only models without storage are called with: its shape matters
        return nn.functional.pad(mask, (count, 0, count if queries else 0, 0))
    return torch.cat([mask.new_ones(mask.shape[0], count), mask], dim=1)


# -- making them ---------------------------------------------------------------------------------------


def new_soft_prompt(
    backbone: PreTrainedModel,
    count: int,
    initialisation: Initialisation,
    draw: torch.Generator,
    text: Sequence[int] | None = None,
) -> SoftPrompt:
    """A soft prompt of `count` virtual tokens.

    It begins with the embeddings of tokens drawn from the vocabulary by `draw`, those of a `text`'s tokens
    (repeated or cut to `count`), or with `random` numbers from PEFT (standard normal, from torch's global
    generator). On a model without storage only its shape is made.
    """
    from peft import PromptEmbedding, PromptTuningConfig

    embeddings = _vector_embeddings(backbone, "soft_prompt")
    sizes = {"token_dim": weight_of(embeddings).shape[1], "num_layers": 1, "num_attention_heads": 1}
    config = PromptTuningConfig(num_virtual_tokens=count, num_transformer_submodules=1, **sizes)
    encoder = PromptEmbedding(config, embeddings)
    ids = _first_tokens(embeddings, count, initialisation, draw, text)
    if ids is not None:
        with torch.no_grad():
            encoder.embedding.weight.copy_(embeddings(ids))
    return SoftPrompt(encoder, count)


def new_network_prompt(backbone: PreTrainedModel, count: int, network: str, size: int | None) -> SoftPrompt:
    """A soft prompt of `count` virtual tokens that a `network` ("mlp" or "lstm") of hidden size `size` makes, all from
    torch's global generator."""
    from peft import PromptEncoder, PromptEncoderConfig

    width = weight_of(_vector_embeddings(backbone, "p_tuning")).shape[1]
    config = PromptEncoderConfig(
        num_virtual_tokens=count,
        num_transformer_submodules=1,
        token_dim=width,
        num_layers=1,
        num_attention_heads=1,
        encoder_reparameterization_type=network.upper(),
        encoder_hidden_size=size or width,
    )
    return SoftPrompt(PromptEncoder(config), count)


def _vector_embeddings(backbone: PreTrainedModel, method: str) -> nn.Module:
    """The token embeddings of a model that takes vectors for ids. Raises ModelError for one that does not."""
    if "inputs_embeds" not in inspect.signature(backbone.forward).parameters:
        raise ModelError(f"{type(backbone).__name__} takes token ids only: {method} needs a model that takes vectors.")
    return input_embeddings(backbone)


def new_prefix(
    backbone: PreTrainedModel,
    count: int,
    initialisation: Initialisation,
    draw: torch.Generator,
    text: Sequence[int] | None = None,
    projection: bool = False,
    projection_size: int | None = None,
) -> Prefix:
    """A prefix of `count` virtual tokens, for decoders.

    It begins with the keys and values that the model itself computes for tokens drawn from the vocabulary or for a
    `text`, as the method's authors advise, or with `random` numbers from PEFT. With `projection` it is random: what
    the network would have to be to give certain keys cannot be told. Raises ModelError for models without keys and
    values of past tokens.
    """
    from peft import PrefixEncoder, PrefixTuningConfig

    _check_has_past(backbone)
    ids = None if projection else _first_tokens(input_embeddings(backbone), count, initialisation, draw, text)
    first = None
    if weight_of(input_embeddings(backbone)).is_meta:
        blocks, heads, size = _told_shape(backbone)
    else:
        tokens = _any_tokens(backbone, count) if ids is None else ids
        made = _computed_keys_and_values(backbone, tokens)
        _refuse_unlike_tokens(backbone, tokens, made)
        blocks, heads, size = made.shape[0] // 2, made.shape[1], made.shape[3]
        first = None if ids is None else made
    peft: PrefixTuningConfig = PrefixTuningConfig(
        num_virtual_tokens=count,
        num_transformer_submodules=1,
        token_dim=heads * size,
        num_layers=blocks,
        num_attention_heads=heads,
        prefix_projection=projection,
        encoder_hidden_size=projection_size or heads * size,
    )
    encoder = PrefixEncoder(peft)
    if first is not None:
        with torch.no_grad():
            encoder.embedding.weight.copy_(first.permute(2, 0, 1, 3).reshape(count, -1))
    return Prefix(encoder, count, heads, size)


def _check_has_past(backbone: PreTrainedModel) -> None:
    config = backbone.config
    takes = inspect.signature(backbone.forward).parameters
    if kind_of(config, config.model_type) != "decoder" or "past_key_values" not in takes:
        raise ModelError(
            f"{type(backbone).__name__} keeps no keys and values of past tokens, which prefix_tuning needs: "
            "choose a decoder, or soft_prompt."
        )


def _first_tokens(
    embeddings: nn.Module,
    count: int,
    initialisation: Initialisation,
    draw: torch.Generator,
    text: Sequence[int] | None,
) -> Tensor | None:
    """Ids (V,) of the tokens that the virtual ones begin as; None for random numbers and without storage."""
    matrix = weight_of(embeddings)
    if initialisation == "random" or matrix.is_meta:
        return None
    if initialisation == "text":
        if not text:
            raise SettingError("prompt_text: the tokenizer makes no token of it: give a text of a word or more.")
        return torch.tensor((list(text) * math.ceil(count / len(text)))[:count], device=matrix.device)
    return torch.randint(matrix.shape[0], (count,), generator=draw).to(matrix.device)


def _told_shape(backbone: PreTrainedModel) -> tuple[int, int, int]:
    """Blocks, heads that have keys, and their size, as the configuration tells them. Raises ModelError where it tells
    several, or none."""
    config = text_part(backbone.config)
    several = any(differs_by_layer(config, name) for name in ("num_key_value_heads", "num_attention_heads", "head_dim"))
    blocks, queries = told(config, "num_hidden_layers"), told(config, "num_attention_heads")
    if several or blocks is None or queries is None:
        raise ModelError(
            f"The configuration of {type(backbone).__name__} tells no one shape of its blocks' keys, which "
            "prefix_tuning needs: choose soft_prompt, or an adapter such as lora."
        )
    size = told(config, "head_dim") or hidden_width(config) // queries
    return blocks, told(config, "num_key_value_heads") or queries, size


def _any_tokens(backbone: PreTrainedModel, count: int) -> Tensor:
    """Ids (V,) of tokens that the model has, whichever."""
    matrix = weight_of(input_embeddings(backbone))
    return torch.arange(3, 3 + count, device=matrix.device) % matrix.shape[0]


@torch.no_grad()
def _computed_keys_and_values(backbone: PreTrainedModel, ids: Tensor) -> Tensor:
    """(2 L, H, V, d): what every block has of these tokens when they stand alone."""
    from transformers import DynamicCache

    past = DynamicCache()  # a plain one: a model's own may forget beyond a window
    with evaluating(backbone):
        _asked(backbone, lambda: backbone(input_ids=ids[None], past_key_values=past, use_cache=True))
    parts = [getattr(layer, name, None) for layer in past.layers for name in ("keys", "values")]
    kept = [part[0] for part in parts if isinstance(part, Tensor) and part.numel()]
    if not kept or len(kept) < len(parts):
        raise ModelError(
            f"Not every block of {type(backbone).__name__} keeps keys and values of past tokens, which prefix_tuning "
            "needs: choose soft_prompt, or an adapter such as lora."
        )
    if len({part.shape for part in kept}) > 1:
        raise ModelError(
            f"The keys of {type(backbone).__name__} differ in shape by block, or from its values: prefix_tuning needs "
            "one shape."
        )
    return torch.stack(kept)


@torch.no_grad()
def _refuse_unlike_tokens(backbone: PreTrainedModel, ids: Tensor, made: Tensor) -> None:
    """Raise ModelError where a text behind the keys and values of tokens (V,) is not as behind the tokens themselves.

    Not asked of weights in fewer bits, which are rounded by what stands beside a token, nor of a decoder without its
    causal mask, whose tokens of a prefix would see the text.
    """
    bidirectional = getattr(backbone.config, "is_causal", True) is False  # as `remove_causal_mask` leaves it
    if bidirectional or any(p.dtype != torch.float32 for p in backbone.parameters()):
        return
    prefix = Prefix(nn.Identity(), len(ids), made.shape[1], made.shape[3])
    prefix.fixed = made
    text = ids.new_tensor([TRIAL])
    whole = torch.cat([ids[None], text], dim=1)
    with evaluating(backbone):
        behind = _asked(
            backbone, lambda: prompted_hidden_states(backbone, prefix, text, torch.ones_like(text), use_cache=False)
        )
        expected = backbone(input_ids=whole, attention_mask=torch.ones_like(whole), use_cache=False)
    told = expected.last_hidden_state[:, len(ids) :]
    if differ(behind, told):
        raise ModelError(
            f"{type(backbone).__name__} reads a text otherwise behind the keys and values of tokens than behind these "
            "tokens, so that prefix_tuning would not be what it says: choose soft_prompt, or an adapter such as lora."
        )


def _asked(backbone: PreTrainedModel, run: Callable[[], Made]) -> Made:
    """What `run()` gives. Raises ModelError where the model's own code fails with keys and values of past tokens."""
    try:
        return run()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise ModelError(
            f"{type(backbone).__name__} does not take keys and values of past tokens as prefix_tuning gives them "
            f"({type(error).__name__}: {first_line(error)}): choose soft_prompt, or an adapter such as lora."
        ) from error
