"""What a row must keep to be recommended: `inference_ms<=20`, `peak_memory<=2GB`. Plain text in, an answer out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from whichtune.registry import did_you_mean
from whichtune.wording import shown

_TIMES = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_SIZES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}
_COUNTS = {"k": 1e3, "m": 1e6, "b": 1e9}
_MILLISECONDS = {unit: 1000 * seconds for unit, seconds in _TIMES.items()}


@dataclass(frozen=True)
class _Kind:
    """A cost that can be limited: the recorded figure, the units it may be written in, and how it is told."""

    cost: str
    units: Mapping[str, float]
    unit: str
    divisor: float = 1.0

    def told(self, value: float) -> str:
        return f"{value / self.divisor:,.4g} {self.unit}".rstrip()


_BYTES = (_SIZES, "MB", 1e6)
KINDS: dict[str, _Kind] = {
    **{
        name: _Kind(name, _MILLISECONDS, "ms")
        for name in ("inference_ms", "inference_ms_p95", "inference_ms_batch_32", "inference_ms_batch_32_p95")
    },
    **{name: _Kind("training_seconds", _TIMES, "s") for name in ("training_seconds", "training_time")},
    **{name: _Kind("peak_memory_bytes", *_BYTES) for name in ("peak_memory", "peak_memory_bytes")},
    **{name: _Kind("adapter_bytes", *_BYTES) for name in ("stored_bytes", "adapter_bytes")},
    "trainable_parameters": _Kind("trainable_parameters", _COUNTS, ""),
    "training_flops": _Kind("training_flops", {}, ""),
}
_NUMBER = r"\d{1,18}(?:\.\d{1,18})?(?:e[+-]?\d{1,2})?"
_WRITTEN = re.compile(rf"\s*(\w{{1,60}})\s*(<=|≤|<)\s*({_NUMBER})\s*([a-z]*)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Constraint:
    """A cost and the most that it may be, in the unit of the record."""

    name: str
    limit: float
    strict: bool = False

    @property
    def cost(self) -> str:
        """The name of the figure in a run's record."""
        return KINDS[self.name].cost

    def fault(self, value: float | None) -> str | None:
        """How a row's figure breaks it, in words; None where it keeps it. What is not known is not kept."""
        kind = KINDS[self.name]
        if value is None:
            return f"its {self.name} is not known"
        broken = value >= self.limit if self.strict else value > self.limit
        over = "not below" if self.strict else "above"
        return f"{self.name} {kind.told(value)} is {over} {kind.told(self.limit)}" if broken else None


def parse_constraint(text: str) -> Constraint:
    """`NAME<=NUMBER[UNIT]`. Raises ValueError, in words, for anything else and for a cost that is none."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError("write a cost and the most it may be, such as inference_ms<=20 or peak_memory<=2GB")
    name, sign, number, unit = found.groups()
    if name not in KINDS:
        raise ValueError(f"there is no cost '{shown(name)}': {did_you_mean(name, KINDS)}")
    units = KINDS[name].units
    if unit and unit.lower() not in units:
        usual = f"write {', '.join(units)} or a plain number" if units else "write a plain number"
        raise ValueError(f"'{shown(unit)}' is no unit of {name}: {usual}")
    return Constraint(name, float(number) * (units[unit.lower()] if unit else 1.0), sign == "<")


def violations(costs: Mapping[str, float | None], require: Iterable[str]) -> list[str]:
    """What a row's costs break of what a study requires, in words; none where the row may be recommended."""
    constraints = [parse_constraint(text) for text in require]
    return [fault for each in constraints if (fault := each.fault(costs.get(each.cost))) is not None]


def _readable(text: str) -> str:
    parse_constraint(text)
    return text


WrittenConstraint = Annotated[str, AfterValidator(_readable)]  # what a user wrote, refused where it cannot be read
