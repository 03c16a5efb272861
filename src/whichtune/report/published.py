"""Published figures as a study holds them, however they were written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from whichtune.metrics import METRICS
from whichtune.records.record import SPLITS
from whichtune.report.view import View

# Short names that presets give costs.
SHORT_COSTS = {"minutes": "train_minutes", "steps": "optimiser_steps"}


@dataclass(frozen=True)
class PublishedRow:
    """One published row: its figures (scores in percent, times in minutes) by names such as `test_accuracy`.

    `reproduced` is None where nothing is said of it. `training_loss` is a published curve, by optimiser step.
    """

    label: str
    figures: dict[str, float]
    reproduced: bool | None = None
    why_not: str | None = None
    reasons: list[str] = field(default_factory=list)
    training_loss: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Published:
    """What was published of a study's rows, and where. `bar_charts`: as bars, which the report then draws, too."""

    rows: dict[str, PublishedRow]
    source: str = ""
    url: str = ""
    device: str | None = None
    unit: str | None = None
    notes: list[str] = field(default_factory=list)
    bar_charts: bool = False


def published_of(view: View) -> Published | None:
    """The published figures of a study; None where it has none."""
    return read_published(view.study.published, view.main.name)


def read_published(value: object, main: str) -> Published | None:
    """Published figures from plain values. `main` is the metric that `train`, `validation` and `test` are short for."""
    if not isinstance(value, Mapping):
        return None
    rows = value.get("rows")
    if isinstance(rows, Sequence) and not isinstance(rows, str):
        found = [_row(row["label"], row) for row in rows if isinstance(row, Mapping) and "label" in row]
    elif isinstance(rows, Mapping):  # as presets hold them: label to figures under short names
        found = [_row(label, _in_full(row, main)) for label, row in rows.items() if isinstance(row, Mapping)]
    else:
        found = [_row(label, row) for label, row in value.items() if isinstance(row, Mapping)]
    notes = value.get("notes")
    return Published(
        rows={row.label: row for row in found},
        source=_text(value.get("source")) or "",
        url=_text(value.get("url")) or "",
        device=_text(value.get("device")),
        unit=_text(value.get("unit")),
        notes=[str(note) for note in notes] if isinstance(notes, list) else [],
        bar_charts=value.get("bar_charts") is True,
    )


def _row(label: object, row: Mapping[str, object]) -> PublishedRow:
    reproduced, curve, reasons = row.get("reproduced"), row.get("training_loss"), row.get("reasons")
    points = sorted((int(at), float(loss)) for at, loss in curve.items()) if isinstance(curve, Mapping) else []
    return PublishedRow(
        label=str(label),
        figures={str(key): float(value) for key, value in row.items() if _is_figure(value)},
        reproduced=None if reproduced is None else bool(reproduced),
        why_not=_text(row.get("why_not")),
        reasons=[str(reason) for reason in reasons] if isinstance(reasons, list) else [],
        training_loss=points,
    )


def _is_figure(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _in_full(row: Mapping[str, object], main: str) -> dict[str, object]:
    """A preset's row with names that say the split and the metric."""
    names: dict[str, str] = {
        **{split: f"{split}_{main}" for split in SPLITS},
        **{name: f"test_{name}" for name in METRICS},
        **SHORT_COSTS,
    }
    return {names.get(str(key), str(key)): value for key, value in row.items()}
