"""What a task is: how its data are read, its model built, its loss formed and its answers judged.

Everything else (runs, training loop, costs, statistics, report) is the same for all tasks, and knows a task by these
methods alone. Importing this loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from whichtune.errors import SettingError
from whichtune.metrics import possible_metrics
from whichtune.registry import Registry, modules_of_folders

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from whichtune.data.sources import Usual
    from whichtune.data.streamed import TextFile
    from whichtune.measure.cost import Timers
    from whichtune.metrics.table import Answers
    from whichtune.models.loading import ModelInfo
    from whichtune.records.record import MetricsBySplit, RunRecord
    from whichtune.shortcuts.prepared import CacheSettings, Prepared
    from whichtune.study.data_settings import DataSettings
    from whichtune.study.spec import RunSpec, Study
    from whichtune.study.spec import Settings as RunSettings
    from whichtune.tasks.estimates import Estimate, Preview
    from whichtune.training.objective import CurveWatcher, EncodedData, Objective, TrainingForward
    from whichtune.training.streams import Streams
    from whichtune.training.trainer import Training


class Answering(Protocol):
    """A saved run that is ready to answer."""

    def __call__(self, texts: list[str], first: int = 0, /) -> pd.DataFrame:
        """`Task.predict`'s table of one text or more; sentences on a text count its row from `first`, rows before."""


class AnySplit(Protocol):
    """Examples of one split. What stands beside each text is the task's own."""

    @property
    def ids(self) -> list[str]: ...

    @property
    def texts(self) -> list[str]: ...

    def __len__(self) -> int: ...


