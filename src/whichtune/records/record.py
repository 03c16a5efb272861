"""What a run leaves behind: frozen, JSON-serialisable, readable without torch.

`summary.json` is a list of these. The layout is a contract with users' own scripts: fields are added,
never renamed or removed, within one `SCHEMA_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeGuard

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from whichtune.metrics import METRICS, Split
from whichtune.study.frozen import Listed
from whichtune.study.roles import SCHEMA_VERSION, Role

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
# One point of a run's curves: `step`, `epoch` and figures by their names.
CurvePoint = dict[str, float | int | bool | None]


class RunStatus(StrEnum):
    COMPLETED = "completed"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    INTERRUPTED = "interrupted"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _SplitMetrics(_Record):
    """Figures of one split. Metrics that were entered into the table from elsewhere stand beside the fields."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, float | None]

    def value(self, name: str) -> float | None:
        """Any figure by its name, a metric or not; None where there is none."""
        found = getattr(self, name, None)
        return found if isinstance(found, (int, float)) else None


class Metrics(_SplitMetrics):
    """Figures of one split. `confusion_matrix[i][j]` counts examples of class i predicted as class j."""

    accuracy: float
    f1_macro: float
    loss: float | None = Field(description="mean cross-entropy in nats; null where there are no probabilities")
    n: int
    confusion_matrix: Listed[Listed[int]] = []
    truncated: int = Field(0, description="texts cut to the context length")
    duplicates_of_train: int = Field(0, description="examples whose text stands verbatim in train")
    accuracy_without_duplicates: float | None = None
    auroc: float | None = Field(None, description="area under the ROC curve, a mean over classes")
    average_precision: float | None = Field(None, description="mean over classes")
    threshold: float | None = Field(
        None, description="of two classes, the second's probability from which on it is the answer; null: the likelier"
    )
    brier: float | None = Field(None, description="half the squared distance of the probabilities from the truth")
    ece: float | None = Field(None, description="expected calibration error, over ten bins of equal counts")

    def value(self, name: str) -> float | None:
        """Any figure by its name; that of a metric which is told on request follows from the confusion matrix, where it
        is one of it."""
        found = super().value(name)
        known = METRICS[name] if found is None and name in METRICS else None
        if known is None or not known.on_request or known.of_confusion is None or not self.confusion_matrix:
            return found
        import numpy as np

        return float(known.of_confusion(np.array(self.confusion_matrix, dtype=np.int64)))


class TextMetrics(_SplitMetrics):
    """Figures of one split of written texts. ROUGE is F-measure as a share of 1, a mean over examples."""

    loss: float | None = Field(description="mean cross-entropy in nats of a token with a loss; null without a model")
    perplexity: float | None = Field(description="the loss's exponential")
    tokens: int = Field(0, description="tokens with a loss")
    rouge1: float | None = None
    rouge2: float | None = None
    rougeL: float | None = None  # noqa: N815 - as rouge-score calls it
    rougeLsum: float | None = None  # noqa: N815
    exact_match: float | None = Field(None, description="SQuAD's: share of texts with the same words in their order")
    token_f1: float | None = Field(None, description="SQuAD's: mean F1 of the words shared with the reference")
    chrf: float | None = Field(None, description="mean over texts, as a share of 1")
    bleu: float | None = Field(None, description="of the whole split, as a share of 1")
    written_tokens: float | None = Field(None, description="mean length of the written texts, in tokens")
    ended: float | None = Field(None, description="share of the written texts that ended by themselves")
    n: int
    truncated: int = Field(0, description="texts cut to make room for the target")
    targets_cut: int = Field(0, description="targets cut to the room kept for them")
    duplicates_of_train: int = Field(0, description="examples whose text stands verbatim in train")


class NumberMetrics(_SplitMetrics):
    """Figures of one split of foretold numbers. Errors are in the targets' own unit."""

    r2: float = Field(description="share of the targets' variance that is explained; below 0: worse than their mean")
    pearson: float = Field(description="linear correlation; 0 where the predictions do not vary")
    spearman: float = Field(description="correlation of ranks; 0 where the predictions do not vary")
    rmse: float
    mae: float
    quadratic_kappa: float | None = Field(
        None, description="Cohen's kappa with quadratic weights of predictions rounded to whole numbers"
    )
    rounded_accuracy: float | None = Field(None, description="share of rounded predictions that are right")
    rounded_mae: float | None = Field(None, description="mean absolute error of rounded predictions")
    loss: float | None = Field(description="mean squared error in variances of the training targets")
    target_mean: float = Field(description="mean of the split's targets; those of train are what runs standardise by")
    target_sd: float = Field(description="their standard deviation, of the split as a whole")
    n: int
    truncated: int = Field(0, description="texts cut to the context length")
    duplicates_of_train: int = Field(0, description="examples whose text stands verbatim in train")


