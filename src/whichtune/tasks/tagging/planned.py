"""What of a tagger's run is computed once: the lower blocks' states, or those at which words are read.

What frozen blocks make of a sentence is the same at every step. Above the boundary all tokens' states are needed, since
tokens attend to each other; where nothing but the head trains, those that words are read at are. Before its first use a
plan is compared with the plain way on a few ragged sentences, logits and gradients; where they differ, the plain way is
taken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from pydantic import JsonValue
from torch import Tensor

from whichtune.data.batch import Batch
from whichtune.data.tag_encoding import EncodedSentences
from whichtune.measure.cost import Timers
from whichtune.models.adapters import draws_in_training
from whichtune.models.causality import is_causal
from whichtune.models.partition import Partition
from whichtune.models.sizes import hidden_width
from whichtune.models.tagger import Tagger
from whichtune.models.temporary import without_kv_cache
from whichtune.shortcuts.adapter_kernels import AdapterKernels, has_adapter_kernels
from whichtune.shortcuts.boundary import BasicPlan, Decision, cut, find_boundary, largest_dropout
from whichtune.shortcuts.features import Twins, has_twins, keyword_inputs
from whichtune.shortcuts.frozen_blocks import Filled, LowerPass
from whichtune.shortcuts.packing import Packing
from whichtune.shortcuts.prepared import (
    CacheSettings,
    Prepared,
    boundaries_of,
    fill_splits,
    new_lower_pass,
    random_streams_kept,
    wants_at,
)
from whichtune.shortcuts.self_check import (
    LOGIT_TOLERANCE,
    gradient_difference,
    gradients_of,
    note_of_failure,
    ragged_rows,
)
from whichtune.shortcuts.texts import READ, Texts, Want
from whichtune.study.spec import RunSpec
from whichtune.tasks.tagging.forward import Operations, PlainTagForward, TagForward, logits_of, read_states
from whichtune.tasks.tagging.model import meta_tagger
from whichtune.training.forward import autocast

if TYPE_CHECKING:
    import numpy as np
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class TagPlan(BasicPlan):
    """`cached`: "states" at the boundary, those that the head "read"s, or "nothing"."""

    causal: bool = True
    twins: bool = False
    adapters: bool = False


def make_tag_plan(spec: RunSpec, model: Tagger) -> TagPlan:
    """The plan of a run whose method is attached to `model`."""
    partition = cut(model.backbone, _why_off(spec, model))
    if isinstance(partition, Decision):
        return TagPlan([partition])
    boundary, why = find_boundary(model, partition)
    cached, why_cached = "states", f"blocks below {boundary} never change"
    if boundary == 0:
        cached, why_cached = "nothing", "the first block trains"
    elif not any(p.requires_grad for p in model.backbone.parameters()):
        cached, why_cached = "read", "nothing below the head trains"
    twins = has_twins(model.backbone)
    adapters = spec.precision == "float32" and has_adapter_kernels(model.backbone)
    decisions = [
        Decision("boundary", f"block {boundary} of {len(partition)}", why),
        Decision("logits", "of words", "one token of each"),
        Decision("cache", cached, why_cached),
        Decision("activations", "one kernel" if twins else "as they are", "the same formula" if twins else ""),
        *([Decision("adapters", "one step each", "the same products")] if adapters else []),
    ]
    return TagPlan(decisions, partition, boundary, cached, is_causal(model.backbone), twins, adapters)


def frozen_tag_blocks(spec: RunSpec, model: Tagger) -> tuple[Partition, int] | None:
    """The model, cut at its blocks, and the boundary below which a run computes once; None where it computes all each
    time. Needs no weights."""
    partition = cut(model.backbone, _why_off(spec, model))
    if isinstance(partition, Decision):
        return None
    boundary, _ = find_boundary(model, partition)
    return (partition, boundary) if boundary else None


def _why_off(spec: RunSpec, model: Tagger) -> str | None:
    if spec.plan == "off":
        return "asked for"
    if model.prompt is not None:
        return "the prompt stands before the first block"
    known = {id(p) for module in (model.backbone, model.head) for p in module.parameters()}
    if any(id(p) not in known for p in model.parameters()):
        return "the method trains something outside the model and its head"
    probability = largest_dropout(model)
    if probability > 0:
        return f"dropout {probability:g} draws anew at every step"
    if model.adapter is not None and draws_in_training(model.backbone):
        return "the adapter draws anew at every step"
    return None


class PlannedTagForward:
    """Follows a plan; `filled` holds what the cache has of each split. Without it nothing is taken from a cache."""

    def __init__(
        self,
        model: Tagger,
        encoded: EncodedSentences,
        device: torch.device,
        precision: str,
        plan: TagPlan,
        filled: Mapping[str, Filled],
    ) -> None:
        assert plan.partition is not None
        self.model, self.encoded, self.device, self.precision = model, encoded, device, precision
        self.plan, self.filled, self.partition = plan, filled, plan.partition
        self._texts = {split: texts_of_tags(plan, encoded, split) for split in encoded.splits}
        self._twins = Twins(model.backbone) if plan.twins else None
        self._adapters = AdapterKernels(model.backbone) if plan.adapters else None
        unpadded = replace(encoded, padding="dynamic")  # padding is seen by no word
        self._operations = Operations(model, unpadded, device, self._of_length)

    def states(self, split: str, rows: Sequence[int]) -> Tensor:
        if self.plan.cached == "read":
            return self._read(split, rows)
        batch = self._texts[split].batch(rows)
        entering = None
        if self.plan.cached == "states":
            entering = self.filled[split].fetch(rows, None, batch.input_ids.shape[1]).to(self.device)
        with self._above(entering):
            found = self.model.states_of(**keyword_inputs(batch, self.device))
        return read_states(found, self.encoded, split, rows)

    def _read(self, split: str, rows: Sequence[int]) -> Tensor:
        """Cached states (W, D), which begin at the first token that is read of a sentence."""
        filled, part = self.filled[split], self.encoded.splits[split]
        found = [filled.states.of(filled.number[row])[part.read(row) - _span(part.read(row))[0]] for row in rows]
        return torch.cat(found).to(self.device)

    @contextmanager
    def _above(self, entering: Tensor | None) -> Iterator[None]:
        """Inside, the backbone computes what lies above the boundary, from the states (B, T, D) that enter there."""
        with ExitStack() as stack:
            if self._twins is not None:
                stack.enter_context(self._twins.in_place())
            if self._adapters is not None:
                stack.enter_context(self._adapters.in_place())
            stack.enter_context(autocast(self.precision, self.device))
            if entering is None:
                stack.enter_context(without_kv_cache(self.partition.model))
            else:
                stack.enter_context(self.partition.upper(self.plan.boundary)).hidden_states = entering
            yield

    # -- operations ----------------------------------------------------------------------------------

    def training_flops(self, rows: Sequence[int]) -> int:
        return self._operations.of_head(rows) if self.plan.cached == "read" else self._operations(rows)

    def _of_length(self, length: int) -> Tensor:
        ids = torch.full((1, length), self.encoded.pad_id, device=self.device)
        width = hidden_width(self.model.backbone.config)
        entering = torch.zeros(1, length, width, device=self.device) if self.plan.cached == "states" else None
        with self._above(entering):
            return self.model.states_of(ids, None).float().sum()

    # -- the check -----------------------------------------------------------------------------------

    def difference(self, plain: TagForward) -> str | None:
        """How this differs from the plain way on a few training sentences of unlike lengths; None where it does not."""
        rows = ragged_rows([len(ids) for ids in self.encoded.splits["train"].tokens])
        try:
            (logits, found), (right, expected) = _logits_and_gradients(self, rows), _logits_and_gradients(plain, rows)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        off = float((logits - right).abs().max()) / max(1.0, float(right.abs().max()))
        if not off <= LOGIT_TOLERANCE[self.precision]:
            return f"logits differ by {off:.1e} of the largest"
        return gradient_difference(found, expected, self.precision)


def _logits_and_gradients(forward: TagForward, rows: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    train = forward.encoded.splits["train"]
    tags = torch.cat([torch.as_tensor(train.known_tags(row), device=forward.device) for row in rows])
    logits = logits_of(forward, "train", rows)
    loss = torch.nn.functional.cross_entropy(logits, tags)
    return logits.detach(), gradients_of(loss, forward.model.parameters())


# -- a run -----------------------------------------------------------------------------------------


def prepare_tag_forward(
    spec: RunSpec,
    model: Tagger,
    encoded: EncodedSentences,
    device: torch.device,
    timers: Timers,
    cache: CacheSettings,
) -> Prepared[TagForward]:
    """The forward pass that the run's plan allows. The training split's lower blocks count as phase `cache`, those of
    the other splits as `evaluate`. torch's random streams are left where they were."""
    plain, notes = PlainTagForward(model, encoded, device, spec.precision), list[str]()
    with random_streams_kept(device):
        with timers.phase("load"):
            plan = make_tag_plan(spec, model)
        shortcuts: dict[str, JsonValue] = {"plan": spec.plan, "decisions": plan.reasons}
        if plan.partition is None:
            return Prepared(plain, shortcuts)
        filled: dict[str, Filled] = {}
        if plan.cached != "nothing":
            with timers.phase("cache"):
                lower = tag_lower_pass(spec, plan, model, device, cache)
            texts = {name: texts_of_tags(plan, encoded, name) for name in encoded.splits}
            filled = fill_splits(lower, texts, want_of(plan), lambda: _others(spec, plan, cache, notes), timers, notes)
        if not filled:
            plan = replace(plan, cached="nothing", boundary=0)
        forward = PlannedTagForward(model, encoded, device, spec.precision, plan, filled)
        with timers.phase("check"):
            why = forward.difference(plain)
    if why is not None:
        notes.append(note_of_failure("no shortcut is used", why))
        return Prepared(plain, {**shortcuts, "used": {"plain": True}}, notes)
    train = filled.get("train")
    used: dict[str, JsonValue] = {
        "cached": plan.cached,
        "cache_made": train is not None and train.made,
        "boundary": plan.boundary,
        "activation_kernel": plan.twins,
        "adapter_kernel": plan.adapters,
        "fused_optimiser": True,
    }
    prepared = Prepared[TagForward](forward, {**shortcuts, "used": used}, notes)
    if train is not None:
        prepared.charge(train)
    return prepared


