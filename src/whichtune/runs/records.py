"""What a run leaves: its record, and the larger things that are stored beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from pydantic import JsonValue

from whichtune.records.record import Cost, CurvePoint, Environment, MetricsBySplit, RunRecord, RunStatus, Stopping
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

Sibling = tuple[str, dict[str, JsonValue]]  # a method and its settings


class CacheFields(TypedDict, total=False):
    """Where the states of frozen blocks are kept, and for whom else: the fields of `shortcuts.CacheSettings`."""

    folder: Path | str | None
    limit: int | None
    siblings: Sequence[Sibling]
    shared: str


class RecordFields(TypedDict, total=False):
    """What a record has beside what follows from its spec."""

    metrics: MetricsBySplit
    cost: Cost
    stopping: Stopping | None
    error: str | None
    error_kind: str | None
    notes: list[str]
    shortcuts: dict[str, JsonValue]
    environment: Environment
    context_length: int
    room: dict[str, int | None] | None


@dataclass
class RunResult:
    """A record with the larger things that are stored beside it."""

    record: RunRecord
    curves: list[CurvePoint] = field(default_factory=list)
    predictions: pd.DataFrame | None = None
    save: Callable[[Path], None] | None = None  # writes the trained state into a folder
    seconds: float | None = None  # that the run took so far, where it is not its process that began with it


def told_spec(spec: RunSpec) -> dict[str, JsonValue]:
    """The spec as a record tells it; of the parts of a trial where the run is one."""
    of_trials = {name for name in ("part", "goes_on_from") if getattr(spec, name) is None}
    return spec.model_dump(mode="json", exclude={"fingerprints", "label", "role", *of_trials})


def base_record(spec: RunSpec, status: RunStatus, **fields: Unpack[RecordFields]) -> RunRecord:
    """A record with everything that follows from the spec alone."""
    return RunRecord(
        run_id=spec.run_id,
        label=spec.label,
        role=spec.role,
        status=status,
        seed=spec.seed,
        method=spec.method,
        spec=told_spec(spec),
        fingerprints=spec.fingerprints,
        **fields,
    )
