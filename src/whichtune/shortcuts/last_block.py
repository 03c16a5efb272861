"""Compute the last block only where its output is read.

If a loss reads one position of the last hidden state, the last block needs keys and values of all
positions, but queries, the output projection and the feed-forward part at that one only. Two ways:

- `kv`: keys and values are computed by the block itself (after rotary embeddings and norms), then the
  block runs again on the rows that are read, attending to them.
- `absorbed`: where keys and values are plain linear maps of the block's attention input x, they are never
  formed. A score is (W_k^T q) . x and the output W_v (sum of a x) + b_v; the key bias adds the same to
  all scores of a query and cancels in the softmax. For H heads and T positions this takes about H T D
  multiplications an example instead of T D^2 (D the hidden size).

Both compute the same function as the whole block; they round differently in the last bits. What cannot be
pruned raises `CannotPrune`, and the caller runs the whole block.

Shapes: R rows of a batch, T tokens a row, P read positions a row, D hidden size, H heads, E head size.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.pytorch_utils import Conv1D

from whichtune.models.layers import bias_of, weight_of
from whichtune.models.partition import Partition, StopForwardError, entering, leaving
from whichtune.models.temporary import removed, replaced

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Mode = Literal["kv", "absorbed"]
# An attention function as transformers calls it: the module, queries, keys, values and what else there is, to the
# output (B, T, H, E) and the weights, where they are kept.
Attention = Callable[..., tuple[Tensor, Tensor | None]]

_ATTENTION = "whichtune_read_positions"
# Arguments of an attention function that change nothing here once attention is computed by this module.
_HARMLESS = {"is_causal", "sliding_window", "position_ids", "use_cache", "output_attentions", "deterministic"}
# Arguments of a block that are understood: taken at the read positions, or passed on as they are.
_TAKEN = {"hidden_states", "attention_mask", "position_ids", "position_embeddings", "cache_position"}


class CannotPrune(Exception):  # noqa: N818 - it is an answer, not a mistake
    """This block or these arguments are not understood well enough to compute less; the message says why."""


@dataclass(frozen=True)
class _Projection:
    """Rows `start` to `end` of a linear layer's weight, seen as (out, in)."""

    layer: nn.Module
    start: int
    end: int

    def weight(self) -> Tensor:
        weight = weight_of(self.layer)
        if isinstance(self.layer, Conv1D):
            return weight.t()[self.start : self.end]
        return weight[self.start : self.end]

    def bias(self) -> Tensor | None:
        bias = bias_of(self.layer)
        return None if bias is None else bias[self.start : self.end]