def _others(spec: RunSpec, plan: TagPlan, cache: CacheSettings, notes: list[str]) -> list[Want]:
    """What the other runs of the study will want of the same sentences."""
    assert plan.partition is not None
    config = plan.partition.body.config

    def boundary_of(method: str, own: Mapping[str, object]) -> int:
        return boundary_of_tag_method(spec, method, own, config)

    return wants_at(boundaries_of(cache, boundary_of, notes), len(plan.partition), READ)


def boundary_of_tag_method(spec: RunSpec, method: str, settings: Mapping[str, object], config: PretrainedConfig) -> int:
    """The boundary of a run like `spec` with another method, found without weights.

    Raises whatever a model may raise that cannot be built or run without storage.
    """
    sibling = spec.model_copy(update={"method": method, "method_settings": dict(settings)})
    model = meta_tagger(sibling, copy.deepcopy(config), 2)
    return find_boundary(model, Partition(model.backbone))[0]


def want_of(plan: TagPlan) -> Want:
    """What a plan keeps of each sentence."""
    return Want(plan.boundary, READ if plan.cached == "read" else None)


def texts_of_tags(plan: TagPlan, encoded: EncodedSentences, split: str) -> Texts:
    """The sentences of a split, with the tokens from the first that is read to the last."""
    part = encoded.splits[split]
    spans = [_span(part.read(row)) for row in range(len(part))]
    lengths = [len(ids) for ids in part.tokens]
    return Texts("unpadded", part.tokens, lengths, encoded.pad_id, masked=not plan.causal, read=spans)


def _span(places: np.ndarray) -> tuple[int, int]:
    """From the first of the places to behind the last; the first token of a sentence of which nothing is read."""
    return (int(places.min()), int(places.max()) + 1) if len(places) else (0, 1)


def tag_lower_pass(
    spec: RunSpec, plan: TagPlan, model: Tagger, device: torch.device, cache: CacheSettings
) -> LowerPass:
    """What computes and caches the states of a plan."""
    assert plan.partition is not None
    partition = plan.partition

    def computer_above(boundary: int) -> Callable[..., Tensor]:
        def final_states(batch: Batch, fetch: Callable[[Packing | None], Tensor] | None = None) -> Tensor:
            if not boundary or fetch is None:
                return model.states_of(**keyword_inputs(batch, device))
            with partition.upper(boundary) as feed:
                feed.hidden_states = fetch(None)
                return model.states_of(**keyword_inputs(batch, device))

        return final_states

    return new_lower_pass(spec, plan, computer_above, plan.causal, plan.twins, device, cache)
