"""What a search may try: the ranges of settings, the `tuning` part of a study, and its budget.

Every value is found from a quantile in [0, 1), so that a draw is the same on every machine and in every range
it is the same place: two methods' third draws of the learning rate lie equally far up their own ranges.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from whichtune.study.explain import words_of
from whichtune.study.numbers import LARGEST, number_of
from whichtune.study.plain import Plain
from whichtune.wording import shown

USUAL_DRAWS = 6
MOST_DRAWS = 100  # of a line, where a budget alone says how many
LEAST_HALVED = 2  # draws whose cost successive halving can share out
DIGITS = 3  # significant, so that a drawn value can be read, and no machine's last bit matters
EDGE = 0.1  # share of a range, at either end, that counts as its edge


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Range(_Frozen):
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> _Range:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError("low and high must be finite numbers")
        if max(abs(self.low), abs(self.high)) > LARGEST:
            raise ValueError(f"low and high must be within {LARGEST}")
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self

    def place(self, value: float) -> float:
        """Where a value lies in the range, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)


class Uniform(_Range):
    """Numbers of which each is as likely as another."""

    scale: Literal["linear"] = "linear"

    def value(self, quantile: float) -> float:
        return _rounded(self.low + quantile * (self.high - self.low))

    def words(self) -> str:
        return f"{self.low:g} to {self.high:g}"


class LogUniform(_Range):
    """Positive numbers of which each order of magnitude is as likely as another."""

    scale: Literal["log"] = "log"

    @model_validator(mode="after")
    def _positive(self) -> LogUniform:
        if self.low <= 0:
            raise ValueError(f"low ({self.low:g}) must be above 0 on a log scale")
        return self

    def value(self, quantile: float) -> float:
        low, high = math.log(self.low), math.log(self.high)
        return _rounded(math.exp(low + quantile * (high - low)))

    def place(self, value: float) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)

    def words(self) -> str:
        return f"{self.low:g} to {self.high:g}, log"


class Integers(_Range):
    """Whole numbers from `low` to `high`, both included."""

    scale: Literal["int"] = "int"

    @model_validator(mode="after")
    def _whole(self) -> Integers:
        if self.low != int(self.low) or self.high != int(self.high):
            raise ValueError("low and high must be whole numbers on the scale int")
        return self

    def value(self, quantile: float) -> int:
        return int(self.low) + math.floor(quantile * (int(self.high) - int(self.low) + 1))

    def words(self) -> str:
        return f"{self.low:g} to {self.high:g}, whole"


class Choice(_Frozen):
    """One of a few values, each as likely as another."""

    scale: Literal["choice"] = "choice"
    choices: list[Plain] = Field(min_length=1)

    def value(self, quantile: float) -> JsonValue:
        return self.choices[math.floor(quantile * len(self.choices))]

    def words(self) -> str:
        return f"one of {', '.join(map(str, self.choices))}"


Space = Uniform | LogUniform | Integers | Choice
Spaces = Mapping[str, Space]
KINDS: dict[str, type[Uniform | LogUniform | Integers | Choice]] = {
    "linear": Uniform,
    "log": LogUniform,
    "int": Integers,
    "choice": Choice,
}


def uniform(low: float, high: float) -> Uniform:
    return Uniform(low=low, high=high)


def log_uniform(low: float, high: float) -> LogUniform:
    return LogUniform(low=low, high=high)


def integers(low: int, high: int) -> Integers:
    return Integers(low=low, high=high)


def choice(*values: JsonValue) -> Choice:
    return Choice(choices=list(values))


def usual_spaces(rate: float) -> dict[str, Space]:
    """What is searched for every method that is trained by steps: its learning rate within a factor of ten of
    `rate`, the weight decay, and the share of warm-up (no more than 20 %: beyond, little is left at full rate)."""
    return {
        "learning_rate": log_uniform(_rounded(rate / 10), _rounded(rate * 10)),
        "weight_decay": log_uniform(0.001, 0.1),
        "warmup_ratio": uniform(0.0, 0.2),
    }


def edge_of(space: Space, value: JsonValue) -> Literal["low", "high"] | None:
    """Whether a value lies in the outer tenth of its range: a wider range may hold a better one. A choice has no
    ends."""
    if isinstance(space, Choice) or not isinstance(value, (int, float)):
        return None
    at = space.place(value)
    if EDGE < at < 1 - EDGE:
        return None
    return "low" if at <= EDGE else "high"


def read_space(value: object) -> Space:
    """A space from plain values: `{low, high, scale}`, `{choices: [...]}`, or a list of choices.

    Raises ValueError with what is wrong.
    """
    if isinstance(value, (Uniform, LogUniform, Integers, Choice)):
        return value
    if isinstance(value, list):
        value = {"choices": value}
    if not isinstance(value, Mapping):
        raise ValueError("is no space: write {low: ..., high: ..., scale: log}, or a list of choices")
    scale = value.get("scale", "choice" if "choices" in value else "linear")
    if not isinstance(scale, str) or scale not in KINDS:
        raise ValueError(f"has no scale '{shown(scale)}': choose {', '.join(KINDS)}")
    kind = KINDS[scale]
    known = {name for name in kind.model_fields if name != "scale"}
    unknown, missing = set(value) - known - {"scale"}, known - set(value)
    if unknown or missing:
        problem = (
            f"has no '{shown(min(map(str, unknown)))}'"
            if unknown
            else f"needs {' and '.join(sorted(missing, reverse=True))}"
        )
        raise ValueError(f"{problem} on the scale {scale}")
    try:
        given = {key: [_number(v) for v in x] if isinstance(x, list) else x for key, x in value.items()}
        return kind.model_validate(given)
    except ValueError as error:
        raise ValueError(_reason(error)) from error


