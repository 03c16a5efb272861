"""What is to be run: a study, and the runs it expands to. Plain validated values, nothing computed.

`Settings` is the one list of factors; the settings reference in the documentation is generated from it.
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
from whichtune.study.identity import canonical, later_defaults, run_id
from whichtune.study.numbers import WrittenJobs
from whichtune.study.plain import Plain, plain
from whichtune.study.price import WrittenPower, WrittenPrice
from whichtune.study.roles import Role
from whichtune.study.spaces import Tuning

TokenPosition = Literal["first", "last", "last_nonpad", "mean", "mean_nonpad"]
EMBEDDED = "embedded"
DEFAULT_TASK = "classification"


class Settings(Frozen):
    """Every factor of a run that a study can set, with its default."""

    token_position: TokenPosition | None = Field(
        None,
        description="which position's hidden state the head reads; default `last_nonpad` for decoders, "
        "`mean_nonpad` for encoders",
    )
    head: Literal["linear", "native"] = Field(
        "linear",
        description="one `linear` layer on that state, or the `native` head of the family's class for sequences",
    )
    context_length: int | Literal["longest", "model"] = Field(
        "longest",
        description="tokens a text may have: `longest` training example, the `model`'s own, or a number",
    )
    long_texts_keep: Literal["head", "tail", "both"] = Field(
        "head",
        description="what is kept of a text longer than the context: its beginning (`head`), its end (`tail`), or half "
        "of each (`both`); the tokenizer's special tokens stay",
    )
    fields_template: str | None = Field(
        None,
        description="how several text columns become one text, `{column}` standing for each; null: as the model's "
        "family pairs texts, or, where it does not (decoders), `column: {column}` a line each",
    )
    padding: Literal["dynamic", "right", "none"] | None = Field(
        None,
        description="`dynamic` pads to the longest text of the batch, `right` always to the context length, "
        "`none` computes each text alone; default `dynamic`, or `right` where padding is read or attended to",
    )
    attend_to_padding: bool = Field(False, description="let real tokens attend to padding (no attention mask)")
    causal_mask: bool = Field(True, description="false lets a decoder's tokens see later ones")
    weights: Literal["pretrained", "random"] = Field(
        "pretrained", description="`random` builds the model from its configuration alone"
    )
    dropout: float | Literal["model"] = Field(
        0.0,
        description="probability for all of the model's dropout layers; `model` keeps the checkpoint's own",
    )
    epochs: int = Field(3, ge=1, description="passes over the training split")
    max_steps: int | None = Field(None, ge=1, description="stop after this many optimiser steps; null: by epochs")
    batch_size: int = Field(16, ge=1, description="texts in one forward pass")
    batching: Literal["shuffled", "bucketed"] = Field(
        "shuffled",
        description="`bucketed`: texts of similar length share a training batch, which leaves less padding, and the "
        "batches come in shuffled order; the same for every method, but another order than `shuffled`",
    )
    accumulation_steps: int = Field(
        1,
        ge=1,
        description="batches in one optimiser step; equals one large batch exactly, an epoch's tail included",
    )
    drop_last: bool = Field(False, description="leave out an epoch's last batch when it is not full")
    learning_rate: float | None = Field(None, gt=0, description="default: the method's own, from its card")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decoupled decay, on every trained parameter")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="AdamW's decay of the second moment")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "linear", description="learning rate after warm-up: constant, or falling to 0 at the last step"
    )
    warmup_steps: int | None = Field(None, ge=0, description="steps of linear warm-up; null: by `warmup_ratio`")
    warmup_ratio: float = Field(0.06, ge=0, le=1, description="share of the steps that is warm-up")
    gradient_clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no clipping")
    ignore_index: int | str | None = Field(
        None,
        description="a label, as the data have it, whose texts are left out: of training, fits, scores and predictions",
    )
    evaluation_interval: int | Literal["epoch"] = Field(
        "epoch", description="optimiser steps between two points of the curves"
    )
    evaluation_at_epoch_ends: bool = Field(
        False,
        description="a point of the curves at the end of every epoch too, where `evaluation_interval` is a number",
    )
    evaluation_batches: int | None = Field(
        None, ge=1, description="batches of validation at each point of the curves; null: all of it"
    )
    early_stopping: str = Field(
        "none",
        description="stop when the validation loss, or a validation score (`primary`: the study's primary metric), no "
        "longer improves, and restore the weights of the best point of the curves",
    )
    patience: int = Field(
        2, ge=1, description="early stopping: points of the curves in a row without improvement before training stops"
    )
    min_delta: float = Field(
        0.0, ge=0, description="early stopping: least improvement that counts, in nats of loss or as a share of 1"
    )
    precision: Literal["float32", "bf16", "fp16"] = Field(
        "float32",
        description="autocast of all passes, cached lower blocks included; the record says how many predictions it "
        "changes against float32; fp16 on CUDA only; not set: bf16 for classes on a GPU that computes in it",
    )
    gradient_checkpointing: bool = Field(False, description="recompute activations in the backward pass")
    random_streams: Literal["named", "reference"] = Field(
        "named",
        description="`named`: a random stream for each purpose, shared by all methods; `reference`: the order in which "
        "the published SMS study draws from one generator, its evaluations included (`evaluation_interval` then "
        "counts batches, the first one included, and train figures are of the rows that `drop_last` leaves)",
    )
    initialisation: Literal["default", "reference"] = Field(
        "default",
        description="random weights: drawn as the model's family does, or by PyTorch's defaults (published SMS study)",
    )
    accumulation_tail: Literal["exact", "reference"] = Field(
        "exact",
        description="an epoch's last, shorter accumulation: divided by its own examples, or by the full step count",
    )

    @field_validator("context_length")
    @classmethod
    def _positive_context(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be at least 1")
        return value

    @field_validator("evaluation_interval")
    @classmethod
    def _positive_interval(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be at least 1")
        return value

    @field_validator("dropout")
    @classmethod
    def _probability(cls, value: float | str) -> float | str:
        if not isinstance(value, str) and not 0 <= value < 1:
            raise ValueError("must be in [0, 1) or 'model'")
        return value


# Settings that came after the first release, at their defaults: records of that release lack them.
ADDED_SETTINGS = later_defaults("run", Settings)


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
