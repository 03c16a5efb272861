"""What a machine costs: a price by the hour, as a user writes it, and its power. Neither changes a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

SECONDS = {"s": 1, "min": 60, "h": 3600, "hour": 3600, "day": 86_400}
_CURRENCY = r"([^\W\d_]{1,4}|[$€£¥])?"
_PRICE = re.compile(rf"\s*{_CURRENCY}\s*(\d{{1,12}}(?:\.\d{{1,9}})?)\s*{_CURRENCY}\s*/\s*([a-z]+)\s*")
_POWER = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(k?)w?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Price:
    """Money for a second of the machine; `currency` is what the user wrote, or nothing."""

    by_second: float
    currency: str

    def of_seconds(self, seconds: float) -> float:
        return self.by_second * seconds

    def of_million(self, milliseconds: float) -> float:
        """Of a million answers that take so many milliseconds each."""
        return self.by_second * milliseconds * 1000


def parse_price(text: str) -> Price:
    """`2.50/h`, `2.50 EUR/h`, `$0.04/min`. Raises ValueError, in words, for anything else."""
    found = _PRICE.fullmatch(text)
    if found is None or found[4] not in SECONDS or (found[1] and found[3]):
        raise ValueError("write money by time, such as 2.50/h, 2.50 EUR/h or 0.04/min")
    return Price(float(found[2]) / SECONDS[found[4]], found[1] or found[3] or "")


def parse_power(text: str) -> float:
    """Watts of `65`, `65W` or `0.3 kW`. Raises ValueError, in words, for anything else."""
    found = _POWER.fullmatch(text)
    watts = float(found[1]) * (1000 if found[2] else 1) if found is not None else 0.0
    if watts <= 0:
        raise ValueError("write a power in watts, such as 65W or 0.3kW")
    return watts


def _readable_price(text: str) -> str:
    parse_price(text)
    return text


def _readable_power(text: str) -> str:
    parse_power(text)
    return text


# As a study holds them: what a user wrote, refused where it cannot be read.
WrittenPrice = Annotated[str, AfterValidator(_readable_price)]
WrittenPower = Annotated[str, AfterValidator(_readable_power)]