class LabelSetMetrics(_SplitMetrics):
    """Figures of one split of texts with sets of labels, each label chosen from its threshold on."""

    labels_f1_micro: float = Field(description="F1 of all decisions together")
    labels_f1_macro: float = Field(description="mean of the labels' F1; labels neither true nor chosen are left out")
    f1_samples: float = Field(description="mean of the texts' F1; 1 for none chosen where none is true")
    mean_average_precision: float = Field(description="mean over labels that some text has")
    subset_accuracy: float = Field(description="share of texts with exactly the true labels")
    hamming_loss: float = Field(description="share of decisions that are wrong")
    loss: float | None = Field(description="binary cross-entropy in nats, a mean over labels, then over texts")
    n: int
    thresholds: Listed[float] = Field([], description="the probability from which on each label is chosen")
    label_counts: Listed[Listed[int]] = Field(
        [], description="of each label: rightly chosen, wrongly chosen, missed texts"
    )
    average_precision: Listed[float | None] = Field([], description="of each label; null where no text has it")
    labels_per_text: float = Field(0.0, description="mean number of true labels")
    without_labels: int = Field(0, description="texts without a true label")
    truncated: int = Field(0, description="texts cut to the context length")
    duplicates_of_train: int = Field(0, description="examples whose text stands verbatim in train")


class TagMetrics(_SplitMetrics):
    """Figures of one split of sentences whose words have tags. An entity is right where its words and its type are."""

    entity_f1: float = Field(description="F1 of all entities together")
    entity_f1_macro: float = Field(description="mean of the types' F1; types neither true nor found are left out")
    entity_precision: float = Field(description="share of the found entities that are right")
    entity_recall: float = Field(description="share of the true entities that are found")
    tag_accuracy: float = Field(description="share of the words with the right tag")
    loss: float | None = Field(description="mean cross-entropy in nats of a word that the context holds")
    n: int = Field(description="sentences")
    words: int
    entities: int = Field(description="true ones")
    type_counts: Listed[Listed[int]] = Field([], description="of each type: rightly found, wrongly found, missed")
    words_cut: int = Field(0, description="words that the context does not hold: they are tagged O")
    truncated: int = Field(0, description="sentences cut to the context length")
    duplicates_of_train: int = Field(0, description="sentences that stand verbatim in train")


AnyMetrics = Metrics | TextMetrics | NumberMetrics | LabelSetMetrics | TagMetrics


