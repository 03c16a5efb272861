"""From a plan to the forward pass of a run: the cache is filled, the route checked, the costs noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from pydantic import JsonValue
from torch import Tensor

from whichtune.errors import WhichtuneError
from whichtune.measure.cost import Timers
from whichtune.models.heads import Classifier
from whichtune.shortcuts.boundary import BasicPlan, Plan, boundary_of_method, make_plan, texts_of
from whichtune.shortcuts.cache import ActivationCache, CacheUnavailable
from whichtune.shortcuts.features import FeatureComputer, Route
from whichtune.shortcuts.frozen_blocks import Conditions, Filled, LowerPass, keep_on
from whichtune.shortcuts.kept import default_root
from whichtune.shortcuts.planned import PlanFailedError, PlannedForward
from whichtune.shortcuts.self_check import note_or_error
from whichtune.shortcuts.texts import Texts, Want
from whichtune.study.spec import RunSpec
from whichtune.training.forward import Forward, PlainForward, autocast

if TYPE_CHECKING:
    from whichtune.data.encoding import Encoded

Sibling = tuple[str, Mapping[str, object]]  # a method and its settings
ForwardT = TypeVar("ForwardT")


@dataclass(frozen=True)
class CacheSettings:
    """Where the cache is, and the bytes it may take (None: a quarter of the free disk); `shared` as there.

    `siblings`: methods with their settings that the study runs on the same texts, model and read position. A
    pass over the lower blocks keeps what they will want, too. `conditions` tells what a pass is measured under.
    """

    folder: Path | str | None = None
    limit: int | None = None
    siblings: Sequence[Sibling] = ()
    shared: str = ""
    conditions: Callable[[], Conditions] = Conditions

    def open(self) -> ActivationCache:
        return ActivationCache(Path(self.folder) if self.folder else default_root(), self.limit, self.shared)


@dataclass
class Prepared(Generic[ForwardT]):
    """A run's forward pass, of the kind that its task has, with what its record says of it."""

    forward: ForwardT
    shortcuts: dict[str, JsonValue]
    notes: list[str] = field(default_factory=list)
    seconds_alone: float = 0.0  # of the training split's lower blocks; what was paid stands in the phase `cache`
    flops: int = 0
    flops_alone: int = 0
    conditions: Conditions = field(default_factory=lambda: Conditions(joules=0.0))  # of the pass, whoever made it

    def charge(self, train: Filled) -> None:
        """Count the training split's lower blocks as a cost of this run: as paid, and as alone."""
        alone = train.alone
        self.seconds_alone, self.flops_alone, self.flops = alone.seconds, alone.flops, train.flops
        self.conditions = Conditions(alone.peak_memory, alone.runs_at_once, alone.joules)


def prepare_forward(
    spec: RunSpec, classifier: Classifier, encoded: Encoded, device: torch.device, timers: Timers, cache: CacheSettings
) -> Prepared[Forward]:
    """The forward pass that the run's plan allows. The training split's lower blocks count as phase `cache`,
    those of the other splits as `evaluate`. torch's random streams are left where they were."""
    plain, notes = PlainForward(classifier, encoded, device, spec.precision), list[str]()
    with random_streams_kept(device):
        with timers.phase("load"):
            plan = make_plan(spec, classifier, encoded)
        shortcuts: dict[str, JsonValue] = {"plan": spec.plan, "decisions": plan.reasons}
        if plan.partition is None:
            return Prepared(plain, shortcuts)
        states: dict[str, Filled] = {}
        if plan.cached != "nothing":
            with timers.phase("cache"):
                lower = lower_pass(spec, plan, classifier, device, cache)
            states = fill_splits(
                lower,
                {name: texts_of(plan, encoded, name) for name in encoded.splits},
                Want(plan.boundary, plan.position if plan.cached == "features" else None),
                lambda: _others(plan, cache, notes),
                timers,
                notes,
            )
            with timers.phase("cache"):
                keep_on(device, states.values())
        forward = _planned(spec, plan, classifier, encoded, device, states)
        with timers.phase("check"):
            try:
                forward.settle()
            except PlanFailedError as error:
                notes.append(str(error))
                return Prepared(plain, {**shortcuts, "used": {"plain": True}}, notes)
    prepared = Prepared[Forward](forward, {**shortcuts, "used": _used(plan, forward)}, notes + forward.notes)
    if "train" in states and (forward.route.boundary or forward.features_cached):
        prepared.charge(states["train"])
    return prepared


def _planned(
    spec: RunSpec,
    plan: Plan,
    classifier: Classifier,
    encoded: Encoded,
    device: torch.device,
    states: Mapping[str, Filled],
) -> PlannedForward:
    """The forward pass of a plan; without states nothing is taken from the cache."""
    assert plan.partition is not None
    return PlannedForward(
        classifier,
        encoded,
        device,
        spec.precision,
        plan.partition,
        {name: texts_of(plan, encoded, name) for name in encoded.splits},
        plan.position,
        plan.route if states else replace(plan.route, boundary=0),
        states,
        features_cached=bool(states) and plan.cached == "features",
        state_precision=spec.state_precision,
    )


