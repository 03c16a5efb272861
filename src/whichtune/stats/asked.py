"""The figures that a study asks for beside those that every run records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from whichtune.metrics import METRICS, Metric
from whichtune.metrics.terms import Classified, Terms, cost_table
from whichtune.records.record import SPLITS, AnyMetrics, Metrics, RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.study.spec import Study

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Asked:
    """The metrics that a study names, and its terms for them."""

    names: frozenset[str]
    terms: Terms

    @classmethod
    def of(cls, study: Study, labels: Sequence[str]) -> Asked:
        """`labels` are the names of the classes, if there are any. Raises ValueError where the study's matrix of costs
        is not one of them."""
        costs = None if study.cost_matrix is None else cost_table(study.cost_matrix, labels)
        positive = None if study.positive_class is None else list(labels).index(study.positive_class)
        return cls(study.asked, Terms(study.precision_at_recall, positive, costs))

    @property
    def logits(self) -> bool:
        """Whether the runs' probabilities are needed."""
        return any(METRICS[name].of_probabilities for name in self.names if name in METRICS)

    def told(self, record: RunRecord, read_predictions: Callable[[str], pd.DataFrame]) -> RunRecord:
        """The record with the figures of these metrics that it lacks, from its predictions."""
        known = {split: found for split in SPLITS if (found := record.metrics.of(split)) is not None}
        lacking = {split: self._lacking(found) for split, found in known.items()}
        if record.status is not RunStatus.COMPLETED or not any(lacking.values()):
            return record
        frame = read_predictions(record.run_id)
        added: dict[str, AnyMetrics] = {
            split: known[split].model_copy(
                update=_of_matrix(known[split], metrics) | self._figures(frame[frame["split"] == split], metrics)
            )
            for split, metrics in lacking.items()
            if metrics
        }
        return record.model_copy(update={"metrics": record.metrics.model_copy(update=added)})

    def read(self, folder: StudyFolder, run_id: str) -> RunRecord | None:
        """A stored run's record with these figures; None where there is none."""
        record = folder.read_run(run_id)
        return None if record is None else self.told(record, folder.predictions)

    def completed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Predictions with the columns of these metrics of written texts that they lack, where they hold the texts."""
        if not {"prediction", "reference"} <= set(frame.columns):
            return frame
        written, references = frame["prediction"].to_list(), frame["reference"].to_list()
        columns: dict[str, Any] = {}
        for metric in (METRICS[name] for name in sorted(self.names) if name in METRICS):
            if metric.of_texts is not None and metric.name not in frame:
                columns[metric.name] = metric.of_texts(written, references)
            if metric.parts_of_texts is not None and f"{metric.name}_totals" not in frame:
                columns[f"{metric.name}_totals"] = list(metric.parts_of_texts(written, references))
        return frame.assign(**columns)

    def _lacking(self, figures: AnyMetrics) -> list[Metric]:
        """Which of these metrics are not among the figures although they could be."""
        answers = "classes" if isinstance(figures, Metrics) else "texts"
        named = [METRICS[name] for name in sorted(self.names) if name in METRICS]
        able = [metric for metric in named if metric.on_request and metric.answers == answers]
        return [metric for metric in able if getattr(figures, metric.name, None) is None]

    def _figures(self, frame: pd.DataFrame, metrics: Sequence[Metric]) -> dict[str, float]:
        if frame.empty:
            return {}
        return self._of_classes(frame, metrics) if "label" in frame else self._of_texts(frame, metrics)

    def _of_texts(self, frame: pd.DataFrame, metrics: Sequence[Metric]) -> dict[str, float]:
        whole, found = self.completed(frame), {}
        for metric in metrics:
            if metric.of_totals is not None and f"{metric.name}_totals" in whole:
                found[metric.name] = metric.of_parts(np.stack(whole[f"{metric.name}_totals"].to_list()))
            elif metric.name in whole:
                found[metric.name] = float(whole[metric.name].mean())
        return found

    def _of_classes(self, frame: pd.DataFrame, metrics: Sequence[Metric]) -> dict[str, float]:
        labels, answers = (frame[name].to_numpy(dtype=np.int64) for name in ("label", "prediction"))
        logits = np.stack(frame["logits"].to_list()) if self.logits and "logits" in frame else None
        classes = int(max(labels.max(), answers.max())) + 1 if logits is None else logits.shape[1]
        given = Classified(labels, answers, logits, classes)
        able = [metric for metric in metrics if logits is not None or not metric.of_probabilities]
        return {each.name: float(each.of_each(given, self.terms).mean()) for each in able if each.of_each is not None}


def _of_matrix(figures: AnyMetrics, metrics: Sequence[Metric]) -> dict[str, float]:
    """Those that follow from the recorded confusion matrix."""
    found = {metric.name: figures.value(metric.name) for metric in metrics if metric.of_confusion is not None}
    return {name: value for name, value in found.items() if value is not None}
