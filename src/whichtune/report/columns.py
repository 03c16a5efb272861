"""The columns of a study's table: of every metric in its table, and of costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from whichtune.metrics import METRICS, Metric, Split
from whichtune.report import words
from whichtune.report.rows import TableRow
from whichtune.report.view import View
from whichtune.report.words import Show

SHARED_MARK = " †"  # beside seconds that were measured while other runs shared the machine


@dataclass(frozen=True)
class Column:
    """Figures of one kind: of a split, or where there is none a cost. `scale` and `digits` write its range.

    `timed`: a duration, which is marked where other runs shared the machine. `tail`: the figure of its 95th percentile.
    `of` works a cost out that is not recorded as it is shown, and `before` stands in front of it.
    """

    title: str
    figure: str
    show: Show
    split: Split | None = None
    scale: float = 1
    digits: int = 3
    timed: bool = False
    tail: str | None = None
    of: Callable[[TableRow], float | None] | None = None
    before: Callable[[TableRow], str] = lambda row: ""

    def value(self, row: TableRow) -> float | None:
        """The row's figure over its seeds, as it is recorded."""
        if self.of is not None:
            return self.of(row)
        return row.cost(self.figure) if self.split is None else row.mean(self.split, self.figure)

    def text(self, row: TableRow) -> str:
        value = self.value(row)
        shared = self.timed and value is not None and row.runs_at_once > 1
        before = "" if value is None else self.before(row)
        return before + self.show(value) + (SHARED_MARK if shared else "")

    def tail_text(self, row: TableRow) -> str:
        """`p95 4.1`; nothing where there is none."""
        value = None if self.tail is None else row.cost(self.tail)
        return "" if value is None else f"p95 {self.show(value)}"

    def ends(self, row: TableRow) -> tuple[float, float] | None:
        """The lowest and the highest seed of a figure of a split, as it is shown."""
        found = None if self.split is None else row.span(self.split, self.figure)
        return None if found is None else (self.scale * found[0], self.scale * found[1])


TRAINING = Column("train s", "training_seconds", words.seconds, timed=True)
COSTS = (
    Column("trainable parameters", "trainable_parameters", words.whole),
    TRAINING,
    Column("longest epoch s", "max_epoch_seconds", words.seconds, timed=True),
    Column("peak memory MiB", "peak_memory_bytes", words.mebibytes),
    Column("GFLOP", "training_flops", words.giga_operations),
)
STORED = Column("stored MiB", "adapter_bytes", words.mebibytes_fine)
EPOCHS = Column("epochs", "epochs", words.seconds)
LATENCY = Column("ms/text", "inference_ms", words.seconds, timed=True, tail="inference_ms_p95")
BATCH_LATENCY = Column(
    "ms/text in 32s", "inference_ms_batch_32", words.seconds, timed=True, tail="inference_ms_batch_32_p95"
)


def metric_column(metric: Metric, split: Split) -> Column:
    """A metric on a split: `test accuracy %`, `test loss`."""
    if metric.unit != "points":
        return Column(f"{split} {metric.title}", metric.name, words.loss, split, metric.scale, metric.digits)
    return Column(f"{split} {metric.title} %", metric.name, words.percent, split, metric.scale, metric.digits)


def score_columns(view: View, beside_loss: Iterable[Column] = ()) -> list[Column]:
    """Metrics on test, the test loss and what stands beside it, then metrics on validation and on train."""
    found: dict[Split, list[Column]] = {
        split: [metric_column(metric, split) for metric in view.metrics if split in metric.splits]
        for split in ("test", "validation", "train")
    }
    losses = [metric_column(METRICS["loss"], "test"), *beside_loss]
    if view.metric not in [column.figure for column in found["validation"]]:  # what decides is told of both
        found["validation"].append(metric_column(METRICS[view.metric], "validation"))
    return [*found["test"], *losses, *found["validation"], *found["train"]]


def has_stopping(view: View) -> bool:
    """Whether any run was trained with early stopping: how many epochs were run is then worth a column."""
    return any(run.stopping for run in view.summary.runs)
