"""In which order runs are made, and what those of one study can share: the same for every executor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from whichtune.methods import METHODS
from whichtune.runs.run import Sibling
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec


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
    parts += [spec.base_precision] if spec.base_precision != "float32" else []
    return repr([spec.task, spec.task_settings, *parts, spec.data, spec.seed if spec.weights == "random" else None])
