"""What others published of two rows, as a study file gives it."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import ConfigDict, RootModel, model_validator

from whichtune.study.plain import Plain

Direction = Literal["better", "worse", "equal"]  # of the first against the second


class Published(RootModel[dict[str, Plain]]):
    """Published figures of a pair. Keys that mean nothing here are kept, and all are written as they were given."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _readable(self) -> Published:
        for key in ("a", "b", "time_ratio"):
            if not isinstance(self.root.get(key), (int, float, type(None))):
                raise ValueError(f"{key} must be a number")
        if self.root.get("direction") not in (*get_args(Direction), None):
            raise ValueError(f"direction must be {', '.join(get_args(Direction))}, or null where nothing was claimed")
        return self

    def __bool__(self) -> bool:
        return bool(self.root)

    @property
    def a(self) -> float | None:
        """The first one's figure, in percent."""
        return self._number("a")

    @property
    def b(self) -> float | None:
        """The second one's figure, in percent."""
        return self._number("b")

    @property
    def time_ratio(self) -> float | None:
        """The first one's training time divided by the second one's."""
        return self._number("time_ratio")

    @property
    def figures(self) -> tuple[float, float] | None:
        """Both figures, where both were published."""
        return None if self.a is None or self.b is None else (self.a, self.b)

    @property
    def no_direction(self) -> bool:
        """Whether it is said that the claim is not about which is better."""
        return "direction" in self.root and self.root["direction"] is None

    @property
    def direction(self) -> Direction | None:
        """What was published of a against b; None where nothing is said. Where no direction is given, the figures
        say it."""
        if "direction" not in self.root and self.figures is not None:
            gap = self.figures[0] - self.figures[1]
            return "equal" if gap == 0 else "better" if gap > 0 else "worse"
        given = self.root.get("direction")
        return next((known for known in get_args(Direction) if known == given), None)

    def _number(self, key: str) -> float | None:
        value = self.root.get(key)
        return value if isinstance(value, (int, float)) else None
