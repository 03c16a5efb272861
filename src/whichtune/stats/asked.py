"""The figures that a study asks for beside those that every run records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from whichtune.metrics import METRICS, Metric
from whichtune.metrics.terms import Classified, Terms, cost_table
from whichtune.records.record import SPLITS, Metrics, RunRecord, RunStatus
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
        wanted = [METRICS[name] for name in sorted(self.names) if name in METRICS and METRICS[name].of_each is not None]
        known = {split: found for split in SPLITS if isinstance(found := record.metrics.of(split), Metrics)}
        lacking = {s: [m for m in wanted if found.value(m.name) is None] for s, found in known.items()}
        if record.status is not RunStatus.COMPLETED or not any(lacking.values()):
            return record
        frame = read_predictions(record.run_id)
        added: dict[str, Metrics] = {
            split: known[split].model_copy(update=self._figures(frame[frame["split"] == split], metrics))
            for split, metrics in lacking.items()
        }
        return record.model_copy(update={"metrics": record.metrics.model_copy(update=added)})

    def read(self, folder: StudyFolder, run_id: str) -> RunRecord | None:
        """A stored run's record with these figures; None where there is none."""
        record = folder.read_run(run_id)
        return None if record is None else self.told(record, folder.predictions)

    def _figures(self, frame: pd.DataFrame, metrics: Sequence[Metric]) -> dict[str, float]:
        if frame.empty or "label" not in frame:
            return {}
        labels, answers = (frame[name].to_numpy(dtype=np.int64) for name in ("label", "prediction"))
        logits = np.stack(frame["logits"].to_list()) if self.logits and "logits" in frame else None
        classes = int(max(labels.max(), answers.max())) + 1 if logits is None else logits.shape[1]
        given = Classified(labels, answers, logits, classes)
        able = [metric for metric in metrics if logits is not None or not metric.of_probabilities]
        return {each.name: float(each.of_each(given, self.terms).mean()) for each in able if each.of_each is not None}
