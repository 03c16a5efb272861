"""Any number of labels for each text: the head has an output for each label, which is true or not by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whichtune.data.label_cells import LABEL_SETS, sign_between
from whichtune.records.record import LabelSetMetrics
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec
from whichtune.tasks.base import Judged, Outputs, register
from whichtune.tasks.classification.targets import TargetTask
from whichtune.tasks.multilabel.settings import MultilabelSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from whichtune.models.heads import Classifier
    from whichtune.records.record import RunRecord
    from whichtune.tasks.classification.targets import Splits
    from whichtune.training.forward import Forward


@register
class Multilabel(TargetTask):
    """Texts are read as classification reads them; what differs is that each label is decided by itself."""

    name = "multilabel"
    title = "any number of labels for each text"
    Settings = MultilabelSettings
    columns = LABEL_SETS
    answers = "labels"
    default_baselines = ("label_shares", "labels_char", "labels_word")

    def load(self, data: DataSettings) -> Any:
        from whichtune.data.label_sets import load_label_sets

        return load_label_sets(data, self.columns)

    def examples(self, dataset: Any) -> pd.DataFrame:
        """With the names of each text's labels, in a list."""
        from dataclasses import replace

        splits = {name: _Named(part, dataset.labels) for name, part in dataset.splits.items()}
        return super().examples(replace(dataset, splits=splits))

    def primary_metric(self, dataset: Any) -> str:
        """Micro F1, in which every decision weighs the same: macro F1 rests on labels that a few test texts have."""
        return "labels_f1_micro"

    def objective(self, spec: RunSpec, model: Classifier, forward: Forward) -> Any:
        from whichtune.tasks.multilabel.objective import MultilabelObjective

        return MultilabelObjective(model, forward, MultilabelSettings(**spec.task_settings))

    def figures(self, spec: RunSpec, outputs: Mapping[str, np.ndarray], splits: Splits) -> Judged:
        from whichtune.tasks.multilabel.evaluate import figures_of

        return figures_of(outputs, splits, MultilabelSettings(**spec.task_settings))

    def told(self, spec: RunSpec, record: RunRecord, outputs: np.ndarray) -> dict[str, Any]:
        """The labels of each text with a sign between them, and the probability of each label."""
        from whichtune.metrics.labels import probabilities_of

        probabilities = probabilities_of(outputs)
        chosen = probabilities >= thresholds_of(record)
        between = sign_between(record.labels, spec.data.label_separator)
        names = [between.join(name for name, is_it in zip(record.labels, row, strict=True) if is_it) for row in chosen]
        columns = {f"probability of {name}": probabilities[:, i] for i, name in enumerate(record.labels)}
        return {"prediction": names, **columns}

    def outputs(self, spec: RunSpec, record: RunRecord) -> Outputs:
        return Outputs(tuple(record.labels), tuple(thresholds_of(record).tolist()))

    def gives_again(self, spec: RunSpec, record: RunRecord, again: pd.DataFrame, recorded: pd.DataFrame) -> bool:
        """By every label's probability."""
        import numpy as np

        from whichtune.metrics.labels import probabilities_of
        from whichtune.tasks.classification.predict import near_shares

        logits = np.stack([np.asarray(row) for row in recorded["logits"]])
        return near_shares(spec, record.labels, again, probabilities_of(logits))


class _Named:
    """A split whose labels are names."""

    def __init__(self, part: Any, names: Sequence[str]) -> None:
        self.ids, self.texts = part.ids, part.texts
        self.labels = [[name for name, is_it in zip(names, row, strict=True) if is_it] for row in part.labels]


def thresholds_of(record: RunRecord) -> np.ndarray:
    """The thresholds (L,) that a run chose on validation: the figures of that split have them."""
    import numpy as np

    validation = record.metrics.validation
    assert isinstance(validation, LabelSetMetrics)
    return np.array(validation.thresholds)
