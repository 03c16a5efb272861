"""The plan of a run whose loss is at several tokens of a text: what tasks of written texts and of tagged words share.

Above the boundary all tokens' states are needed, since tokens attend to each other; where nothing but the head trains,
those that the head reads are. Texts are padded to the longest of a batch and not packed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from pydantic import JsonValue
from torch import Tensor

from whichtune.models.adaptable import Adaptable
from whichtune.models.adapters import draws_in_training
from whichtune.models.partition import Partition
from whichtune.models.sizes import hidden_width
from whichtune.models.temporary import without_kv_cache
from whichtune.shortcuts.adapter_kernels import AdapterKernels, has_adapter_kernels
from whichtune.shortcuts.boundary import BasicPlan, Decision, cut, find_boundary, largest_dropout
from whichtune.shortcuts.features import Twins, has_twins, keyword_inputs
from whichtune.shortcuts.frozen_blocks import Filled, LowerPass
from whichtune.shortcuts.prepared import (
    CacheSettings,
    Prepared,
    boundaries_of,
    fill_splits,
    new_lower_pass,
    random_streams_kept,
    wants_at,
)
from whichtune.shortcuts.self_check import gradient_difference, note_of_failure
from whichtune.shortcuts.texts import READ, Texts, Want
from whichtune.training.forward import autocast

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from whichtune.data.batch import Batch
    from whichtune.measure.cost import Timers
    from whichtune.shortcuts.packing import Packing
    from whichtune.study.spec import RunSpec


@dataclass(frozen=True)
class TokenPlan(BasicPlan):
    """`cached`: "states" at the boundary, those that the head "read"s, or "nothing"."""

    causal: bool = True
    twins: bool = False
    adapters: bool = False

    @property
    def want(self) -> Want:
        """What is kept of each text."""
        return Want(self.boundary, READ if self.cached == "read" else None)


def why_no_plan(spec: RunSpec, model: Adaptable) -> str | None:
    """Why nothing is computed once or less, whatever the task; None where a plan may be made."""
    if spec.plan == "off":
        return "asked for"
    if spec.base_precision != "float32":
        return f"the model's matrices are in {spec.base_precision}"
    if model.prompt is not None:
        return "the prompt stands before the first block"
    probability = largest_dropout(model)
    if probability > 0:
        return f"dropout {probability:g} draws anew at every step"
    if model.adapter is not None and draws_in_training(model.backbone):
        return "the adapter draws anew at every step"
    return None


def make_token_plan(spec: RunSpec, model: Adaptable, why_off: str | None, read: Decision, causal: bool) -> TokenPlan:
    """The plan of a run whose method is attached to `model`; `read` says what of the states the head reads."""
    partition = cut(model.backbone, why_off)
    if isinstance(partition, Decision):
        return TokenPlan([partition])
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
        read,
        Decision("cache", cached, why_cached),
        Decision("activations", "one kernel" if twins else "as they are", "the same formula" if twins else ""),
        *([Decision("adapters", "one step each", "the same products")] if adapters else []),
    ]
    return TokenPlan(decisions, partition, boundary, cached, causal, twins, adapters)


def frozen_blocks_of(model: Adaptable, why_off: str | None) -> tuple[Partition, int] | None:
    """The model, cut at its blocks, and the boundary below which a run computes once; None where it computes all each
    time. Needs no weights."""
    partition = cut(model.backbone, why_off)
    if isinstance(partition, Decision):
        return None
    boundary, _ = find_boundary(model, partition)
    return (partition, boundary) if boundary else None


class AboveBoundary:
    """Lets a model's own forward compute what lies above a plan's boundary."""

    def __init__(self, model: Adaptable, plan: TokenPlan, precision: str, device: torch.device) -> None:
        assert plan.partition is not None
        self.model, self.plan, self.precision, self.device = model, plan, precision, device
        self.partition, self.boundary = plan.partition, plan.boundary
        self._twins = Twins(model.backbone) if plan.twins else None
        self._adapters = AdapterKernels(model.backbone) if plan.adapters else None

    @contextmanager
    def __call__(self, entering: Tensor | None) -> Iterator[None]:
        """Inside, the backbone goes on from the states (B, T, D) that enter there; None: it computes all."""
        with ExitStack() as stack:
            if self._twins is not None:
                stack.enter_context(self._twins.in_place())
            if self._adapters is not None:
                stack.enter_context(self._adapters.in_place())
            if entering is None:
                stack.enter_context(without_kv_cache(self.partition.model))
            else:
                stack.enter_context(self.partition.upper(self.boundary)).hidden_states = entering
            stack.enter_context(autocast(self.precision, self.device))
            yield

    def of_length(self, length: int) -> Tensor:
        """A number that depends on all states of a made-up text, for counting."""
        ids = torch.full((1, length), 3, device=self.device)
        width = hidden_width(self.model.backbone.config)
        entering = torch.zeros(1, length, width, device=self.device) if self.plan.cached == "states" else None
        with self(entering):
            return self.model.states_of(ids, None).float().sum()


def token_lower_pass(
    spec: RunSpec, plan: TokenPlan, model: Adaptable, device: torch.device, cache: CacheSettings
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


# -- the check ---------------------------------------------------------------------------------------

Outcome = tuple[Tensor, list[Tensor]]  # losses or logits, and the gradients of what trains


def how_differs(
    found: Callable[[], Outcome], expected: Callable[[], Outcome], tolerance: float, precision: str, what: str
) -> str | None:
    """How the one differs from the other by more than rounding; None where it does not. `what` the outcomes are of."""
    try:
        (values, gradients), (right, right_gradients) = found(), expected()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a model's own code says to a shortcut that is not for it
        return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    off = float((values - right).abs().max()) / max(1.0, float(right.abs().max()))
    if not off <= tolerance:
        return f"{what} differ by {off:.1e} of the largest"
    return gradient_difference(gradients, right_gradients, precision)


# -- a run -------------------------------------------------------------------------------------------

ForwardT = TypeVar("ForwardT")


@dataclass(frozen=True)
class Ways:
    """What a task says of a run's texts and of its study's other methods."""

    plan: Callable[[], TokenPlan]
    texts: Callable[[TokenPlan], Mapping[str, Texts]]  # of every split
    boundary_of: Callable[[PretrainedConfig, str, Mapping[str, object]], int]  # of another method with its settings


def prepare_tokens(
    spec: RunSpec,
    model: Adaptable,
    plain: ForwardT,
    planned: Callable[[TokenPlan, Mapping[str, Filled]], tuple[ForwardT, Callable[[], str | None]]],
    ways: Ways,
    device: torch.device,
    timers: Timers,
    cache: CacheSettings,
) -> Prepared[ForwardT]:
    """The forward pass that the run's plan allows, and what is to be recorded of it.

    `planned` gives a forward pass by a plan, and what tells how it differs from the plain way. The training split's
    lower blocks count as phase `cache`, those of the other splits as `evaluate`. torch's random streams are left where
    they were.
    """
    notes: list[str] = []
    with random_streams_kept(device):
        with timers.phase("load"):
            plan = ways.plan()
        shortcuts: dict[str, JsonValue] = {"plan": spec.plan, "decisions": plan.reasons}
        if plan.partition is None:
            return Prepared(plain, shortcuts)
        filled = _filled(spec, model, plan, ways, device, timers, cache, notes) if plan.cached != "nothing" else {}
        if not filled:
            plan = replace(plan, cached="nothing", boundary=0)
        forward, difference = planned(plan, filled)
        with timers.phase("check"):
            why = difference()
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
    prepared = Prepared(forward, {**shortcuts, "used": used}, notes)
    if train is not None:
        prepared.charge(train)
    return prepared


def _filled(
    spec: RunSpec,
    model: Adaptable,
    plan: TokenPlan,
    ways: Ways,
    device: torch.device,
    timers: Timers,
    cache: CacheSettings,
    notes: list[str],
) -> dict[str, Filled]:
    """The states of every split that the plan keeps, with those that the study's other runs will want."""
    assert plan.partition is not None
    blocks, of_method = len(plan.partition), partial(ways.boundary_of, plan.partition.body.config)

    def others() -> list[Want]:
        return wants_at(boundaries_of(cache, of_method, notes), blocks, READ)

    with timers.phase("cache"):
        lower = token_lower_pass(spec, plan, model, device, cache)
    return fill_splits(lower, ways.texts(plan), plan.want, others, timers, notes)
