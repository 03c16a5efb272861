"""The settings that a record says its run had. Records of an earlier version lack those that came later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from whichtune.study.data_settings import ADDED_DATA_SETTINGS
from whichtune.study.spec import ADDED_SETTINGS

APART = ("method_settings", "data", "learning_rate_source", "tuned")


@dataclass(frozen=True)
class Recorded:
    """What a run was made with. `settings` are by name in the order of the record, `own` are the method's."""

    settings: dict[str, JsonValue]
    own: dict[str, JsonValue]
    data: JsonValue
    learning_rate_source: str | None
    tuned: frozenset[str]

    @classmethod
    def of(cls, spec: Mapping[str, JsonValue]) -> Recorded:
        """From a record's `spec`; what came after it is at its default."""
        filled = {**ADDED_SETTINGS, **spec}
        own, tuned = filled.get("method_settings"), filled.get("tuned")
        return cls(
            settings={name: value for name, value in filled.items() if name not in APART},
            own=own if isinstance(own, dict) else {},
            data={**ADDED_DATA_SETTINGS, **data} if isinstance(data := filled.get("data"), dict) else data,
            learning_rate_source=_text(filled.get("learning_rate_source")),
            tuned=frozenset(str(name) for name in tuned) if isinstance(tuned, list) else frozenset(),
        )

    @property
    def method(self) -> str | None:
        return _text(self.settings.get("method"))

    @property
    def effective_batch(self) -> int | None:
        """Texts of one optimiser step."""
        size, steps = self.settings.get("batch_size"), self.settings.get("accumulation_steps")
        return size * (steps if isinstance(steps, int) and steps else 1) if isinstance(size, int) else None

    @property
    def stops_early(self) -> str:
        """What early stopping watched, or `none`."""
        return str(self.settings["early_stopping"])


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None
