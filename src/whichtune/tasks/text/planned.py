"""What of a text run is computed once: the lower blocks' states, or the states that the head reads.

In a causal model a token's state depends on the tokens before it alone, so what frozen blocks make of a text is the
same at every step. Above the boundary all tokens' states are needed, since target tokens attend to the whole text;
where nothing but the head trains, those of the tokens that predict one with a loss are. Before its first use a plan is
compared with the plain way on a few ragged texts, losses and gradients; where they differ, the plain way is taken.
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
from whichtune.data.pair_encoding import EncodedPairs
from whichtune.measure.cost import Timers
from whichtune.models.adapters import draws_in_training
from whichtune.models.causality import is_causal
from whichtune.models.language import LanguageModel
from whichtune.models.partition import Partition
from whichtune.models.sizes import hidden_width
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
from whichtune.tasks.text.forward import Operations, PlainTextForward, TextForward, summed_loss
from whichtune.tasks.text.model import meta_language_model
from whichtune.training.forward import autocast

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class TextPlan(BasicPlan):
    """`cached`: "states" at the boundary, those that the head "read"s, or "nothing"."""

    twins: bool = False
    adapters: bool = False


def make_text_plan(spec: RunSpec, model: LanguageModel) -> TextPlan:
    """The plan of a run whose method is attached to `model`."""
    partition = cut(model.backbone, _why_not(spec, model))
    if isinstance(partition, Decision):
        return TextPlan([partition])
    boundary, why = find_boundary(model, partition)
    cached, why_cached = "states", f"blocks below {boundary} never change"
    if boundary == 0:
        cached, why_cached = "nothing", "the first block trains, or what stands before it"
    elif not any(p.requires_grad for p in model.backbone.parameters()):
        cached, why_cached = "read", "nothing below the head trains"
    twins = has_twins(model.backbone)
    adapters = spec.precision == "float32" and has_adapter_kernels(model.backbone)
    decisions = [
        Decision("boundary", f"block {boundary} of {len(partition)}", why),
        Decision("logits", "of tokens with a loss", "a chunk of them at a time"),
        Decision("cache", cached, why_cached),
        Decision("activations", "one kernel" if twins else "as they are", "the same formula" if twins else ""),
        *([Decision("adapters", "one step each", "the same products")] if adapters else []),
    ]
    return TextPlan(decisions, partition, boundary, cached, twins, adapters)


def frozen_text_blocks(spec: RunSpec, model: LanguageModel) -> tuple[Partition, int] | None:
    """The model, cut at its blocks, and the boundary below which a run computes once; None where it computes all each
    time. Needs no weights, and takes the model to be causal."""
    partition = cut(model.backbone, _why_off(spec, model))
    if isinstance(partition, Decision):
        return None
    boundary, _ = find_boundary(model, partition)
    return (partition, boundary) if boundary else None


def _why_not(spec: RunSpec, model: LanguageModel) -> str | None:
    """Why a plan is off; with the model's own causality, which its weights tell."""
    why = _why_off(spec, model)
    return "tokens see those after them" if why is None and not is_causal(model.backbone) else why


def _why_off(spec: RunSpec, model: LanguageModel) -> str | None:
    if spec.plan == "off":
        return "asked for"
    if spec.base_precision != "float32":
        return f"the model's matrices are in {spec.base_precision}"
    if not any(p.requires_grad for p in model.parameters()):
        return "nothing trains"
    if model.prompt is not None:
        return "the prompt stands before the first block"
    probability = largest_dropout(model)
    if probability > 0:
        return f"dropout {probability:g} draws anew at every step"
    if model.adapter is not None and draws_in_training(model.backbone):
        return "the adapter draws anew at every step"
    return None


class PlannedTextForward:
    """Follows a plan; `filled` holds what the cache has of each split. Without it nothing is taken from a cache."""

    def __init__(
        self,
        model: LanguageModel,
        encoded: EncodedPairs,
        device: torch.device,
        precision: str,
        plan: TextPlan,
        filled: Mapping[str, Filled],
    ) -> None:
        assert plan.partition is not None
        self.model, self.encoded, self.device, self.precision = model, encoded, device, precision
        self.plan, self.filled, self.partition = plan, filled, plan.partition
        self._twins = Twins(model.backbone) if plan.twins else None
        self._adapters = AdapterKernels(model.backbone) if plan.adapters else None
        self._operations = Operations(model, encoded, device, self._of_length)

    def states(self, split: str, rows: Sequence[int]) -> Tensor:
        if self.plan.cached == "read":
            return self._read(split, rows)
        batch = self.encoded.batch(split, rows)
        ids = batch.input_ids.to(self.device)
        entering = None
        if self.plan.cached == "states":
            entering = self.filled[split].fetch(rows, None, ids.shape[1]).to(self.device)
        with self._above(entering):
            found = self.model.states_of(ids, None)  # causal: no real token sees the padding after it
        return found[batch.rows.to(self.device), batch.columns.to(self.device)]

    def _read(self, split: str, rows: Sequence[int]) -> Tensor:
        """Cached states (N, D), row after row, as the labels of a batch are."""
        filled = self.filled[split]
        numbers = [filled.number[row] for row in rows]
        states = filled.states.padded(numbers)
        real = torch.arange(states.shape[1])[None, :] < filled.states.lengths[numbers][:, None]
        return states[real].to(self.device)

    @contextmanager
    def _above(self, entering: Tensor | None) -> Iterator[None]:
        """Inside, the backbone computes what lies above the boundary, from the states (B, T, D) that enter there."""
        with ExitStack() as stack:
            if self._twins is not None:
                stack.enter_context(self._twins.in_place())
            if self._adapters is not None:
                stack.enter_context(self._adapters.in_place())
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
        with autocast(self.precision, self.device), self._above(entering):
            return self.model.states_of(ids, None).float().sum()

    # -- the check -----------------------------------------------------------------------------------

    def difference(self, plain: TextForward) -> str | None:
        """How this differs from the plain way on a few training texts of unlike lengths; None where it does not."""
        rows = ragged_rows([len(ids) for ids in self.encoded.splits["train"].tokens])
        try:
            (loss, found), (right, expected) = _loss_and_gradients(self, rows), _loss_and_gradients(plain, rows)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        off = abs(loss - right) / max(1.0, abs(right))
        if not off <= LOGIT_TOLERANCE[self.precision]:
            return f"losses differ by {off:.1e}"
        return gradient_difference(found, expected, self.precision)


