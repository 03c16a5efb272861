"""The one table of metrics. A metric that is an entry here is in records, tables, statistics, page and loggers.

A metric is computed from answers: of classes, by the confusion matrix; of written texts, text by text against the
references; of foretold numbers, against the true ones; of sets of labels, against the true sets; of tagged words, by
what each sentence counts. From that follows how its noise is told: see `resampling`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, cast

from whichtune.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from whichtune.metrics.confusion import Cells
    from whichtune.metrics.terms import Classified, Terms

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]
    IntArray = NDArray[np.int64]

Answers = Literal["classes", "texts", "numbers", "labels", "tags", "loss"]
Unit = Literal["points", "nats", "units"]
Split = Literal["train", "validation", "test"]
# How intervals and tests take a metric: a share of right answers; a mean over examples; a function of the confusion
# matrix that is no mean, linearised; a ratio of two totals, linearised; a function of several totals, linearised.
Resampling = Literal["proportion", "mean", "confusion", "ratio", "totals"]


# Numbers of the confusion matrices that are held at a time.
MATRIX_NUMBERS = 4_000_000


@dataclass(frozen=True)
class Metric:
    """One metric.

    `name` is its key in records, study files and `--set primary_metric`; `title` what it is called in text. `answers`
    are what it is computed from, by `of_confusion` (counts `(..., C, C)` to `(...)`), `of_texts` (written texts and
    references, n each, to `(n,)`, whose mean it is), `of_numbers` (predictions and targets `(n,)` to `(n,)`, whose
    mean it is), `of_labels` (chosen labels, probabilities and true labels `(n, L)` to `(n,)`, whose mean it is) or
    `of_tags` (counts of entities `(n, K, 3)` and of words `(n, 2)` to `(n,)`, whose mean it is).
    `in_unit`: it is in the targets' own unit, and no share of 1. `least`: it cannot be lower. `influence`
    is the derivative of `of_confusion` where it is known in closed form; `of_cells` is `of_confusion` from counts
    `(..., K)` in the cells that occur, where that is quicker with many classes. `splits` are those that have a column
    in tables. `of_each` is for metrics of classes that need more than the confusion matrix: labels, answers and logits
    of n texts, and the study's terms, to `(n,)`, whose mean it is; `of_probabilities` where that reads the logits.
    `parts_of_texts` are what each text adds to totals `(n, K)`, and `of_totals` the metric of their sums `(..., K)`, of
    a corpus' metrics that are no mean over its texts.
    One that is `on_request` is told where a study asks for it, and nowhere else: its figures follow from what runs have
    recorded. One that is `by_terms` follows from the study's terms, too, so that no run records it.
    """

    name: str
    title: str
    answers: Answers
    of_confusion: Callable[[NDArray[np.int64]], FloatArray] | None = None
    influence: Callable[[NDArray[np.int64]], FloatArray] | None = None
    of_texts: Callable[[Sequence[str], Sequence[str]], FloatArray] | None = None
    of_numbers: Callable[[FloatArray, FloatArray], FloatArray] | None = None
    of_labels: Callable[[BoolArray, FloatArray, BoolArray], FloatArray] | None = None
    of_tags: Callable[[IntArray, IntArray], FloatArray] | None = None
    resampling: Resampling = "confusion"
    in_unit: bool = False
    least: float = 0.0
    higher_is_better: bool = True
    splits: tuple[Split, ...] = ("test",)
    of_cells: Callable[[Cells, NDArray[np.int64]], FloatArray] | None = None
    on_request: bool = False
    of_each: Callable[[Classified, Terms], FloatArray] | None = None
    of_probabilities: bool = False
    by_terms: bool = False
    parts_of_texts: Callable[[Sequence[str], Sequence[str]], FloatArray] | None = None
    of_totals: Callable[[FloatArray], FloatArray] | None = None

    @property
    def unit(self) -> Unit:
        """Shares of 1 are told in points of a percentage, losses in nats, errors of numbers in their unit."""
        if self.in_unit:
            return "units"
        return "nats" if self.answers == "loss" else "points"

    @property
    def best_word(self) -> str:
        """What a row does that has the best figure."""
        return "scores highest" if self.higher_is_better else f"has the lowest {self.title}"

    @property
    def scale(self) -> float:
        """What a figure is multiplied by to be shown."""
        return 100.0 if self.unit == "points" else 1.0

    @property
    def digits(self) -> int:
        return 2 if self.unit == "points" else 3

    def of_classes(self, labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> float:
        """The metric of predictions `(n,)` against labels `(n,)`, both below `classes`."""
        from whichtune.metrics.confusion import confusion

        assert self.of_confusion is not None
        return float(self.of_confusion(confusion(labels, predictions, classes)))

    def of_parts(self, parts: FloatArray) -> float:
        """The metric of texts that add `parts (n, K)` to totals."""
        assert self.of_totals is not None
        return float(self.of_totals(parts.sum(axis=0)))

    def influence_of(self, counts: NDArray[np.int64]) -> FloatArray:
        """What one example in each cell `(C, C)` adds to the metric, to first order."""
        from whichtune.metrics.confusion import jackknife_influence

        assert self.of_confusion is not None
        return self.influence(counts) if self.influence else jackknife_influence(self.of_confusion, counts)

    def counted_in(self, cells: Cells, counts: NDArray[np.int64]) -> FloatArray:
        """The metric of each of the counts `(R, K)`, or `(K,)`, in the cells that occur."""
        import numpy as np

        if self.of_cells is not None:
            return self.of_cells(cells, counts)
        assert self.of_confusion is not None
        rows = counts.reshape(-1, counts.shape[-1])
        room = max(1, MATRIX_NUMBERS // cells.classes**2)
        parts = [self.of_confusion(cells.matrices(rows[at : at + room])) for at in range(0, len(rows), room)]
        return np.concatenate(parts).reshape(counts.shape[:-1])


METRICS: Registry[Metric] = Registry("metric", group="whichtune.metrics")


def add_metric(metric: Metric) -> Metric:
    """Enter a metric into the table. Raises ValueError where the name is taken."""
    return METRICS.register(metric.name)(metric)


def metrics_of(answers: Answers, asked: Collection[str] = ()) -> tuple[Metric, ...]:
    """The metrics that are computed from such answers, in the order of tables; of those on request the ones that are
    asked for."""
    return tuple(
        metric
        for metric in METRICS.values()
        if metric.answers == answers and (not metric.on_request or metric.name in asked)
    )


def recorded_on_request() -> tuple[Metric, ...]:
    """Those of classes that a run records although they are told on request alone: they need its logits."""
    return tuple(metric for metric in METRICS.values() if metric.of_each is not None and not metric.by_terms)


def possible_metrics(answers: Answers) -> tuple[Metric, ...]:
    """Those and all that are told on request."""
    return tuple(metric for metric in METRICS.values() if metric.answers == answers)


def metric_title(name: str) -> str:
    """A metric as it is called in text; other figures by their key's words."""
    return METRICS[name].title if name in METRICS else name.replace("_", " ")


