"""In which order runs are made, and what those of one study can share: the same for every executor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from whichtune.methods import METHODS
from whichtune.runs.run import Sibling
from whichtune.study.roles import Role
from whichtune.study.run_settings import FREE_OF_COST
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

MOST_TOGETHER = 128  # runs whose heads are trained as one problem
# What a run's settings must be for that: its steps then follow from its rows, its rate and its decay alone.
OF_ONE_PROBLEM = {
    "plan": "auto",
    "weights": "pretrained",
    "precision": "float32",
    "base_precision": "float32",
    "head": "linear",
    "random_streams": "named",
    "early_stopping": "none",
    "batching": "shuffled",
    "accumulation_steps": 1,
    "part": None,
}


def well_ordered(specs: Sequence[RunSpec], at_a_time: int) -> list[RunSpec]:
    """The runs in the order to make them: as they stand, but with several at a time the long ones come early.

    Left for the end, one of them would run alone. The first runs stay, so that a study shows soon that it works.
    """
    if at_a_time == 1:
        return list(specs)

    def comes_late(spec: RunSpec) -> bool:
        return spec.role is Role.BASELINE or not METHODS[spec.method].deep

    return [*specs[:at_a_time], *sorted(specs[at_a_time:], key=comes_late)]


def siblings(specs: Sequence[RunSpec]) -> dict[str, list[Sibling]]:
    """By run id: methods, with their settings, of the runs that read the same texts by the same frozen model.

    What such runs need of the frozen blocks can be kept in one pass.
    """
    groups: dict[str, dict[str, Sibling]] = {}
    chosen = [spec for spec in specs if spec.role is not Role.BASELINE and spec.plan == "auto"]
    for spec in chosen:
        own = json.dumps([spec.method, spec.method_settings], sort_keys=True)
        groups.setdefault(shared_states(spec), {})[own] = (spec.method, spec.method_settings)
    return {spec.run_id: list(groups[shared_states(spec)].values()) for spec in chosen}


def pass_of(spec: RunSpec) -> str:
    """What runs call the pass through frozen blocks that one of them makes for all; nothing where a run shares none.

    Data and weights are in it by their content: 16 hex digits of a sha256.
    """
    if spec.role is Role.BASELINE or spec.plan != "auto":
        return ""
    told = f"{shared_states(spec)} {json.dumps(spec.fingerprints, sort_keys=True)}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def shared_states(spec: RunSpec) -> str:
    """What runs must have in common to share the states of frozen blocks."""
    names = ("model", "revision", "weights", "context_length", "precision", "causal_mask", "attend_to_padding")
    parts = [getattr(spec, name) for name in (*names, "padding", "token_position", "dropout", "device")]
    parts += [name for name in (spec.base_precision, f"states {spec.state_precision}") if "float32" not in name]
    return repr([spec.task, spec.task_settings, *parts, spec.data, spec.seed if spec.weights == "random" else None])


def problem_of(spec: RunSpec) -> str:
    """What runs call the problem that their heads are parts of: 16 hex digits of a sha256 of all that they have in
    common; nothing where a run is made alone."""
    if spec.role is Role.BASELINE or not _has_stackable_head(spec):
        return ""
    canonical = {name: value for name, value in spec.canonical().items() if name not in FREE_OF_COST}
    told = json.dumps([canonical, spec.model, spec.revision, spec.role, spec.fingerprints], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _has_stackable_head(spec: RunSpec) -> bool:
    """Whether a run trains a linear head alone, by steps that can be made for many at once."""
    method = METHODS[spec.method]
    by_steps = method.head_alone and not (method.fits_first or method.in_pairs or method.closed_form)
    plain = all(getattr(spec, name) == value for name, value in OF_ONE_PROBLEM.items())
    return by_steps and plain and task_of(spec).loss_of_rows