class MetricsBySplit(_Record):
    """`test` stays null for a draw of a hyper-parameter search: those are judged on validation only."""

    train: AnyMetrics | None = None
    validation: AnyMetrics | None = None
    test: AnyMetrics | None = None

    def of(self, split: Split) -> AnyMetrics | None:
        """The figures of a split by its name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]


class Cost(_Record):
    """What a run cost. Seconds by phase; bytes; floating-point operations (a multiply-add counts 2).

    `training_seconds` and `training_flops` are what the run costs alone, by which rows are compared: the pass through
    the frozen blocks and the steps. Where they are not given, as in records of earlier versions, they follow from the
    other fields.
    """

    trainable_parameters: int | None = None
    total_parameters: int | None = None
    training_seconds: float | None = Field(
        None, description="training alone: the pass through the frozen blocks and the optimiser steps, nothing shared"
    )
    training_flops: int | None = Field(None, description="the operations of the same")
    load_seconds: float | None = None
    check_seconds: float | None = Field(None, description="comparing the plan with the plain way on a few texts")
    cache_seconds: float | None = Field(None, description="computing lower blocks, as this run paid it")
    cache_seconds_alone: float | None = Field(None, description="the same, had this run been alone")
    train_seconds: float | None = Field(None, description="optimiser steps only")
    evaluate_seconds: float | None = Field(None, description="evaluations, those for the curves included")
    curve_seconds: float | None = Field(None, description="evaluations during training, for the curves")
    latency_seconds: float | None = Field(None, description="timing answers, for the figures `inference_ms`")
    save_seconds: float | None = Field(None, description="writing predictions and weights, and proving these")
    total_seconds: float | None = Field(None, description="from the beginning of the run's process to its record")
    max_epoch_seconds: float | None = Field(None, description="the longest epoch's optimiser steps")
    peak_memory_bytes: int | None = Field(
        None,
        description="training phase with the pass through the frozen blocks, whoever made it; CPU: anonymous memory "
        "above what the process began with; CUDA: allocated",
    )
    peak_memory_reserved_bytes: int | None = Field(None, description="CUDA only: reserved by the allocator")
    flops: int | None = Field(None, description="training, the cache as paid included; evaluation not")
    cache_flops: int | None = None
    cache_flops_alone: int | None = None
    adapter_bytes: int | None = Field(
        None, description="bytes of the trained tensors as saved, or of a baseline's files"
    )
    training_joules: float | None = Field(
        None,
        description="energy of the same and of evaluations between the steps, by the machine's counters (RAPL: whole "
        "processors; NVML: the GPU); null where none can be read",
    )
    inference_ms: float | None = Field(None, description="milliseconds an example at batch size 1, median of calls")
    inference_ms_p95: float | None = Field(None, description="the same, 95th percentile")
    inference_ms_batch_32: float | None = Field(None, description="milliseconds an example at batch size 32, median")
    inference_ms_batch_32_p95: float | None = Field(None, description="the same, 95th percentile")
    inference_ms_merged: float | None = Field(None, description="batch size 1, adapters merged into the weights")
    inference_ms_batch_32_merged: float | None = None
    retention_loss: float | None = Field(
        None, description="nats a token of the study's `retention_text` by the trained model; null where it names none"
    )
    retention_loss_before: float | None = Field(None, description="the same by the pretrained model")
    real_tokens_per_second: float | None = Field(None, description="non-padding training tokens a second")
    padding_tokens_per_second: float | None = None
    optimiser_steps: int | None = None
    examples_seen: int | None = None
    epochs: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_alone(cls, given: object) -> object:
        """Fill in what training costs alone."""
        if not isinstance(given, Mapping):
            return given
        steps, paid = given.get("train_seconds"), given.get("flops")
        found = dict(given)
        if found.get("training_seconds") is None and _is_number(steps):
            found["training_seconds"] = steps + _part(given, "cache_seconds_alone")
        if found.get("training_flops") is None and _is_number(paid):
            found["training_flops"] = paid - _part(given, "cache_flops") + _part(given, "cache_flops_alone")
        return found


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _part(cost: Mapping[str, object], name: str) -> int | float:
    """A part of a sum; 0 where it is not there, or is no number and so refused afterwards."""
    value = cost.get(name)
    return value if _is_number(value) else 0


class Stopping(_Record):
    """What early stopping did. The run's weights and figures are those of the best point."""

    on: str = Field(description="what was watched on validation: the loss, or a metric")
    best: float | None = Field(description="its value at the best point; null where no point had a figure")
    best_step: int | None = Field(description="optimiser steps at the best point; null: the last weights were kept")
    best_epoch: float | None
    last_step: int = Field(description="optimiser steps that were made")
    last_epoch: float
    planned_steps: int = Field(description="optimiser steps of the whole schedule")
    planned_epochs: float
    stopped: bool = Field(description="false where training ran to its end")


class Environment(_Record):
    """Where and with what a run was made."""

    whichtune: str
    python: str
    platform: str
    processor: str
    cores: int
    threads: int
    jobs: int = Field(1, description="runs that were made at a time: each then had a share of the machine")
    runs_at_once: int = Field(
        1,
        description="most runs that shared the machine while seconds were measured, those of a stored pass included",
    )
    device: str
    memory_bytes: int
    packages: dict[str, str]


class RunRecord(_Record):
    """One run, whatever became of it. `error` is the reason, in one sentence, where it did not complete."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    label: str
    role: Role = Role.RUN
    status: RunStatus
    seed: int | None = Field(description="null for baselines, which draw nothing")
    method: str
    spec: dict[str, JsonValue]
    metrics: MetricsBySplit = MetricsBySplit()
    cost: Cost = Cost()
    stopping: Stopping | None = Field(None, description="null without early stopping")
    error: str | None = None
    error_kind: str | None = Field(None, description="the error's class, such as DivergedError")
    notes: Listed[str] = Field([], description="what the run wants its reader to know, such as a fallback")
    shortcuts: dict[str, JsonValue] = Field({}, description="which parts of the plan were used, and why not others")
    environment: Environment | None = None
    labels: Listed[str] = Field([], description="class names in the order of the confusion matrix and the logits")
    context_length: int | None = Field(None, description="tokens a text could have, resolved")
    room: dict[str, int | None] | None = Field(
        None, description="how the context was shared between text and target, where there are targets"
    )
    fingerprints: dict[str, str] = Field({}, description="sha256 of data, tokenizer and weights")
    started_at: str | None = None
    finished_at: str | None = None