class LastBlock:
    """The last block of `partition`, computed for the read positions only.

    `rows` gives what the final modules make of them. One object serves one model; it looks at the model
    once, on its first use, to find out which layers make keys and values.
    """

    def __init__(self, partition: Partition, mode: Mode) -> None:
        self.partition = partition
        self.mode = mode
        self.block = partition.blocks[-1]
        self._names = list(inspect.signature(type(self.block).forward).parameters)[1:]
        self._attention: nn.Module | None = None
        self._key: _Projection | None = None
        self._value: _Projection | None = None
        # State of one call.
        self._positions = torch.empty(0, 0, dtype=torch.long)
        self._at_end = False
        self._grabbed: tuple[Tensor, Tensor] | None = None
        self._attention_input: Tensor | None = None
        self._result: Tensor | None = None

    def rows(self, positions: Tensor, run_model: Callable[[], object], at_end: bool) -> Tensor:
        """Last hidden states (R, P, D) at `positions` (R, P), while `run_model` calls the model.

        `at_end`: all of them are the last token of their row. `run_model` is stopped when it reaches the end of the
        last block. Raises `CannotPrune`.
        """
        self._positions, self._at_end = positions, at_end
        self._result = None
        self._check_dropout()
        try:
            with replaced(self.block, "forward", self._forward):
                try:
                    run_model()
                except StopForwardError:
                    pass
            if self._result is None:
                raise CannotPrune("the model did not reach its last block")
            hidden_states = self._result
            for module in self.partition.final_modules:
                hidden_states = module(hidden_states)
            return hidden_states
        finally:
            self._grabbed = self._attention_input = self._result = None

    def _check_dropout(self) -> None:
        for module in self.block.modules():
            dropout = isinstance(module, nn.Dropout) and module.training and module.p > 0
            if dropout:
                raise CannotPrune("dropout in the last block draws different numbers for fewer positions")

    def _forward(self, *arguments: object, **named: object) -> NoReturn:
        """Stands in for the block's forward: computes the read rows, then ends the model's pass."""
        given = {**dict(zip(self._names, arguments, strict=False)), **named}
        own_forward = type(self.block).forward.__get__(self.block)
        hidden_states = entering((), given)
        tokens = hidden_states.shape[1]
        positions = self._positions.to(hidden_states.device)
        rows = {name: self._take(name, value, positions, tokens) for name, value in given.items()}
        if self.mode == "kv" or self._attention is None:
            self._grab(lambda: own_forward(**given))
        if self.mode == "absorbed":
            self._attention_input = self._input_of_attention(lambda: own_forward(**given))
            if self._key is None:
                self._find_projections()
        with self._attending(self._attend):
            output = own_forward(**rows)
        self._result = leaving(output)
        raise StopForwardError

    def _take(self, name: str, value: object, positions: Tensor, tokens: int) -> object:
        """The argument `name` of the block for the read positions (R, P) alone."""
        if name not in _TAKEN:
            if isinstance(value, Tensor) or (isinstance(value, tuple) and value):
                raise CannotPrune(f"the block takes an argument '{name}' that is not understood")
            return value
        if isinstance(value, tuple):
            return tuple(self._take(name, item, positions, tokens) for item in value)
        if value is None:
            return None
        if not isinstance(value, Tensor):
            raise CannotPrune(f"the block's argument '{name}' is not understood")
        count = positions.shape[0]
        if name == "attention_mask":
            if value.ndim != 4 or value.shape[-2] != tokens:
                raise CannotPrune(f"an attention mask of shape {tuple(value.shape)} is not understood")
            index = positions[:, None, :, None].expand(-1, value.shape[1], -1, value.shape[-1])
            return value.expand(count, -1, -1, -1).gather(2, index)
        if name == "cache_position":
            return None
        if value.ndim not in (2, 3) or value.shape[1] != tokens:
            raise CannotPrune(f"'{name}' of shape {tuple(value.shape)} is not understood")
        value = value.expand(count, *value.shape[1:])
        if value.ndim == 2:
            return value.gather(1, positions)
        return value.gather(1, positions[:, :, None].expand(-1, -1, value.shape[-1]))

    # -- what the attention layer is given ------------------------------------------------------------

    def _grab(self, run_block: Callable[[], object]) -> None:
        """Keys and values of all positions, as the block itself makes them: both (R, H, T, E)."""
        with self._attending(self._grab_and_stop):
            try:
                run_block()
            except StopForwardError:
                return
        raise CannotPrune("the block's attention cannot be reached")

    def _grab_and_stop(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *rest: object, **named: object
    ) -> NoReturn:
        if key.shape[2] != query.shape[2]:
            raise CannotPrune("there are keys of earlier tokens")
        self._attention, self._grabbed = module, (key, value)
        raise StopForwardError

    def _input_of_attention(self, run_block: Callable[[], object]) -> Tensor:
        """Input (R, T, D) of the attention layer for all positions."""
        box: list[Tensor] = []

        def keep(module: nn.Module, arguments: tuple[object, ...], named: dict[str, object]) -> NoReturn:
            box.append(entering(arguments, named))
            raise StopForwardError

        assert self._attention is not None
        with removed(self._attention.register_forward_pre_hook(keep, with_kwargs=True)):
            try:
                run_block()
            except StopForwardError:
                return box[0]
        raise CannotPrune("the block's attention cannot be reached")

    @torch.no_grad()
    def _find_projections(self) -> None:
        """Which rows of which linear layers make the keys and the values, found by trying them.

        Only plain linear layers held by the attention itself count: an adapter around one, or any hook,
        would be left out of what is computed here.
        """
        assert self._attention is not None
        assert self._grabbed is not None
        states = self._attention_input
        assert states is not None
        found: dict[str, list[_Projection]] = {"key": [], "value": []}
        for layer in self._attention.children():
            if type(layer) not in (nn.Linear, Conv1D) or layer._forward_hooks or layer._forward_pre_hooks:
                continue
            whole = _Projection(layer, 0, _out_features(layer))
            if whole.weight().shape[1] != states.shape[-1]:
                continue
            made = layer(states)
            for name, target in zip(found, self._grabbed, strict=True):
                flat = target.transpose(1, 2).flatten(2)
                width = flat.shape[-1]
                for start in range(0, made.shape[-1] - width + 1, width):
                    part = made[..., start : start + width]
                    if part.shape == flat.shape and torch.allclose(part.float(), flat.float(), rtol=1e-5, atol=1e-6):
                        found[name].append(_Projection(layer, start, start + width))
        if len(found["key"]) != 1 or len(found["value"]) != 1:
            raise CannotPrune("keys and values are not plain linear maps of the attention's input")
        self._key, self._value = found["key"][0], found["value"][0]

    # -- attention from the read positions ------------------------------------------------------------

    def _attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        window: Tensor | None = None,
        **named: object,
    ) -> tuple[Tensor, None]:
        """Attention of queries (R, H, P, E) to all positions, in transformers' interface: (R, P, H, E)."""
        strange = [name for name, value in named.items() if value is not None and name not in _HARMLESS]
        if strange or dropout:
            raise CannotPrune(f"attention takes {', '.join(strange) or 'dropout'}, which is not understood")
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        is_causal = named.get("is_causal")
        is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        tokens = self._tokens()
        positions = self._positions.to(query.device)
        if attention_mask is None and window is None and is_causal and not self._at_end:
            window = torch.arange(tokens, device=query.device) <= positions[:, :, None]
            window = window[:, None]
        mask = _joined(attention_mask, window, query.dtype)
        if self.mode == "absorbed":
            return self._attend_absorbed(query * scaling, mask).transpose(1, 2), None
        return self._attend_to_grabbed(query, mask, scaling).transpose(1, 2), None

    def _tokens(self) -> int:
        if self.mode == "absorbed":
            assert self._attention_input is not None
            return self._attention_input.shape[1]
        assert self._grabbed is not None
        return self._grabbed[0].shape[2]

    def _attend_to_grabbed(self, query: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
        """(R, H, P, E) from grabbed keys and values; grouped queries are laid beside one another."""
        assert self._grabbed is not None
        key, value = self._grabbed
        rows, heads, read, size = query.shape
        groups = heads // key.shape[1]
        if groups > 1:
            query = query.reshape(rows, key.shape[1], groups * read, size)
            if mask is not None:
                if mask.shape[1] != 1:
                    raise CannotPrune("a mask for each head with grouped queries is not understood")
                mask = mask.repeat(1, 1, groups, 1)
        output = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
        return output.reshape(rows, heads, read, value.shape[-1])

    def _attend_absorbed(self, query: Tensor, mask: Tensor | None) -> Tensor:
        """(R, H, P, E) from the attention's input; `query` is scaled already."""
        assert self._key is not None
        assert self._value is not None
        assert self._attention_input is not None
        states = self._attention_input
        rows, tokens, width = states.shape
        _, heads, read, size = query.shape
        if self._key.weight().shape[0] != heads * size:
            raise CannotPrune("several heads share their keys")
        absorbed = torch.einsum("rhpe,hed->rhpd", query, self._key.weight().view(heads, size, width))
        scores = torch.bmm(absorbed.reshape(rows, heads * read, width), states.transpose(1, 2))
        scores = scores.view(rows, heads, read, tokens)
        if mask is not None:
            if mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
            else:
                scores = scores + mask
        weights = scores.softmax(-1).view(rows, heads * read, tokens)
        mixed = torch.bmm(weights, states).view(rows, heads, read, width)
        value_size = self._value.weight().shape[0] // heads
        output = torch.einsum("rhpd,hed->rhpe", mixed, self._value.weight().view(heads, value_size, width))
        value_bias, key_bias = self._value.bias(), self._key.bias()
        if value_bias is not None:
            output = output + value_bias.view(1, heads, 1, value_size)
        if key_bias is not None and key_bias.requires_grad:
            # Its true gradient is zero; it must be zero rather than absent, so that weight decay applies.
            output = output + 0.0 * key_bias.sum()
        return output

    @contextmanager
    def _attending(self, function: Attention) -> Iterator[None]:
        """The block's attention is computed by `function` inside."""
        with ExitStack() as stack:
            for module in self.block.modules():
                if hasattr(module, "_attn") and isinstance(getattr(module, "bias", None), Tensor):
                    stack.enter_context(replaced(module, "_attn", self._with_window(module, function)))
            for config in _attention_configs(self.block):
                stack.enter_context(_implementation(config, _ATTENTION))
            token = _ACTIVE.set(function)
            try:
                yield
            finally:
                _ACTIVE.reset(token)

    def _with_window(self, module: nn.Module, function: Attention) -> Attention:
        """Adapts `function` to GPT-Neo's own attention method, whose window is a buffer `bias`."""

        def attention(
            query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
        ) -> tuple[Tensor, Tensor | None]:
            tokens = max(key.shape[2], mask.shape[-1] if mask is not None else 0)
            if function == self._attend:
                tokens = self._tokens()
            buffer = bias_of(module)
            assert buffer is not None
            window = buffer[0, 0][self._positions.to(buffer.device)][:, None, :, :tokens]
            output, weights = function(module, query, key, value, mask, scaling=1.0, window=window)
            return output.transpose(1, 2), weights

        return attention


def _out_features(layer: nn.Module) -> int:
    return weight_of(layer).shape[1 if isinstance(layer, Conv1D) else 0]


def _joined(mask: Tensor | None, window: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """One mask (R, 1 or H, P, T): boolean (true: seen) or added to the scores. Raises `CannotPrune`."""
    if window is None or mask is None:
        return mask if window is None else window
    if mask.dtype == torch.bool:
        return mask & window
    if not bool((window & (mask > torch.finfo(dtype).min / 2)).any(-1).all()):
        # Its weights then come from the rounding of huge numbers, and differently in the whole block.
        raise CannotPrune("a token that is read sees nothing but padding in its window")
    return mask.masked_fill(~window, torch.finfo(dtype).min)


# Which function computes attention in the block that runs now. transformers finds attention functions by
# name in one table, so the name is registered once and leads here; what it does is set by each call.
_ACTIVE: ContextVar[Attention] = ContextVar("whichtune_attention")


def _attention_now(module: nn.Module, *arguments: object, **named: object) -> tuple[Tensor, Tensor | None]:
    return _ACTIVE.get()(module, *arguments, **named)


ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, _attention_now)


def _attention_configs(block: nn.Module) -> list[PretrainedConfig]:
    configs = (getattr(module, "config", None) for module in block.modules())
    return list({id(c): c for c in configs if hasattr(c, "_attn_implementation")}.values())


@contextmanager
def _implementation(config: PretrainedConfig, name: str) -> Iterator[None]:
    old = config._attn_implementation_internal
    config._attn_implementation_internal = name
    try:
        yield
    finally:
        config._attn_implementation_internal = old