def _reason(error: ValueError) -> str:
    """The first of pydantic's messages, without its preamble."""
    message, place = str(error), ""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        message = words_of(first)
        place = f"{first['loc'][0]}: " if first["loc"] else ""
    return f"is wrong: {place}{message[:1].lower()}{message[1:]}"


def _number(value: object) -> object:
    """YAML 1.1 takes 5e-4 for text, because it has no point."""
    return number_of(value) if isinstance(value, str) else value


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


class Budget(NamedTuple):
    """What each line may spend: `runs` (multiples of one run of the median line), `flops` or `seconds`."""

    amount: float
    unit: Literal["runs", "flops", "seconds"]


SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
NUMBER = r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?)"


def parse_budget(text: str) -> Budget:
    """`20x`, `2e15flops`, `10min`, `90s`, `1.5h`. Raises ValueError for anything else."""
    found = re.fullmatch(rf"{NUMBER}\s*(x|flops?|[a-z]+)", text.strip().lower())
    if found is not None and (amount := float(found[1])) > 0 and math.isfinite(amount):
        unit = found[2] if found[2] in SECONDS else found[2].removesuffix("s")
        if unit == "x":
            return Budget(amount, "runs")
        if unit == "flop":
            return Budget(amount, "flops")
        if unit in SECONDS:
            return Budget(amount * SECONDS[unit], "seconds")
    raise ValueError("write 20x (runs), 2e15flops, or a time such as 90s, 10min or 1.5h")


Strategy = Literal["random", "halving"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)


class Tuning(_Frozen):
    """The search that comes before a study: `draws` configurations of each line, judged on validation."""

    draws: int | None = Field(
        None,
        ge=1,
        le=1000,
        description=f"configurations to try of each line; null: {USUAL_DRAWS}, or with a budget at most {MOST_DRAWS}",
    )
    budget: str | None = Field(
        None,
        description="what each line may spend on its draws: `20x` (the training operations of 20 runs of the study's "
        "median line), `2e15flops`, or measured training time (`90s`, `10min`, `1.5h`); draws are taken in order "
        "until it is spent, at least one",
    )
    strategy: Strategy = Field(
        "random",
        description="`random` trains every draw to its end; `halving` begins more at the same cost, drops the worse "
        "ones after a quarter and after a half of their steps, and goes on with the others",
    )
    seed: int = Field(0, ge=0, le=LARGEST, description="seed of the draws; they train with the study's first seed")
    spaces: dict[str, dict[str, Space | None]] = Field(
        {},
        description="ranges by method or by a line's label: `{full: {learning_rate: {low: 1.0e-5, high: 1.0e-3, "
        "scale: log}}}`, scales `log`, `linear` and `int`, or a list of choices; null leaves a setting out",
    )

    @field_validator("budget")
    @classmethod
    def _known_budget(cls, value: str | None) -> str | None:
        if value is not None:
            parse_budget(value)
        return value

    @model_validator(mode="after")
    def _can_be_halved(self) -> Tuning:
        if self.strategy == "halving":
            if self.draws is not None and self.draws < LEAST_HALVED:
                raise ValueError(f"halving drops draws against others, and needs draws: {LEAST_HALVED} or more")
            if self.most is not None and self.most.unit == "seconds":
                raise ValueError(
                    "halving plans its rungs beforehand, which a budget in seconds does not allow: give draws, 20x or "
                    "2e15flops"
                )
        return self

    @field_validator("spaces", mode="before")
    @classmethod
    def _readable(cls, value: object) -> dict[str, dict[str, Space | None]]:
        if not isinstance(value, Mapping):
            raise ValueError("must be a mapping of methods or labels to ranges")
        found: dict[str, dict[str, Space | None]] = {}
        for line, spaces in value.items():
            if not isinstance(spaces, Mapping):
                raise ValueError(f"what stands under '{line}' must be a mapping of settings to ranges")
            found[line] = {}
            for setting, space in spaces.items():
                try:
                    found[line][setting] = None if space is None else read_space(space)
                except ValueError as error:
                    raise ValueError(f"the space of {setting} for '{line}' {error}") from error
        return found

    def only(self, lines: Collection[str | None]) -> Tuning:
        """The same search with the ranges of these methods and labels alone."""
        return self.model_copy(update={"spaces": {k: v for k, v in self.spaces.items() if k in lines}})

    @property
    def limit(self) -> int:
        """Most draws of a line."""
        return self.draws or (USUAL_DRAWS if self.budget is None else MOST_DRAWS)

    @property
    def most(self) -> Budget | None:
        return None if self.budget is None else parse_budget(self.budget)