# -- the table ----------------------------------------------------------------------------------------


def _later(module: str, name: str) -> Callable[..., FloatArray]:
    """The function of that name in a module of this package, which is imported when it is first called."""

    def call(*given: object) -> FloatArray:
        found: FloatArray = getattr(import_module(f"whichtune.metrics.{module}"), name)(*given)
        return found

    return call


def _rouge(kind: str) -> Callable[[Sequence[str], Sequence[str]], FloatArray]:
    def of_texts(written: Sequence[str], references: Sequence[str]) -> FloatArray:
        from whichtune.metrics.rouge import scores_of

        return scores_of(tuple(written), tuple(references))[kind]

    return of_texts


add_metric(
    Metric(
        "accuracy",
        "accuracy",
        "classes",
        of_confusion=_later("confusion", "accuracy_of_confusion"),
        resampling="proportion",
        splits=("test", "validation", "train"),
    )
)
add_metric(
    Metric(
        "f1_macro",
        "macro F1",
        "classes",
        of_confusion=_later("confusion", "f1_macro_of_confusion"),
        influence=_later("confusion", "f1_influence"),
        of_cells=_later("confusion", "f1_macro_of_cells"),
    )
)
for _name, _title, _function in (
    ("balanced_accuracy", "balanced accuracy", "balanced_accuracy"),
    ("f1_micro", "micro F1", "f1_micro"),
    ("f1_weighted", "weighted F1", "f1_weighted"),
    ("mcc", "Matthews correlation", "matthews"),
    ("kappa", "Cohen's kappa", "cohens_kappa"),
):
    add_metric(
        Metric(
            _name,
            _title,
            "classes",
            of_confusion=_later("agreement", _function),
            splits=("test", "validation"),
            on_request=True,
        )
    )
for _name, _title, _function, _higher in (
    ("auroc", "AUROC", "auroc", True),
    ("average_precision", "average precision", "average_precision", True),
    ("precision_at_recall", "precision at recall", "precision_at_recall", True),
    ("brier", "Brier score", "brier", False),
    ("ece", "calibration error", "calibration_error", False),
    ("mean_cost", "mean cost", "cost_of_mistakes", False),
):
    add_metric(
        Metric(
            _name,
            _title,
            "classes",
            of_each=_later("probabilities", _function),
            of_probabilities=_name != "mean_cost",
            by_terms=_name in ("precision_at_recall", "mean_cost"),
            in_unit=_name == "mean_cost",
            resampling="mean",
            higher_is_better=_higher,
            splits=("test", "validation"),
            on_request=True,
        )
    )