class AnyDataset(Protocol):
    """Splits of examples, whatever their task. `labels` are the names of the classes, where there are any."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> list[str]: ...

    @property
    def splits(self) -> Mapping[str, AnySplit]: ...

    @property
    def fingerprint(self) -> str: ...

    def without_test(self) -> Self:
        """The same without its test split: all that a search for settings gets."""


DatasetT = TypeVar("DatasetT", bound=AnyDataset)
ModelT = TypeVar("ModelT", bound="torch.nn.Module")
EncodedT = TypeVar("EncodedT", bound="EncodedData")
ForwardT = TypeVar("ForwardT", bound="TrainingForward")


@dataclass(frozen=True)
class Judged:
    """What the evaluation of a run gives: figures, rows of predictions.parquet, and what to know of them."""

    metrics: MetricsBySplit
    predictions: pd.DataFrame
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outputs:
    """What the outputs (n, K) of a completed run's model are, for who has no task to ask.

    `names` of each; `thresholds` are probabilities from which on a label is given, none where one class is. A number in
    the targets' own unit is `mean + sd * output`; `ordered` are classes that it is the place of, once it is rounded.
    """

    names: tuple[str, ...]
    thresholds: tuple[float, ...] = ()
    mean: float = 0.0
    sd: float = 1.0
    ordered: tuple[str, ...] = ()


class NoTaskSettings(BaseModel):
    """A task without settings of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Task(ABC, Generic[DatasetT, ModelT, EncodedT, ForwardT]):
    """One kind of question. Instances are registered in TASKS and hold no state of a run.

    `like` names a task whose methods and baselines are for this one, too. `columns` are those that are read of the
    data. `answers` are what is judged, by every metric of the table that is computed from such answers. `unused` are
    settings of runs that mean nothing here: setting one is an error. `own_head` says that runs read the model's own
    output layer, which its files must have then. `default_methods` are compared where a study
    names none, `default_baselines` stand beside them.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    like: ClassVar[str | None] = None
    columns: ClassVar[Usual]
    answers: ClassVar[Answers]
    Settings: ClassVar[type[BaseModel]] = NoTaskSettings
    unused: ClassVar[tuple[str, ...]] = ()
    solves: ClassVar[bool] = False  # whether what trains can be fitted in closed form
    loss_of_rows: ClassVar[bool] = False  # its objective is a `RowLoss`: heads on one model's features train as one
    own_head: ClassVar[bool] = False
    default_methods: ClassVar[tuple[str, ...]] = ()
    default_baselines: ClassVar[tuple[str, ...]] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Scores of a split by which runs can be judged."""
        return tuple(metric.name for metric in possible_metrics(self.answers))

    @property
    def primary_metrics(self) -> tuple[str, ...]:
        """Those of `metrics` that a study can be decided by: shares of 1, since margins are in points."""
        from whichtune.metrics import METRICS

        return tuple(name for name in self.metrics if METRICS[name].unit == "points")

    @property
    def watched(self) -> tuple[str, ...]:
        """Figures of the curves by which training may be stopped."""
        return ("loss",)

    # -- before a run ------------------------------------------------------------------------------

    @abstractmethod
    def load(self, data: DataSettings) -> DatasetT:
        """Read, check and split the data. Raises DataError."""

    def examples(self, dataset: DatasetT) -> pd.DataFrame:
        """Validation and test examples, as they are kept beside a study's runs."""
        import pandas as pd

        answer = self.columns.answer
        tables = [
            pd.DataFrame(
                {
                    "split": name,
                    "example_id": part.ids,
                    "text": part.texts,
                    answer: getattr(part, f"{answer}s"),
                }
            )
            for name, part in dataset.splits.items()
            if name != "train"
        ]
        return pd.concat(tables, ignore_index=True)

    def baselines(self, study: Study) -> list[str]:
        """Rows to measure against where a study names none; one that is among its methods stands there."""
        methods = {entry.method for entry in [*study.methods, *study.runs]}
        return [name for name in self.default_baselines if name not in methods]

    @abstractmethod
    def primary_metric(self, dataset: DatasetT) -> str:
        """What `auto` means for these data: one of `metrics`."""

    @abstractmethod
    def resolve(self, settings: RunSettings, info: ModelInfo | None, where: str) -> Mapping[str, str | bool | None]:
        """Settings of a run whose defaults depend on the model. Raises SettingError for contradictions."""

    def check(self, spec: RunSpec, dataset: DatasetT, where: str) -> None:
        """Raise SettingError for a run that these data cannot make; `where` begins its sentence."""

    def settled(self, settings: BaseModel, metric: str) -> BaseModel:
        """The task's own settings, with the study's primary metric where they mean it. Raises SettingError where they
        cannot."""
        return settings

    def counted(self, spec: RunSpec, dataset: DatasetT) -> DatasetT:
        """The data without what the run's settings leave out."""
        return dataset

    @abstractmethod
    def estimate(self, spec: RunSpec, dataset: DatasetT, speed: float) -> Estimate:
        """What one run would take at `speed` operations a second, told without its weights."""

    @abstractmethod
    def preview(self, spec: RunSpec, dataset: DatasetT) -> Preview:
        """The plan of one run with its predicted operations and cache size."""

    # -- a run -------------------------------------------------------------------------------------

    @abstractmethod
    def build(self, spec: RunSpec, dataset: DatasetT) -> tuple[ModelT, PreTrainedTokenizerBase]:
        """The model with its method attached, in float32 on the CPU, and its tokenizer. Its `backbone` is a model of
        transformers, or of its kind."""

    @abstractmethod
    def encode(
        self, spec: RunSpec, dataset: DatasetT, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
    ) -> EncodedT:
        """The data as tokens."""

    @abstractmethod
    def prepare(
        self,
        spec: RunSpec,
        model: ModelT,
        encoded: EncodedT,
        device: torch.device,
        timers: Timers,
        cache: CacheSettings,
    ) -> Prepared:
        """The forward pass that the run's plan allows."""

    @abstractmethod
    def objective(self, spec: RunSpec, model: ModelT, forward: ForwardT) -> Objective:
        """What the training loop minimises."""

    def watcher(self, spec: RunSpec, model: ModelT, forward: ForwardT, streams: Streams) -> CurveWatcher | None:
        """What decides when the curves get a point, for runs that do not evaluate at the loop's own intervals."""
        return None

    def solve(self, spec: RunSpec, model: ModelT, forward: ForwardT, timers: Timers) -> Training:
        """Have the method fit the head in one go, where the task `solves`. Raises SettingError where it does not."""
        raise SettingError(f"Nothing is fitted in closed form for {self.name}: choose another method.")

    @abstractmethod
    def evaluate(
        self,
        spec: RunSpec,
        model: ModelT,
        forward: ForwardT,
        training: Training,
        tokenizer: PreTrainedTokenizerBase,
        timers: Timers,
    ) -> Judged:
        """Judge the trained model. What counts as evaluation is timed as phase `evaluate`.

        A draw of a search (its role says so) has no test split, and is judged on validation alone.
        """

    @abstractmethod
    def latencies(self, spec: RunSpec, model: ModelT, forward: ForwardT) -> dict[str, float]:
        """Costs of using the trained model on test examples. Called last: merging adapters moves the weights by
        rounding. Not called for a draw of a search."""

    @abstractmethod
    def notes(self, encoded: EncodedT) -> list[str]:
        """What a reader must know of how the data were encoded."""

    def room(self, encoded: EncodedT) -> dict[str, int | None] | None:
        """How the context was shared between text and target, for the record; None where there is no target."""
        return None

    @abstractmethod
    def fit_baseline(self, spec: RunSpec, dataset: DatasetT) -> FittedBaseline:
        """Fit a baseline row on the training split."""

    # -- after a run -------------------------------------------------------------------------------

    def text_file(self, spec: RunSpec, record: RunRecord, file: Path, text_column: str | None) -> TextFile:
        """New texts of a file, in the column that is named, or as the run's data have it. Raises DataError."""
        from whichtune.data.chats import COLUMNS
        from whichtune.data.streamed import TextFile
        from whichtune.data.tables import Inside

        usual = self.columns.texts
        if record.room and record.room.get("chat"):
            usual = tuple(sorted(usual, key=lambda name: name not in COLUMNS))
        inside = Inside(spec.data.sheet, spec.data.records, must=False)
        return TextFile(file, text_column or spec.data.text_column, usual, inside=inside)

    @abstractmethod
    def predict(self, spec: RunSpec, record: RunRecord, folder: Path, texts: list[str]) -> pd.DataFrame:
        """What a completed run, a baseline among them, makes of new texts: a table with column `text`, then
        `prediction`. The run's `folder` has what it saved."""

    def loaded(self, spec: RunSpec, record: RunRecord, folder: Path) -> Answering:
        """`predict` of one run, to be asked more than once: a task that can loads its model here, and once."""
        return lambda texts, first=0, /: self.predict(spec, record, folder, texts)

    def outputs(self, spec: RunSpec, record: RunRecord) -> Outputs:
        """What the outputs of a run's model are."""
        return Outputs(tuple(record.labels))

    def gives_again(self, spec: RunSpec, record: RunRecord, again: pd.DataFrame, recorded: pd.DataFrame) -> bool:
        """Whether `predict`'s table of a few test texts is what was recorded of them, rounding apart.

        Recorded numbers are places among the run's labels, if it has any.
        """
        numbers = record.labels and recorded["prediction"].dtype.kind == "i"
        names = [record.labels[place] if numbers else str(place) for place in recorded["prediction"]]
        return [str(answer) for answer in again["prediction"]] == names


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
    def save(self, folder: Path) -> None:
        """Write what is needed to have the baseline back."""


AnyTask = Task[Any, Any, Any, Any]  # a task whose own kinds of data and model are not known
TASKS: Registry[AnyTask] = Registry("task", modules_of_folders("whichtune.tasks", "task"), group="whichtune.tasks")
RegisteredT = TypeVar("RegisteredT", bound=AnyTask)


def register(cls: type[RegisteredT]) -> type[RegisteredT]:
    """Class decorator: store one instance in TASKS under the class's name."""
    TASKS.register(cls.name)(cls())
    return cls


class _OfTask(Protocol):
    """A study or a run."""

    @property
    def task(self) -> str: ...


def task_of(holder: _OfTask) -> AnyTask:
    """The task of a study or a run."""
    return TASKS[holder.task]
