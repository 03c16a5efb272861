"""What a task is: how its data are read, its model built, its loss formed and its answers judged.

Everything else (runs, training loop, costs, statistics, report) is the same for all tasks. Importing this
loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from whichtune.registry import Registry

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from whichtune.data.pairs import PairDataset
    from whichtune.data.splits import Dataset
    from whichtune.measure.cost import Timers
    from whichtune.models.loading import ModelInfo
    from whichtune.records.record import MetricsBySplit
    from whichtune.shortcuts.prepared import CacheSettings, Prepared
    from whichtune.study.spec import DataSettings, RunSpec
    from whichtune.study.spec import Settings as RunSettings
    from whichtune.training.objective import CurveWatcher, Objective
    from whichtune.training.streams import Streams
    from whichtune.training.trainer import Training

    AnyDataset = Dataset | PairDataset


@dataclass(frozen=True)
class Judged:
    """What the evaluation of a run gives: figures, rows of predictions.parquet, and what to know of them."""

    metrics: MetricsBySplit
    predictions: pd.DataFrame
    notes: list[str] = field(default_factory=list)


class NoTaskSettings(BaseModel):
    """A task without settings of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Task(ABC):
    """One kind of question. Instances are registered in TASKS and hold no state of a run.

    `metrics` are the scores of a split, from 0 to 1, by which runs can be judged;
    `watched` are figures of the curves, by which training may be stopped.
    `unused` are settings of runs that mean nothing here: setting one is an error. `default_methods` are compared
    where a study names none.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    answer_column: ClassVar[str]  # what stands beside a text: "label" or "target"
    Settings: ClassVar[type[BaseModel]] = NoTaskSettings
    metrics: ClassVar[tuple[str, ...]]
    watched: ClassVar[tuple[str, ...]]
    unused: ClassVar[tuple[str, ...]] = ()
    default_methods: ClassVar[tuple[str, ...]] = ()

    # -- before a run ------------------------------------------------------------------------------

    @abstractmethod
    def load(self, data: DataSettings) -> AnyDataset:
        """Read, check and split the data. Raises DataError."""

    def examples(self, dataset: Any) -> pd.DataFrame:
        """Validation and test examples, as they are kept beside a study's runs."""
        import pandas as pd

        parts = {name: part for name, part in dataset.splits.items() if name != "train"}
        answer = self.answer_column
        columns = {"example_id": "ids", "text": "texts", answer: f"{answer}s"}
        return pd.concat(
            [
                pd.DataFrame({"split": name, **{column: getattr(part, field) for column, field in columns.items()}})
                for name, part in parts.items()
            ],
            ignore_index=True,
        )

    @abstractmethod
    def primary_metric(self, dataset: Any) -> str:
        """What `auto` means for these data: one of `metrics`."""

    @abstractmethod
    def resolve(self, settings: RunSettings, info: ModelInfo | None, where: str) -> dict[str, Any]:
        """Settings of a run whose defaults depend on the model. Raises SettingError for contradictions."""

    # -- a run -------------------------------------------------------------------------------------

    @abstractmethod
    def build(self, spec: RunSpec, dataset: Any) -> tuple[Any, Any]:
        """The model with its method attached, in float32 on the CPU, and its tokenizer."""

    @abstractmethod
    def encode(self, spec: RunSpec, dataset: Any, tokenizer: Any, config: Any) -> Any:
        """The data as tokens."""

    @abstractmethod
    def prepare(
        self, spec: RunSpec, model: Any, encoded: Any, device: torch.device, timers: Timers, cache: CacheSettings
    ) -> Prepared:
        """The forward pass that the run's plan allows."""

    @abstractmethod
    def objective(self, spec: RunSpec, model: Any, forward: Any) -> Objective:
        """What the training loop minimises."""

    def watcher(self, spec: RunSpec, model: Any, forward: Any, streams: Streams) -> CurveWatcher | None:
        """What decides when the curves get a point, for runs that do not evaluate at the loop's own intervals."""
        return None

    def solve(self, model: Any, forward: Any, timers: Timers) -> Training:
        """Fit what trains in closed form, for methods that are in `closed_form` and list this task among theirs."""
        raise NotImplementedError(f"{self.name} has nothing to fit in closed form")

    @abstractmethod
    def evaluate(
        self, spec: RunSpec, model: Any, forward: Any, training: Any, tokenizer: Any, timers: Timers
    ) -> Judged:
        """Judge the trained model. What counts as evaluation is timed as phase `evaluate`.

        A draw of a search (its role says so) has no test split, and is judged on validation alone.
        """

    @abstractmethod
    def latencies(self, spec: RunSpec, model: Any, forward: Any) -> dict[str, float]:
        """Costs of using the trained model on test examples. Called last: merging adapters moves the weights by
        rounding. Not called for a draw of a search."""

    @abstractmethod
    def notes(self, encoded: Any) -> list[str]:
        """What a reader must know of how the data were encoded."""

    def room(self, encoded: Any) -> dict[str, int | None] | None:
        """How the context was shared between text and target, for the record; None where there is no target."""
        return None

    @abstractmethod
    def fit_baseline(self, spec: RunSpec, dataset: Any) -> FittedBaseline:
        """Fit a baseline row on the training split."""


class FittedBaseline(ABC):
    """A baseline of a run, ready to be judged."""

    parameters: int

    @abstractmethod
    def evaluate(self) -> Judged:
        """Metrics and rows of predictions."""

    @abstractmethod
    def answer(self, rows: list[int]) -> None:
        """Answer these test rows, to be timed."""

    @abstractmethod
    def save(self, folder: Any) -> None:
        """Write what is needed to have the baseline back."""


TASKS: Registry[Task] = Registry(
    "task", ["whichtune.tasks.classification.task", "whichtune.tasks.text.task"], group="whichtune.tasks"
)


def register(cls: type[Task]) -> type[Task]:
    """Class decorator: store one instance in TASKS under the class's name."""
    TASKS.register(cls.name)(cls())
    return cls


def task_of(holder: Any) -> Task:
    """The task of a study or a run."""
    return TASKS[holder.task]
