"""From a plan to the forward pass of a run: the cache is filled, the route checked, the costs noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from whichtune.measure.cost import Timers
from whichtune.models.heads import Classifier
from whichtune.shortcuts.boundary import Plan, boundary_of_method, make_plan, texts_of
from whichtune.shortcuts.cache import ActivationCache, CacheUnavailable, default_root
from whichtune.shortcuts.features import FeatureComputer, Route
from whichtune.shortcuts.frozen_blocks import Filled, LowerPass, Want
from whichtune.shortcuts.planned import PlanFailedError, PlannedForward
from whichtune.study.spec import RunSpec
from whichtune.training.forward import PlainForward, autocast

if TYPE_CHECKING:
    from whichtune.data.encoding import Encoded


@dataclass(frozen=True)
class CacheSettings:
    """Where the cache is, and the bytes it may take (None: a quarter of the free disk).

    `siblings`: methods with their settings that the study runs on the same texts, model and read position. A
    pass over the lower blocks keeps what they will want, too.
    """

    folder: Path | str | None = None
    limit: int | None = None
    siblings: Sequence[tuple[str, dict[str, Any]]] = ()

    def open(self) -> ActivationCache:
        return ActivationCache(Path(self.folder) if self.folder else default_root(), self.limit)


@dataclass
class Prepared:
    """A run's forward pass with what its record says of it."""

    forward: Any  # the task's: a Forward, or a TextForward
    shortcuts: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of the training split's lower blocks, as paid
    seconds_alone: float = 0.0
    flops: int = 0
    flops_alone: int = 0

    def charge(self, train: Filled) -> None:
        """Count the training split's lower blocks as a cost of this run: as paid, and as alone."""
        self.seconds, self.flops = train.seconds, train.flops
        self.seconds_alone, self.flops_alone = train.seconds_alone, train.flops_alone


def prepare_forward(
    spec: RunSpec,
    classifier: Classifier,
    encoded: Encoded,
    device: torch.device,
    timers: Timers,
    settings: CacheSettings,
) -> Prepared:
    """The forward pass that the run's plan allows. The training split's lower blocks count as phase `cache`,
    those of the other splits as `evaluate`. torch's random streams are left where they were."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        return _prepare(spec, classifier, encoded, device, timers, settings)


def _prepare(
    spec: RunSpec,
    classifier: Classifier,
    encoded: Encoded,
    device: torch.device,
    timers: Timers,
    settings: CacheSettings,
) -> Prepared:
    plain = PlainForward(classifier, encoded, device, spec.precision)
    with timers.phase("load"):
        plan = make_plan(spec, classifier, encoded)
    shortcuts: dict[str, Any] = {"plan": spec.plan, "decisions": plan.reasons}
    if plan.is_off:
        return Prepared(plain, shortcuts)
    notes: list[str] = []
    states, cached = _fill(spec, plan, classifier, encoded, device, timers, settings, notes)
    route = plan.route if cached == plan.cached else replace(plan.route, boundary=0)
    assert plan.partition is not None
    forward = PlannedForward(
        classifier,
        encoded,
        device,
        spec.precision,
        plan.partition,
        {name: texts_of(plan, encoded, name) for name in encoded.splits},
        plan.position,
        route,
        states,
        features_cached=cached == "features",
    )
    with timers.phase("load"):
        try:
            forward.settle()
        except PlanFailedError as error:
            notes.append(str(error))
            return Prepared(plain, {**shortcuts, "used": {"plain": True}}, notes)
    notes += forward.notes
    train = states.get("train")
    used: dict[str, Any] = {
        "texts": plan.text_rule,
        "cached": cached,
        "cache_made": train is not None and train.made,
        "boundary": forward.route.boundary,
        "last_block": "not computed" if cached == "features" else forward.route.pruning or "full",
        "packing": forward.route.masks or "none",
        "activation_kernel": forward.route.twins,
        "fused_optimiser": True,
    }
    if forward.refused:
        used["not_for_this_model"] = forward.refused
    prepared = Prepared(forward, {**shortcuts, "used": used}, notes)
    if train is not None and (forward.route.boundary or cached == "features"):
        prepared.charge(train)
    return prepared


def _fill(
    spec: RunSpec,
    plan: Plan,
    classifier: Classifier,
    encoded: Encoded,
    device: torch.device,
    timers: Timers,
    settings: CacheSettings,
    notes: list[str],
) -> tuple[dict[str, Filled], str]:
    """States of every split from the cache, and what they are; nothing where the cache cannot hold them."""
    if plan.cached == "nothing":
        return {}, "nothing"
    with timers.phase("cache"):
        lower = lower_pass(spec, plan, classifier, device, settings.open())
    want = Want(plan.boundary, plan.position if plan.cached == "features" else None)

    def others() -> list[Want]:
        return wants_of(plan, settings, notes)

    states: dict[str, Filled] = {}
    try:
        for name in encoded.splits:
            phase, counting = "cache" if name == "train" else "evaluate", lower.counting_seconds
            with timers.phase(phase):
                states[name] = lower.fill(name, texts_of(plan, encoded, name), want, others)
            timers.seconds[phase] -= lower.counting_seconds - counting
    except CacheUnavailable as error:
        notes.append(f"The cache is not used: {error}; lower blocks are computed at every step.")
        return {}, "nothing"
    return states, plan.cached


def wants_of(plan: Plan, settings: CacheSettings, notes: list[str]) -> list[Want]:
    """What the other runs of the study will want of the same texts; `notes` tells of those it cannot be said of."""
    assert plan.partition is not None
    blocks = len(plan.partition)
    body: Any = plan.partition.body
    wants = set()
    for method, own in settings.siblings:
        try:
            boundary = boundary_of_method(method, own, body.config)
        except Exception as error:  # of a model's own code; that run then makes its own pass
            notes.append(f"The lower blocks are not computed for {method} too ({type(error).__name__}: {error}).")
            continue
        if 0 < boundary <= blocks:
            wants.add(Want(boundary, plan.position if boundary == blocks else None))
    return sorted(wants, key=lambda want: want.depth)


def lower_pass(
    spec: RunSpec, plan: Plan, classifier: Classifier, device: torch.device, cache: ActivationCache
) -> LowerPass:
    """What computes and caches states below the plan's boundary."""
    assert plan.partition is not None
    partition = plan.partition
    padded = plan.text_rule == "padded"

    def computer_above(boundary: int) -> FeatureComputer:
        route = Route(boundary=boundary)
        return FeatureComputer(classifier, partition, route, plan.position, padded)

    body: Any = partition.body
    return LowerPass(
        partition=partition,
        computer_above=computer_above,
        cache=cache,
        how={
            "precision": spec.precision,
            "device": device.type,
            "causal": plan.causal,
            "twins": plan.route.twins,
        },
        precision=lambda: autocast(spec.precision, device),
        device=device,
        width=int(body.config.hidden_size),
        twins=plan.route.twins,
        model_name=spec.model if spec.weights == "pretrained" else f"{spec.model} ({spec.weights})",
    )
