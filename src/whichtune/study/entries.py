"""Lines of a study, and the comparisons that it declares."""

from __future__ import annotations

from pydantic import Field, model_validator

from whichtune.study.frozen import Frozen
from whichtune.study.plain import Plain
from whichtune.study.published import Published


class RunEntry(Frozen):
    """One line of a study's `runs` (or `methods`): a method under a label, with what differs from the rest."""

    method: str
    label: str | None = None
    settings: dict[str, Plain] = {}

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        """`lora`, or `{method: lora, lora_rank: 8}` with settings beside the method."""
        if isinstance(value, str):
            return {"method": value}
        if isinstance(value, dict) and "settings" not in value:
            rest = {k: v for k, v in value.items() if k not in ("method", "label")}
            return {**{k: value[k] for k in ("method", "label") if k in value}, "settings": rest}
        if not isinstance(value, (dict, RunEntry)):
            raise ValueError("must be a method's name, or a mapping with `method: NAME` and its settings")
        return value


class Pair(Frozen):
    """A declared comparison: `a` against `b`, differing in `factor`, with what was claimed of it. `metric` where it is
    about another than the study's."""

    a: str
    b: str
    factor: str | None = None
    claim: str | None = None
    published: Published | None = None
    metric: str | None = Field(None, description="what is compared; default: the study's primary metric")
