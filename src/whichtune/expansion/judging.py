"""By what a study is judged: its metrics are the task's, and what they ask for is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.metrics import METRICS, metrics_of
from whichtune.metrics.terms import cost_table
from whichtune.registry import did_you_mean
from whichtune.stats.asked import Asked
from whichtune.study.spec import RunSpec, Study

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset, AnyTask

ORDERED = ("quadratic_kappa", "rounded_accuracy", "rounded_mae")  # what ordered classes are told by
AT_RECALL, COST = "precision_at_recall", "mean_cost"


def check_metrics(study: Study, task: AnyTask) -> None:
    """The metrics that a study names are its task's; a pair may be about the loss, too. Raises SettingError."""
    if study.primary_metric in set(task.metrics) - set(task.primary_metrics):
        raise SettingError(
            f"primary_metric: {study.primary_metric} has a unit of its own, and a study is decided in points: choose "
            f"one of {', '.join(task.primary_metrics)}; it stands in the table all the same."
        )
    _check_metric("primary_metric", study.primary_metric, ("auto", *task.primary_metrics), task.name)
    for name in study.metrics:
        _check_metric("metrics", name, task.metrics, task.name)
    known = (*task.metrics, *(metric.name for metric in metrics_of("loss")))
    for pair in study.pairs:
        if pair.metric is not None:
            _check_metric(f"The pair of '{pair.a}' and '{pair.b}'", pair.metric, known, task.name)
    if study.cost_matrix is None and COST in study.asked:
        raise SettingError(
            f"The metric {COST} needs what mistakes cost: give a study file's cost_matrix, or --cost-matrix FILE."
        )
    if COST not in task.metrics and study.cost_matrix is not None:
        raise SettingError(f"A cost matrix is for studies that name classes, and {task.name} does not: leave it out.")


def _check_metric(where: str, name: str, known: Sequence[str], task: str) -> None:
    if name not in known:
        raise SettingError(f"{where}: {task} has no {name}: {did_you_mean(name, known)}")


def with_terms(study: Study, dataset: AnyDataset) -> Study:
    """The study with the class that a precision is of. Raises SettingError where it or the matrix of costs does not fit
    the data's classes."""
    labels, positive = dataset.labels, study.positive_class
    if study.cost_matrix is not None:
        try:
            cost_table(study.cost_matrix, labels)
        except ValueError as error:
            raise SettingError(f"The cost matrix does not fit the data: {error}.") from error
    if positive is not None and positive not in labels:
        raise SettingError(f"positive_class: '{positive}' is no class of the data: {did_you_mean(positive, labels)}")
    if study.data.ordinal is not None:
        if getattr(dataset, "ordered", False) is False:
            raise SettingError("data.ordinal is for task regression, which reads ordered classes: leave it out.")
        added = [name for name in ORDERED if name not in study.asked]
        study = study.model_copy(update={"metrics": [*study.metrics, *added]})
    if AT_RECALL not in study.asked or positive is not None or len(labels) != 2:
        return study
    given = [int(label) for label in getattr(dataset.splits["train"], "labels", ())]
    return study.model_copy(update={"positive_class": labels[int(2 * sum(given) <= len(given))]})


def with_stopping_terms(spec: RunSpec, study: Study, labels: Sequence[str]) -> RunSpec:
    """The run with the study's terms, where the metric that may stop it follows from them: then they are part of what
    the run is. Raises SettingError for a metric that the study does not tell."""
    watched = spec.early_stopping
    if watched not in METRICS or not METRICS[watched].by_terms:
        return spec
    if watched not in study.asked:
        need = "a study's cost_matrix" if watched == COST else f"metrics=[{watched}]"
        raise SettingError(
            f"Settings of '{spec.label}': early_stopping watches {watched}, which the study does not tell: give {need}."
        )
    terms = Asked.of(study, labels).terms
    if watched == COST:
        costs = [list(row) for row in terms.costs or ()]
        return spec.model_copy(update={"stopping_terms": {"costs": costs}})
    return spec.model_copy(update={"stopping_terms": {"recall": terms.recall, "positive": terms.positive}})


def terms_notes(study: Study) -> list[str]:
    """What a reader must know of metrics that follow from the study's own terms."""
    found = []
    if AT_RECALL in study.asked:
        share = f"{100 * study.precision_at_recall:g} % of its texts are found"
        whose = f"'{study.positive_class}'" if study.positive_class is not None else "each class, a mean over classes"
        found.append(f"Precision at recall is the precision of {whose}, at the highest threshold at which {share}.")
    if study.cost_matrix is not None:
        costs = [cost for label, row in study.cost_matrix.items() for answer, cost in row.items() if answer != label]
        found.append(
            f"Mean cost is what an answer costs on average by the study's matrix, in which a mistake costs "
            f"{min(costs):g} to {max(costs):g}."
        )
    return found
