"""The cost box: what each row costs to train and to use at a price that the reader types. The page computes it."""

from __future__ import annotations

from dataclasses import dataclass

from whichtune.report.cost_columns import machine_seconds, price_of, throughput_ms
from whichtune.report.study_table import row_id
from whichtune.report.view import View
from whichtune.wording import spoken_seconds

PREDICTIONS = 1_000_000  # a month, until the reader says otherwise


@dataclass(frozen=True)
class PricedRow:
    """Seconds of training alone, and milliseconds a text, in batches where these were timed."""

    label: str
    id: str
    seconds: float
    spoken: str
    milliseconds: float | None


@dataclass(frozen=True)
class PriceBox:
    """What the box begins with: a price an hour, where the study has one, and predictions a month."""

    hourly: float | None
    currency: str
    predictions: int
    study_seconds: float
    rows: list[PricedRow]


def price_box(view: View) -> PriceBox | None:
    """The box of a study; None where nothing was timed."""
    timed = [(row, row.cost("training_seconds")) for row in view.scored]
    rows = [
        PricedRow(row.label, row_id(view, row.label), seconds, spoken_seconds(seconds), throughput_ms(row))
        for row, seconds in timed
        if seconds is not None
    ]
    if not rows:
        return None
    price = price_of(view)
    return PriceBox(
        hourly=None if price is None else price.by_second * 3600,
        currency="" if price is None else price.currency,
        predictions=PREDICTIONS,
        study_seconds=machine_seconds(view),
        rows=rows,
    )
