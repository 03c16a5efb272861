"""Costs that are told by what a study says of its machine: money by its price, and energy by its power where none was
measured. They are worked out when a report is drawn, so that another price makes no run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from whichtune.records.record import RunRecord
from whichtune.report import words
from whichtune.report.columns import BATCH_LATENCY, COSTS, LATENCY, STORED, Column
from whichtune.report.rows import TableRow
from whichtune.report.view import View
from whichtune.stats.costs import seconds_of_run
from whichtune.study.price import Price, parse_power, parse_price
from whichtune.wording import listing

WATT_HOUR = 3600.0  # joules
THREAD_WATTS, GPU_WATTS = 10.0, 300.0  # where a study states no power; notes say so
ESTIMATED = "≈ "


def cost_columns(view: View, uses: Sequence[Column] = ()) -> list[Column]:
    """Every cost in the order of tables; `uses` are columns of the task before the latency."""
    return [*COSTS, energy_column(view), STORED, *uses, LATENCY, BATCH_LATENCY, *lost(view), *money_columns(view)]


def lost(view: View) -> list[Column]:
    """What the rows' models have lost as language models, where the study names a text to tell it by."""

    def more(row: TableRow) -> float | None:
        after, before = row.cost("retention_loss"), row.cost("retention_loss_before")
        return None if after is None or before is None else after - before

    if all(row.cost("retention_loss") is None for row in view.rows):
        return []
    return [Column("language loss +nats", "retention_loss", words.loss, of=more)]


# -- money -----------------------------------------------------------------------------------------


def price_of(view: View) -> Price | None:
    """What the machine costs; None where the study does not say."""
    return None if view.study.price is None else parse_price(view.study.price)


def money_columns(view: View) -> list[Column]:
    """The price of a run's training and of a million answers, where the study says what its machine costs."""
    price = price_of(view)
    if price is None:
        return []
    unit = price.currency or "price"

    def training(row: TableRow) -> float | None:
        return _times(row.cost("training_seconds"), price.of_seconds)

    def million(row: TableRow) -> float | None:
        return _times(throughput_ms(row), price.of_million)

    return [
        Column(f"train {unit}", "training_seconds", words.money, of=training, timed=True),
        Column(f"{unit}/M texts", BATCH_LATENCY.figure, words.money, of=million, timed=True),
    ]


def throughput_ms(row: TableRow) -> float | None:
    """Milliseconds a text in batches, or alone where no batches were timed."""
    batch = row.cost(BATCH_LATENCY.figure)
    return row.cost(LATENCY.figure) if batch is None else batch


def _times(value: float | None, price: Callable[[float], float]) -> float | None:
    return None if value is None else price(value)


def machine_seconds(view: View) -> float:
    """Seconds of the machine that the study's completed runs and its search took, each run its share where several were
    made at a time."""
    runs = {run.run_id: run for run in view.done}
    searched = view.summary.tuning.lines if view.summary.tuning is not None else []
    return sum(map(_seconds_paid, runs.values())) + sum(line.spent_seconds or 0.0 for line in searched)


def _seconds_paid(run: RunRecord) -> float:
    return (seconds_of_run(run.cost) or 0.0) / (run.environment.jobs if run.environment is not None else 1)


def money_notes(view: View) -> list[str]:
    """What the study took, in money, and what the columns of money are."""
    price = price_of(view)
    if price is None:
        return []
    unit = f" {price.currency}" if price.currency else ""
    seconds = machine_seconds(view)
    return [
        f"At {view.study.price} the whole study took {words.money(price.of_seconds(seconds))}{unit} "
        f"({words.seconds(seconds)} s of the machine). A row's price is that of training alone; a million texts are "
        "answered in batches of 32 where these were timed."
    ]


# -- energy ----------------------------------------------------------------------------------------


def energy_column(view: View) -> Column:
    """Watt-hours of training alone: measured, or estimated and marked so."""
    return Column(
        "energy Wh",
        "training_joules",
        words.seconds,
        of=lambda row: _times(joules_of(view, row), lambda joules: joules / WATT_HOUR),
        before=lambda row: ESTIMATED if row.cost("training_joules") is None else "",
    )


def joules_of(view: View, row: TableRow) -> float | None:
    """Joules of a row's training alone: as they were measured, or else the machine's power for as long as its
    operations take at the study's median speed; a row without operations is taken by its time."""
    measured = row.cost("training_joules")
    if measured is not None:
        return measured
    operations, speed = row.cost("training_flops"), _speed(view)
    seconds = row.cost("training_seconds") if operations is None or speed is None else operations / speed
    return None if seconds is None else seconds * watts_of(view, row)


def _speed(view: View) -> float | None:
    """Median operations a second of the study's trained rows."""
    pairs = [(row.cost("training_flops"), row.cost("training_seconds")) for row in view.rows]
    known = [operations / seconds for operations, seconds in pairs if operations and seconds]
    return median(known) if known else None


def watts_of(view: View, row: TableRow) -> float:
    """The power that a row's energy is estimated with."""
    if view.study.power is not None:
        return parse_power(view.study.power)
    made = [run.environment for run in row.done if run.environment is not None]
    if any(one.device != "cpu" for one in made):
        return GPU_WATTS
    return THREAD_WATTS * max((one.threads for one in made), default=1)


def energy_notes(view: View) -> list[str]:
    """How energy was estimated, where it could not be measured."""
    rows = [row for row in view.rows if row.done and row.cost("training_joules") is None]
    if not rows or all(joules_of(view, row) is None for row in rows):
        return []
    watts = listing([f"{value:g} W" for value in sorted({watts_of(view, row) for row in rows})], "or")
    usual = f"{THREAD_WATTS:g} W for each thread used, {GPU_WATTS:g} W with a GPU; state yours with --power"
    power = f"the stated {watts}" if view.study.power is not None else f"{watts} ({usual})"
    speed = _speed(view)
    how = (
        "training time" if speed is None else f"training operations at the study's median of {speed / 1e9:,.3g} GFLOP/s"
    )
    return [f"{ESTIMATED.strip()} Energy is estimated, not measured: {how}, at {power}."]