add_metric(Metric("rouge1", "ROUGE-1", "texts", of_texts=_rouge("rouge1"), resampling="mean"))
add_metric(Metric("rouge2", "ROUGE-2", "texts", of_texts=_rouge("rouge2"), resampling="mean"))
add_metric(
    Metric(
        "rougeL",
        "ROUGE-L",
        "texts",
        of_texts=_rouge("rougeL"),
        resampling="mean",
        splits=("test", "validation"),
    )
)
add_metric(Metric("rougeLsum", "ROUGE-Lsum", "texts", of_texts=_rouge("rougeLsum"), resampling="mean"))
for _name, _title in (("exact_match", "exact match"), ("token_f1", "token F1"), ("chrf", "chrF")):
    add_metric(
        Metric(
            _name,
            _title,
            "texts",
            of_texts=_later("overlap", _name),
            resampling="mean",
            splits=("test", "validation"),
            on_request=True,
        )
    )
add_metric(
    Metric(
        "bleu",
        "BLEU",
        "texts",
        parts_of_texts=_later("overlap", "bleu_parts"),
        of_totals=_later("overlap", "bleu_of"),
        resampling="totals",
        splits=("test", "validation"),
        on_request=True,
    )
)
add_metric(
    Metric(
        "r2",
        "R²",
        "numbers",
        of_numbers=_later("numbers", "explained"),
        resampling="mean",
        least=-math.inf,
        splits=("test", "validation", "train"),
    )
)
add_metric(
    Metric("pearson", "Pearson's r", "numbers", of_numbers=_later("numbers", "pearson"), resampling="mean", least=-1.0)
)
add_metric(
    Metric(
        "spearman", "Spearman's rho", "numbers", of_numbers=_later("numbers", "spearman"), resampling="mean", least=-1.0
    )
)
for _name, _title, _of in (("rmse", "RMSE", "root_mean_square"), ("mae", "MAE", "absolute_errors")):
    add_metric(
        Metric(
            _name,
            _title,
            "numbers",
            of_numbers=_later("numbers", _of),
            resampling="mean",
            in_unit=True,
            higher_is_better=False,
        )
    )
for _name, _title, _of, _resampling in (
    ("quadratic_kappa", "quadratic kappa", "quadratic_kappa", "mean"),
    ("rounded_accuracy", "rounded accuracy", "rounded_hits", "proportion"),
    ("rounded_mae", "rounded MAE", "rounded_errors", "mean"),
):
    add_metric(
        Metric(
            _name,
            _title,
            "numbers",
            of_numbers=_later("numbers", _of),
            resampling=cast("Resampling", _resampling),
            least=-1.0 if _name == "quadratic_kappa" else 0.0,
            in_unit=_name == "rounded_mae",
            higher_is_better=_name != "rounded_mae",
            splits=("test", "validation"),
            on_request=True,
        )
    )
ALL_SPLITS: tuple[Split, ...] = ("test", "validation", "train")
for _name, _title, _of, _resampling, _splits in (
    ("labels_f1_micro", "micro F1", "f1_micro", "mean", ALL_SPLITS),
    ("labels_f1_macro", "macro F1", "f1_macro", "mean", ALL_SPLITS[:2]),
    ("f1_samples", "sample F1", "f1_samples", "mean", ALL_SPLITS[:1]),
    ("mean_average_precision", "mAP", "mean_average_precision", "mean", ALL_SPLITS[:1]),
    ("subset_accuracy", "subset accuracy", "subset_accuracy", "proportion", ALL_SPLITS[:1]),
    ("hamming_loss", "Hamming loss", "hamming_loss", "mean", ALL_SPLITS[:1]),
):
    add_metric(
        Metric(
            _name,
            _title,
            "labels",
            of_labels=_later("labels", _of),
            resampling=cast("Resampling", _resampling),
            higher_is_better=_name != "hamming_loss",
            splits=_splits,
        )
    )
for _name, _title, _of, _splits in (
    ("entity_f1", "entity F1", "f1", ALL_SPLITS),
    ("entity_f1_macro", "macro F1 of types", "f1_macro", ALL_SPLITS[:2]),
    ("entity_precision", "entity precision", "precision", ALL_SPLITS[:1]),
    ("entity_recall", "entity recall", "recall", ALL_SPLITS[:1]),
    ("tag_accuracy", "tag accuracy", "accuracy", ALL_SPLITS[:1]),
):
    add_metric(Metric(_name, _title, "tags", of_tags=_later("entities", _of), resampling="mean", splits=_splits))
add_metric(Metric("loss", "loss", "loss", resampling="ratio", higher_is_better=False))
