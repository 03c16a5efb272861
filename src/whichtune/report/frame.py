"""A study's table as a pandas frame of numbers: one line a row of the study, for programs and notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.metrics import Split
from whichtune.report.cost_columns import money_columns
from whichtune.report.rows import TableRow
from whichtune.report.sections import page_of
from whichtune.report.view import View
from whichtune.stats.costs import COSTS

if TYPE_CHECKING:
    import pandas as pd

SPLIT_ORDER: tuple[Split, ...] = ("test", "validation", "train")
# Costs beside those that rows are judged by, as the records call them.
MORE_COSTS = ("inference_ms_merged", "inference_ms_batch_32_merged", "max_epoch_seconds", "training_joules", "epochs")
# What a study's price adds, in the order of `money_columns`.
MONEY = ("training_price", "price_per_million_texts")
COMPLETED, PARTIAL = "completed", "partial"


def row_status(row: TableRow) -> str:
    """`completed` where every run of the row is, `partial` where some are, else what became of the first."""
    if row.completed == row.runs:
        return COMPLETED
    return PARTIAL if row.completed else str(row.statuses[0])


def study_frame(view: View) -> pd.DataFrame:
    """One line a row of the study in the study's order; the index holds the rows' labels.

    Scores are shares of 1 and losses nats, means over seeds, as everywhere in the records; costs are medians over
    seeds in the records' own units. What is not there is missing (NaN, NA), and no column is left out for that.
    """
    import pandas as pd

    rows = view.rows
    labels = pd.Index([row.label for row in rows], name="row")
    verdict = view.verdict
    frame = pd.DataFrame(
        {
            "method": [row.method for row in rows],
            "role": [str(row.role) for row in rows],
            "status": [row_status(row) for row in rows],
            "recommended": [verdict is not None and row.label == verdict.recommended for row in rows],
            "seeds": [tuple(seed for seed in row.seeds if seed is not None) for row in rows],
            "runs": [row.runs for row in rows],
            "completed": [row.completed for row in rows],
        },
        index=labels,
    )
    numbers = {**_scores(view), **_intervals(view), **_costs(view)}
    floats = pd.DataFrame({name: pd.Series(values, index=labels, dtype="float64") for name, values in numbers.items()})
    whole = pd.DataFrame(
        {name: pd.Series(values, index=labels, dtype="Int64") for name, values in _places(view).items()}
    )
    return pd.concat([frame, whole, floats], axis=1)


def _scores(view: View) -> dict[str, list[float | None]]:
    """Every metric and the loss by split, `test_accuracy`; of written texts what stands beside the test loss, too."""
    names = [metric.name for metric in view.metrics]
    found = {
        f"{split}_{name}": [row.mean(split, name) for row in view.rows]
        for split in SPLIT_ORDER
        for name in dict.fromkeys([*names, "loss"])
    }
    beside = {f"{column.split}_{column.figure}": column for column in page_of(view).beside_loss}
    return found | {name: [column.value(row) for row in view.rows] for name, column in beside.items()}


def _intervals(view: View) -> dict[str, list[float | None]]:
    """Ends of the 95 % interval of the primary metric on test, on its own scale."""
    known = {figures.label: figures.interval for figures in view.method_figures}
    ends = [known.get(row.label) for row in view.rows]
    return {
        "interval_low": [None if both is None else both[0] for both in ends],
        "interval_high": [None if both is None else both[1] for both in ends],
    }


def _places(view: View) -> dict[str, list[int | None]]:
    """The range of ranks that is not ruled out, and the number of the tie."""
    judged = {} if view.verdict is None else {each.label: each for each in view.verdict.candidates}
    found = [judged.get(row.label) for row in view.rows]
    return {
        "rank_low": [None if each is None or each.ranks is None else min(each.ranks) for each in found],
        "rank_high": [None if each is None or each.ranks is None else max(each.ranks) for each in found],
        "tie_group": [None if each is None else each.tie_group for each in found],
    }


def _costs(view: View) -> dict[str, list[float | None]]:
    found = {name: [row.cost(name) for row in view.rows] for name in dict.fromkeys([*COSTS, *MORE_COSTS])}
    priced = zip(MONEY, money_columns(view), strict=False)  # there are none where the study states no price
    return found | {name: [column.value(row) for row in view.rows] for name, column in priced}
