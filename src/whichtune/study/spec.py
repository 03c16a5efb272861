"""What is to be run: a study, and the runs it expands to. Plain validated values, nothing computed.

`Settings` is the one list of factors.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from whichtune.study.constraints import WrittenConstraint
from whichtune.study.costs import WrittenCosts
from whichtune.study.data_settings import DataSettings
from whichtune.study.decide import WrittenDecide
from whichtune.study.entries import Pair as Pair
from whichtune.study.entries import RunEntry as RunEntry
from whichtune.study.frozen import Frozen
from whichtune.study.identity import canonical, run_id
from whichtune.study.numbers import WrittenJobs
from whichtune.study.plain import Plain, plain
from whichtune.study.price import WrittenPower, WrittenPrice
from whichtune.study.roles import Role
from whichtune.study.run_settings import ADDED_SETTINGS as ADDED_SETTINGS
from whichtune.study.run_settings import Settings as Settings
from whichtune.study.run_settings import TokenPosition as TokenPosition
from whichtune.study.spaces import Tuning

EMBEDDED = "embedded"
DEFAULT_TASK = "classification"


class RunSpec(Settings):
    """One run: one method with its settings, one seed. Everything `run_one` needs to know."""

    label: str
    role: Role = Role.RUN
    task: str = DEFAULT_TASK
    task_settings: dict[str, Plain] = {}
    data: DataSettings
    model: str
    revision: str | None = None
    remote_code: bool = False
    method: str
    method_settings: dict[str, Plain] = {}
    learning_rate_source: Literal["card", "set", "tuned"] | None = None
    tuned: list[str] = []  # settings that a search has chosen
    optimiser: Literal["adamw"] = "adamw"
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    plan: Literal["auto", "off"] = "auto"
    seed: int | None = None
    fingerprints: dict[str, str] = {}
    part: float | None = None  # share of its steps after which a trial of a search is judged and put aside
    goes_on_from: str | None = None  # id of the run that put the trial aside
    stopping_terms: dict[str, Plain] | None = None  # the study's, of a metric by which training is stopped

    @property
    def ignored_label(self) -> str | None:
        """The label whose texts are left out. The published script, whose streams `reference` repeats, takes the
        setting and never passes it to training."""
        return None if self.ignore_index is None or self.random_streams == "reference" else str(self.ignore_index)

    @property
    def run_id(self) -> str:
        """The run's identity: 16 hex digits."""
        return run_id(self, self.data)

    def canonical(self) -> dict[str, JsonValue]:
        """What the run's result depends on."""
        return canonical(self, self.data)