def _used(plan: Plan, forward: PlannedForward) -> dict[str, JsonValue]:
    """What of the plan is used, for the record."""
    train = forward.states.get("train")
    used: dict[str, JsonValue] = {
        "texts": plan.text_rule,
        "cached": plan.cached if forward.states else "nothing",
        "cache_made": train is not None and train.made,
        "boundary": forward.route.boundary,
        **({"states": forward.state_precision} if forward.reads_rounded_states else {}),
        "last_block": "not computed" if forward.features_cached else forward.route.pruning or "full",
        "packing": forward.route.masks or "none",
        "activation_kernel": forward.route.twins,
        "adapter_kernel": forward.route.adapters,
        "fused_optimiser": True,
    }
    if forward.refused:
        used["not_for_this_model"] = [*forward.refused]
    return used


def _others(plan: Plan, cache: CacheSettings, notes: list[str]) -> list[Want]:
    """What the other runs of the study will want of the same texts."""
    assert plan.partition is not None
    config, blocks = plan.partition.body.config, len(plan.partition)
    boundaries = boundaries_of(cache, lambda method, own: boundary_of_method(method, own, config), notes)
    return wants_at(boundaries, blocks, plan.position)


def lower_pass(
    spec: RunSpec, plan: Plan, classifier: Classifier, device: torch.device, cache: CacheSettings
) -> LowerPass:
    """What computes and caches states below the plan's boundary."""
    assert plan.partition is not None
    partition = plan.partition

    def computer_above(boundary: int) -> FeatureComputer:
        route = Route(boundary=boundary)
        return FeatureComputer(classifier, partition, route, plan.position, plan.text_rule == "padded")

    return new_lower_pass(spec, plan, computer_above, plan.causal, plan.route.twins, device, cache)


# -- what the tasks share --------------------------------------------------------------------------


def random_streams_kept(device: torch.device) -> AbstractContextManager[None]:
    """Inside, draws change nothing outside: torch's random streams are put back."""
    return torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else [])


def fill_splits(
    lower: LowerPass,
    texts: Mapping[str, Texts],
    want: Want,
    others: Callable[[], Iterable[Want]],
    timers: Timers,
    notes: list[str],
) -> dict[str, Filled]:
    """States of every split for `want` from the cache; a pass that must be made keeps what `others()` names, too.

    None, with a note, where the cache cannot hold them.
    """
    states: dict[str, Filled] = {}
    try:
        for name, part in texts.items():
            phase, counting = "cache" if name == "train" else "evaluate", lower.counting_seconds
            with timers.phase(phase):
                states[name] = lower.fill(name, part, want, others)
            timers.seconds[phase] -= lower.counting_seconds - counting
    except CacheUnavailable as error:
        notes.append(f"The cache is not used: {error}; lower blocks are computed at every step.")
        states = {}
    if lower.cache.damaged:
        one = len(lower.cache.damaged) == 1
        which, they = ("An entry", "it was") if one else (f"{len(lower.cache.damaged)} entries", "they were")
        what = "made anew" if states else "not used"
        notes.append(
            f"{which} of the cache did not hold what had been written to {'it' if one else 'them'}: {they} {what}."
        )
    return states


def boundaries_of(
    cache: CacheSettings, boundary_of: Callable[[str, Mapping[str, object]], int], notes: list[str]
) -> set[int]:
    """The boundaries of the study's other methods; `notes` tells of those that a model's own code fails for."""
    boundaries = set()
    for method, own in cache.siblings:
        try:
            boundaries.add(boundary_of(method, own))
        except WhichtuneError:
            continue  # its row tells why it cannot be made, or it is seen in a model with weights alone: its own pass
        except Exception as error:  # of a model's own code; that run then makes its own pass
            why = f"{type(error).__name__}: {error}"
            notes.append(note_or_error(f"The lower blocks are not computed for {method} too ({why}).", error))
    return boundaries


def wants_at(boundaries: Iterable[int], blocks: int, position: str) -> list[Want]:
    """What runs with these boundaries want: states there, or above the last block what is read at `position`."""
    return [
        Want(boundary, position if boundary == blocks else None)
        for boundary in sorted(boundaries)
        if 0 < boundary <= blocks
    ]


def new_lower_pass(
    spec: RunSpec,
    plan: BasicPlan,
    computer_above: Callable[[int], Callable[..., Tensor]],
    causal: bool,
    twins: bool,
    device: torch.device,
    cache: CacheSettings,
) -> LowerPass:
    """The pass over a plan's frozen blocks in the run's precision."""
    assert plan.partition is not None
    return LowerPass(
        partition=plan.partition,
        computer_above=computer_above,
        cache=cache.open(),
        how={"precision": spec.precision, "device": device.type, "causal": causal, "twins": twins, **_kept_in(spec)},
        dtype=torch.bfloat16 if spec.state_precision == "bf16" else torch.float32,
        precision=lambda: autocast(spec.precision, device),
        device=device,
        twins=twins,
        conditions=cache.conditions,
        model_name=spec.model if spec.weights == "pretrained" else f"{spec.model} ({spec.weights})",
    )


def _kept_in(spec: RunSpec) -> dict[str, str]:
    """What sets entries of rounded states apart by name."""
    return {} if spec.state_precision == "float32" else {"kept_in": spec.state_precision}
