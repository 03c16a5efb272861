"""Cut a transformers model at a block without rewriting it.

Frozen lower blocks give the same hidden states every time, so they need computing only once. The model's
own forward does all the work here: to compute lower blocks it is stopped on reaching a block, and to
compute upper blocks the lower ones pass their input through while stored states replace what enters the
boundary block. Masks, rotary embeddings and layer types are thus built by the model itself, and the
result is bit-identical to the whole model's.

Shapes: B examples, T tokens, D hidden size.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from whichtune.errors import ModelError
from whichtune.models.sizes import text_part
from whichtune.models.temporary import evaluating, gradient_only, removed, replaced, without_kv_cache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Found = TypeVar("Found")


class StopForwardError(Exception):
    """Ends a forward pass once what it was run for is known; never leaves this package."""


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """The transformer blocks of `model`, first to last.

    They are the longest `ModuleList` whose members are all transformers blocks
    (`GradientCheckpointingLayer`), whatever wraps the model; in one that reads pictures or sound, too, they are those
    of its text.

    Raises `ModelError` where there is no such list, or two of equal length (encoder and decoder).
    """
    lists = [
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList)
        and len(module) > 0
        and all(isinstance(block, GradientCheckpointingLayer) for block in module)
    ]
    if not lists:
        raise ModelError(f"{type(model).__name__} has no list of transformer blocks that can be told apart.")
    if len(lists) > 1:
        lists = _of_text(model, lists)
    longest = max(len(blocks) for blocks in lists)
    found = [blocks for blocks in lists if len(blocks) == longest]
    if len(found) > 1:
        raise ModelError(
            f"{type(model).__name__} has {len(found)} lists of {longest} blocks; "
            "a model with one stack of blocks is needed."
        )
    return found[0]


def _of_text(model: nn.Module, lists: list[nn.ModuleList]) -> list[nn.ModuleList]:
    """Those of `lists` that stand in the model's part of text, and not in one of pictures or sound; all where that
    cannot be told."""
    from transformers import PreTrainedModel

    owners = [module for module in model.modules() if isinstance(module, PreTrainedModel)]  # outer ones first
    if not owners:
        return lists
    innermost = {id(inner): owner for owner in owners for inner in owner.modules()}
    text = text_part(owners[0].config)
    return [blocks for blocks in lists if id(blocks) in innermost and innermost[id(blocks)].config is text] or lists


def final_modules(model: nn.Module) -> list[nn.Module]:
    """Modules with parameters of their own that run after the last block and shape the hidden states.

    For most decoders this is the final norm; for BERT there is none. Poolers, whose output the last hidden
    state does not depend on, and modules whose parameters also act earlier (tied embeddings) are left out.
    Found by running two tokens through the model; training mode and `requires_grad` are left as they were.
    """
    return probe(model).final_modules


@dataclass(frozen=True)
class Probe:
    """What one tiny forward pass tells about a model.

    `body`: the innermost transformers model that takes token ids. `in_order`: every block ran exactly once,
    first to last. `tuple_length`: blocks return a tuple of this length whose first member is the hidden
    state; 0 where they return the hidden state itself.
    """

    body: PreTrainedModel
    blocks: nn.ModuleList
    final_modules: list[nn.Module]
    in_order: bool
    tuple_length: int


def probe(model: nn.Module) -> Probe:
    """Run two tokens through `model` and note in which order its modules with parameters ran.

    Raises `ModelError` where the model has no list of blocks or cannot be run from token ids alone.
    """
    blocks = blocks_of(model)
    body = _innermost(model, blocks)
    place = {id(block): number for number, block in enumerate(blocks)}
    order: list[int] = []
    before: list[nn.Module] = []
    after: list[nn.Module] = []
    last_output: list[object] = []

    def note(module: nn.Module, arguments: object) -> None:
        if module is body:  # a pass begins: what one that failed has noted is forgotten
            for noted in (order, before, after, last_output):
                noted.clear()
        if id(module) in place:
            order.append(place[id(module)])
        elif any(True for _ in module.parameters(recurse=False)):
            (after if last_output else before).append(module)

    def note_last(module: nn.Module, arguments: object, output: object) -> None:
        last_output.append(output)

    with ExitStack() as stack:
        for module in body.modules():
            stack.enter_context(removed(module.register_forward_pre_hook(note)))
        stack.enter_context(removed(blocks[-1].register_forward_hook(note_last)))
        stack.enter_context(evaluating(body))
        inner = {id(module) for block in blocks for module in block.modules()}
        with torch.no_grad():
            _run_tiny(body)
    if not last_output:
        raise ModelError(f"{type(model).__name__} did not run its last block on token ids alone.")
    early = {id(p) for module in [*before, *blocks] for p in module.parameters()}
    candidates = _distinct(
        module
        for module in after
        if id(module) not in inner and not any(id(p) in early for p in module.parameters(recurse=False))
    )
    return Probe(
        body=body,
        blocks=blocks,
        final_modules=[module for module in candidates if module in _reaching(body, candidates)],
        in_order=order == list(range(len(blocks))),
        tuple_length=len(output) if isinstance(output := last_output[0], tuple) else 0,
    )


def _reaching(body: PreTrainedModel, candidates: Sequence[nn.Module]) -> list[nn.Module]:
    """Those of `candidates` whose own parameters the last hidden state depends on (has a gradient to)."""
    owned = [(module, p) for module in candidates for p in module.parameters(recurse=False)]
    if not owned:
        return []
    with ExitStack() as stack:
        stack.enter_context(evaluating(body))
        stack.enter_context(gradient_only(body, {id(p) for _, p in owned}))
        with torch.enable_grad():
            state = _run_tiny(body)
            if not state.requires_grad:
                return []
            gradients = torch.autograd.grad(state.square().sum(), [p for _, p in owned], allow_unused=True)
    return _distinct(module for (module, _), g in zip(owned, gradients, strict=True) if g is not None)


def _run_tiny(body: PreTrainedModel) -> Tensor:
    """Hidden state (1, 2, D), or logits where the model gives no hidden state, of two tokens."""
    device = next(body.parameters()).device
    tokens = torch.tensor([[3, 4]], device=device)
    with without_kv_cache(body):
        if device.type == "meta":
            output = without_values(body, 1, 2, lambda mask: body(input_ids=tokens, attention_mask=mask))
        else:
            output = body(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple):
        return output[0]
    return output["last_hidden_state"] if "last_hidden_state" in output else output["logits"]


def without_values(body: PreTrainedModel, texts: int, tokens: int, run: Callable[[Tensor], Found]) -> Found:
    """What `run(attention_mask)` gives on a model without storage (torch's meta device).

    Most models look into a plain mask (B, T), where there is nothing to see, but take one in its final form
    (B, 1, T, T); some count positions from a plain mask and look into it only for fused attention.
    """
    own = body.config._attn_implementation
    try:
        return run(torch.zeros(texts, 1, tokens, tokens, device="meta"))
    except (ValueError, RuntimeError):
        body.config._attn_implementation = "eager"
        return run(torch.ones(texts, tokens, dtype=torch.long, device="meta"))
    finally:
        body.config._attn_implementation = own


def lower_sum(partition: Partition, boundary: int, length: int) -> Tensor:
    """A number that depends on the states of one made-up text below `boundary`, of a model without storage."""
    ids = torch.zeros(1, length, dtype=torch.long, device="meta")

    def lower(mask: Tensor) -> Tensor:
        return partition.lower([boundary], input_ids=ids, attention_mask=mask)[boundary].sum()

    return without_values(partition.body, 1, length, lower)


def _innermost(model: nn.Module, blocks: nn.ModuleList) -> PreTrainedModel:
    """The innermost transformers model that holds `blocks` and takes token ids."""
    body = model
    for module in model.modules():
        if not hasattr(module, "config") or not any(child is blocks for child in module.modules()):
            continue
        if "input_ids" in inspect.signature(module.forward).parameters:
            body = module
    return body


def _distinct(modules: Iterable[nn.Module]) -> list[nn.Module]:
    return list({id(module): module for module in modules}.values())


BlockOutput = Tensor | tuple[Tensor | None, ...]


def entering(arguments: Sequence[object], named: Mapping[str, object]) -> Tensor:
    """The hidden states (B, T, D) among what a block or its attention is called with."""
    states = arguments[0] if arguments else named["hidden_states"]
    assert isinstance(states, Tensor)
    return states


def leaving(output: object) -> Tensor:
    """The hidden states (B, T, D) that a block gives, alone or first of several."""
    states = output[0] if isinstance(output, tuple) else output
    assert isinstance(states, Tensor)
    return states


class Feed:
    """Holds the states that replace the input of the boundary block, (B, T, D)."""

    def __init__(self) -> None:
        self.hidden_states: Tensor | None = None

    def take(self) -> Tensor:
        if self.hidden_states is None:
            raise RuntimeError("the upper blocks were run before they were given hidden states")
        return self.hidden_states


class Partition:
    """A transformers model that can be run below or above any block boundary, by its own forward.

    Boundary k (0 to n, the number of blocks) lies before block k; boundary n lies between the last block
    and the final modules. `model` is called with keyword arguments such as `input_ids` and
    `attention_mask`, as its owner calls it. The model is not changed: everything set during a call is put
    back, also after an exception.

    Raises `ModelError` where the model has no single list of blocks that run once each in order.
    """

    def __init__(self, model: nn.Module) -> None:
        found = probe(model)
        if not found.in_order:
            raise ModelError(f"{type(model).__name__} does not run its blocks once each, in order.")
        self.model = model
        self.body = found.body
        self.blocks = found.blocks
        self.final_modules = found.final_modules
        self._tuple_length = found.tuple_length

    def __len__(self) -> int:
        return len(self.blocks)

    def lower(self, depths: Iterable[int], **inputs: object) -> dict[int, Tensor]:
        """Hidden states (B, T, D) that reach each boundary of `depths`, from one pass up to the deepest.

        No gradient is kept. The caller sees to it that dropout is off (`evaluating`).
        """
        wanted = sorted(set(depths))
        if not wanted or wanted[0] < 0 or wanted[-1] > len(self):
            raise ValueError(f"boundaries must lie between 0 and {len(self)}, not {wanted}")
        states: dict[int, Tensor] = {}

        def keep(depth: int, hidden_states: Tensor) -> None:
            if depth == wanted[-1]:
                states[depth] = hidden_states
                raise StopForwardError
            states[depth] = hidden_states.clone()

        def keep_input(depth: int) -> Callable[[nn.Module, tuple[object, ...], dict[str, object]], None]:
            def hook(block: nn.Module, arguments: tuple[object, ...], named: dict[str, object]) -> None:
                keep(depth, entering(arguments, named))

            return hook

        def keep_output(block: nn.Module, arguments: object, output: object) -> None:
            keep(len(self), leaving(output))

        with ExitStack() as stack:
            for depth in wanted:
                if depth < len(self):
                    handle = self.blocks[depth].register_forward_pre_hook(keep_input(depth), with_kwargs=True)
                else:
                    handle = self.blocks[-1].register_forward_hook(keep_output)
                stack.enter_context(removed(handle))
            stack.enter_context(torch.no_grad())
            stack.enter_context(without_kv_cache(self.model))
            try:
                self.model(**inputs)
            except StopForwardError:
                return states
        raise ModelError(f"{type(self.model).__name__} ended before its block {wanted[-1]}.")

    @contextmanager
    def upper(self, boundary: int) -> Iterator[Feed]:
        """Inside, calling the model computes only what lies above `boundary`.

        Blocks below it hand their input on, and the states given as `feed.hidden_states` (B, T, D) enter
        at the boundary. The model is called with the inputs whose lower states these are, so that it
        builds the same masks and positions.
        """
        if not 0 <= boundary <= len(self):
            raise ValueError(f"the boundary must lie between 0 and {len(self)}, not {boundary}")
        feed = Feed()

        def inject(
            block: nn.Module, arguments: tuple[object, ...], named: dict[str, object]
        ) -> tuple[tuple[object, ...], dict[str, object]]:
            if arguments:
                return (feed.take(), *arguments[1:]), named
            return arguments, {**named, "hidden_states": feed.take()}

        def hand_on(*arguments: object, **named: object) -> BlockOutput:
            return self._as_output(entering(arguments, named))

        def hand_over(*arguments: object, **named: object) -> BlockOutput:
            return self._as_output(feed.take())

        with ExitStack() as stack:
            stack.enter_context(without_kv_cache(self.model))
            for number in range(boundary):
                last = number == len(self) - 1
                stack.enter_context(replaced(self.blocks[number], "forward", hand_over if last else hand_on))
            if 0 < boundary < len(self):
                handle = self.blocks[boundary].register_forward_pre_hook(inject, with_kwargs=True)
                stack.enter_context(removed(handle))
            yield feed

    def _as_output(self, hidden_states: Tensor) -> BlockOutput:
        if not self._tuple_length:
            return hidden_states
        return (hidden_states, *([None] * (self._tuple_length - 1)))