class Study(Frozen):
    """A grid of runs over one data set and one model. Load one with `load_study`, run it with `compare`."""

    name: str = Field(
        "study",
        min_length=1,
        description="the default folder's name, after `whichtune-`; where none is given it is that of data and model",
    )
    task: str = Field(
        DEFAULT_TASK,
        description="a label for each text, any number of labels for each (multilabel), a number for each text, a tag "
        "for each word (tagging), a text for each text, or a summary for each document: text_to_text with a template "
        "and baselines of its own",
    )
    data: DataSettings = DataSettings()
    model: str = Field(EMBEDDED, description="`embedded`, a Hub id, or a folder that `save_pretrained` wrote")
    models: list[str] = Field(
        [], description="several models instead of `model`, crossed with every line that names none of its own"
    )
    train_sizes: list[int | Literal["all"]] = Field(
        [],
        description="numbers of training texts to cross with every row, nested, `all` being the whole split; the "
        "recommendation is for the largest",
    )
    revision: str | None = Field(None, description="revision of a Hub model")
    remote_code: bool = Field(False, description="allow the model's own Python code from the Hub to run")
    settings: dict[str, Plain] = Field({}, description="settings shared by all runs; `METHOD.key` for one method's")
    methods: list[RunEntry] = Field([], description="methods to compare, each a name or a name with settings")
    factors: dict[str, list[Plain]] = Field({}, description="settings to cross with the methods")
    runs: list[RunEntry] = Field([], description="explicit runs, instead of or beside methods and factors")
    seeds: list[int] = Field([0, 1, 2], min_length=1, description="one run of each method for each seed")
    baselines: list[str] | None = Field(
        None,
        description="rows to measure against; null: those of the task, but for one that is among the study's methods",
    )
    baseline: str | None = Field(None, description="label that the others are compared with")
    pairs: list[Pair] = Field([], description="declared comparisons")
    primary_metric: str = Field(
        "auto",
        description="`auto`: accuracy, or macro F1 where the largest class exceeds 60 %; micro F1 for sets of "
        "labels; r2 for numbers; rougeL for "
        "written texts",
    )
    metrics: list[str] = Field([], description="more metrics to tell beside the primary one, see `docs/metrics.md`")
    precision_at_recall: float = Field(
        0.9, gt=0, le=1, description="the recall at which the metric `precision_at_recall` is told"
    )
    positive_class: str | None = Field(
        None,
        description="the class that `precision_at_recall` is of; null: of two classes the rarer one in training, of "
        "more the mean over classes",
    )
    cost_matrix: WrittenCosts = Field(
        None,
        description="what mistakes cost, for the metric `mean_cost`: a mapping of each true label to predicted labels "
        "and their costs",
    )
    margin: float = Field(
        1.0,
        gt=0,
        description="points of the primary metric that count as no difference; of a loss or a cost, percent of the "
        "best baseline's",
    )
    prior_seed_sd: float = Field(
        1.0, gt=0, description="points by which seeds are believed to scatter a score before any is seen"
    )
    prior_weight: float = Field(4.0, gt=0, description="seeds that this belief is worth")
    selection_cost: Literal[
        "training_seconds",
        "training_flops",
        "peak_memory_bytes",
        "trainable_parameters",
        "adapter_bytes",
        "inference_ms",
        "train_seconds",
        "flops",
    ] = Field(
        "training_seconds",
        description="the cost by which the recommended run is the cheapest; `train_seconds` and `flops` leave out, or "
        "count as it was paid, the pass through the frozen blocks that rows share",
    )
    require: list[WrittenConstraint] = Field(
        [],
        description="what a row must keep to be recommended, such as `inference_ms<=20` or `peak_memory<=2GB`; rows "
        "outside are shown and marked",
    )
    price: WrittenPrice | None = Field(
        None, description="what the machine costs, such as `2.50/h` or `2.50 EUR/h`: costs are then told in money, too"
    )
    power: WrittenPower | None = Field(
        None,
        description="the machine's power, such as `65W`, by which energy is estimated where it cannot be measured; "
        "null: 10 W for each thread used, 300 W with a GPU",
    )
    defaults: Literal[1, 2, 3, 4] = Field(
        4,
        description="edition of the defaults: the methods' learning rates, and since 4 bf16 on GPUs; a folder keeps "
        "the one that it was begun with",
    )
    decide: WrittenDecide = Field(
        None,
        description="begin with `seeds` and add more where they are needed, see below; true is short for `{}`",
    )
    tuning: Tuning | None = Field(
        None, description="search each line's settings on validation first, see below; a number is short for `draws`"
    )
    plan: Literal["auto", "off"] = Field("auto", description="`auto` computes only what is needed; `off` everything")
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    jobs: WrittenJobs = Field(
        1,
        description="runs made at a time; above 1 their times are those of a shared machine. `auto` is a run a GPU, "
        "`auto:2` two where their estimates fit",
    )
    texts: bool = Field(
        True, description="false keeps and shows no text of an example, and none that was written for one"
    )
    plugins: list[str] = Field(
        [],
        description="modules, or .py files beside the study, that register methods, tasks, metrics and the like; they "
        "are imported, so name only what you trust",
    )
    published: dict[str, Any] | None = Field(None, description="published figures to set beside the measured ones")

    @property
    def asked(self) -> frozenset[str]:
        """The metrics that the study names, and the cost of mistakes where it says what they cost."""
        named = {self.primary_metric, *self.metrics, *(pair.metric for pair in self.pairs if pair.metric)}
        return frozenset(named | ({"mean_cost"} if self.cost_matrix is not None else set()))

    @field_validator("tuning", mode="before")
    @classmethod
    def _number_of_draws(cls, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"draws": value}
        if value is not None and not isinstance(value, (dict, Tuning)):
            raise ValueError("write a number of draws, or a mapping with draws, budget, strategy, seed or spaces")
        return value

    @model_validator(mode="before")
    @classmethod
    def _seed_for_each_fold(cls, value: Any) -> Any:
        """Where a study says nothing of its seeds, one for each fold."""
        if not isinstance(value, dict) or value.get("seeds") is not None:
            return value
        data = value.get("data")
        folds = data.folds if isinstance(data, DataSettings) else data.get("folds") if isinstance(data, dict) else None
        fixed = data.fold if isinstance(data, DataSettings) else data.get("fold") if isinstance(data, dict) else None
        if isinstance(folds, int) and 2 <= folds <= 100 and fixed is None:
            return {**value, "seeds": list(range(folds))}
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: list[int]) -> list[int]:
        if len(set(value)) != len(value):
            raise ValueError("a seed is given twice: remove one")
        return value

    @field_validator("models")
    @classmethod
    def _distinct_models(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value) or not all(value):
            raise ValueError("name each model once")
        return value

    @field_validator("train_sizes")
    @classmethod
    def _sizes(cls, value: list[int | Literal["all"]]) -> list[int | Literal["all"]]:
        if len(set(value)) != len(value):
            raise ValueError("a size is given twice: remove one")
        if any(isinstance(size, int) and size < 2 for size in value):
            raise ValueError("a size is 2 or more, or `all`")
        return value

    @field_validator("published", mode="before")
    @classmethod
    def _plain_figures(cls, value: object) -> object:
        return plain(value)


def sha256_file(path: Path) -> str:
    """The sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