def _loss_and_gradients(forward: TextForward, rows: Sequence[int]) -> tuple[float, list[Tensor]]:
    labels = forward.encoded.batch("train", rows).labels.to(forward.device)
    with autocast(forward.precision, forward.device):
        loss = summed_loss(forward.model, forward.states("train", rows), labels) / len(labels)
    return float(loss.detach()), gradients_of(loss, forward.model.parameters())


# -- a run -----------------------------------------------------------------------------------------


def prepare_text_forward(
    spec: RunSpec,
    model: LanguageModel,
    encoded: EncodedPairs,
    device: torch.device,
    timers: Timers,
    cache: CacheSettings,
) -> Prepared[TextForward]:
    """The forward pass that the run's plan allows. The training split's lower blocks count as phase `cache`, those of
    the other splits as `evaluate`. torch's random streams are left where they were."""
    plain, notes = PlainTextForward(model, encoded, device, spec.precision), list[str]()
    with random_streams_kept(device):
        with timers.phase("load"):
            plan = make_text_plan(spec, model)
        shortcuts: dict[str, JsonValue] = {"plan": spec.plan, "decisions": plan.reasons}
        if plan.partition is None:
            return Prepared(plain, shortcuts)
        filled: dict[str, Filled] = {}
        if plan.cached != "nothing":
            with timers.phase("cache"):
                lower = text_lower_pass(spec, plan, model, device, cache)
            texts = {name: texts_of_pairs(encoded, name) for name in encoded.splits}
            filled = fill_splits(lower, texts, want_of(plan), lambda: _others(spec, plan, cache, notes), timers, notes)
        if not filled:
            plan = replace(plan, cached="nothing", boundary=0)
        forward = PlannedTextForward(model, encoded, device, spec.precision, plan, filled)
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
    prepared = Prepared[TextForward](forward, {**shortcuts, "used": used}, notes)
    if train is not None:
        prepared.charge(train)
    return prepared


def _others(spec: RunSpec, plan: TextPlan, cache: CacheSettings, notes: list[str]) -> list[Want]:
    """What the other runs of the study will want of the same texts."""
    assert plan.partition is not None
    config = plan.partition.body.config

    def boundary_of(method: str, own: Mapping[str, object]) -> int:
        return boundary_of_text_method(spec, method, own, config)

    return wants_at(boundaries_of(cache, boundary_of, notes), len(plan.partition), READ)


def boundary_of_text_method(
    spec: RunSpec, method: str, settings: Mapping[str, object], config: PretrainedConfig
) -> int:
    """The boundary of a run like `spec` with another method, found without weights; 0 where nothing trains.

    Raises whatever a model may raise that cannot be built or run without storage.
    """
    sibling = spec.model_copy(update={"method": method, "method_settings": dict(settings)})
    model = meta_language_model(sibling, copy.deepcopy(config))
    if not any(p.requires_grad for p in model.parameters()):
        return 0
    return find_boundary(model, Partition(model.backbone))[0]


def want_of(plan: TextPlan) -> Want:
    """What a plan keeps of each text."""
    return Want(plan.boundary, READ if plan.cached == "read" else None)


def texts_of_pairs(encoded: EncodedPairs, split: str) -> Texts:
    """The texts of a split, with the places of the tokens that predict one with a loss."""
    tokens = encoded.splits[split].tokens
    places = [(encoded.first_with_loss(split, row) - 1, len(ids) - 1) for row, ids in enumerate(tokens)]
    return Texts("unpadded", tokens, [len(ids) for ids in tokens], encoded.pad_id, masked=False, read=places)


def text_lower_pass(
    spec: RunSpec, plan: TextPlan, model: LanguageModel, device: torch.device, cache: CacheSettings
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

    return new_lower_pass(spec, plan, computer_above, True, plan.twins, device, cache)
