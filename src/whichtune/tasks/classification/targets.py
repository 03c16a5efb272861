"""What tasks have in common that read texts as classification does, and have something else than one class learnt."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from whichtune.errors import SettingError
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks.base import Answering, FittedBaseline, Judged
from whichtune.tasks.classification.model import build_classifier
from whichtune.tasks.classification.task import Classification

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from whichtune.data.encoding import EncodedSplit
    from whichtune.data.splits import Split
    from whichtune.measure.cost import Timers
    from whichtune.models.heads import Classifier
    from whichtune.records.record import RunRecord
    from whichtune.tasks.classification.predict import Scorer
    from whichtune.training.forward import Forward
    from whichtune.training.trainer import Training

    Splits = Mapping[str, Split] | Mapping[str, EncodedSplit]

Restore = Callable[["np.ndarray"], "np.ndarray"]


def _as_they_are(outputs: np.ndarray) -> np.ndarray:
    return outputs


class TargetTask(Classification):
    """A task of `outputs` numbers for each text. A subclass says what its figures are, what a reader is told of
    outputs, and, where a model learns targets in another unit, how its outputs come back from it."""

    like = None
    solves = False
    unused = ("ignore_index", "state_precision")
    default_methods = ("head_only", "last_block", "full", "lora")

    @abstractmethod
    def figures(self, spec: RunSpec, outputs: Mapping[str, np.ndarray], splits: Splits) -> Judged:
        """Metrics and prediction rows of every split that outputs (n, K) are given for."""

    @abstractmethod
    def told(self, spec: RunSpec, record: RunRecord, outputs: np.ndarray) -> dict[str, Any]:
        """The columns of `predict` beside the texts, `prediction` first, from outputs (n, K)."""

    def restored(self, splits: Splits) -> Restore:
        """What a model's outputs are turned into, where it was trained on these splits."""
        return _as_they_are

    def restored_again(self, record: RunRecord) -> Restore:
        """The same of a recorded run."""
        return _as_they_are

    @property
    def watched(self) -> tuple[str, ...]:
        return ("loss", *self.primary_metrics)

    def check(self, spec: RunSpec, dataset: Any, where: str) -> None:
        from whichtune.data.field_encoding import check_fields
        from whichtune.tasks.classification.native import check_native_head

        check_fields(spec, where)
        check_native_head(spec, where)
        if spec.random_streams == "reference":
            raise SettingError(f"{where}: random_streams reference is for classification: use random_streams=named.")

    def counted(self, spec: RunSpec, dataset: Any) -> Any:
        return dataset

    def build(self, spec: RunSpec, dataset: Any) -> tuple[Classifier, PreTrainedTokenizerBase]:
        return build_classifier(spec, dataset.outputs)

    def evaluate(
        self,
        spec: RunSpec,
        model: Classifier,
        forward: Forward,
        training: Training,
        tokenizer: PreTrainedTokenizerBase,
        timers: Timers,
    ) -> Judged:
        from whichtune.tasks.classification.evaluate import predict_split

        splits = forward.encoded.splits
        restore = self.restored(splits)
        wanted = ("validation",) if spec.role is Role.DRAW else tuple(splits)
        with timers.phase("evaluate"):
            found = {name: restore(predict_split(model, forward, name)) for name in wanted}
        return self.figures(spec, found, splits)

    def fit_baseline(self, spec: RunSpec, dataset: Any) -> FittedBaseline:
        return FittedTargets(self, spec, dataset)

    def predict(self, spec: RunSpec, record: RunRecord, folder: Path, texts: list[str]) -> pd.DataFrame:
        """The texts, and what is told of each."""
        return self.loaded(spec, record, folder)(texts)

    def scorer(self, spec: RunSpec, record: RunRecord, folder: Path) -> Scorer:
        """A saved run, loaded once: gives the outputs (n, K) of texts, numbers in the targets' own unit."""
        from whichtune.baselines import fitted_baseline
        from whichtune.tasks.classification.predict import loaded_model

        if record.role is Role.BASELINE:
            fitted = fitted_baseline(record.method, len(spec.data.text_columns)).load(folder)
            return lambda texts, first=0: fitted.logits(texts)
        score = loaded_model(spec, record, folder, max(1, len(record.labels)))
        restore = self.restored_again(record)
        return lambda texts, first=0: restore(score(texts, first))

    def loaded(self, spec: RunSpec, record: RunRecord, folder: Path) -> Answering:
        import pandas as pd

        from whichtune.study.fields import columns_of

        names, outputs = spec.data.text_columns, self.scorer(spec, record, folder)

        def answer(texts: list[str], first: int = 0, /) -> pd.DataFrame:
            found = self.told(spec, record, outputs(texts, first))
            return pd.DataFrame({**columns_of(texts, names), **found})

        return answer


class FittedTargets(FittedBaseline):
    """A row without a language model, of such a task."""

    def __init__(self, task: TargetTask, spec: RunSpec, dataset: Any) -> None:
        from whichtune.baselines import fitted_baseline

        self.task, self.spec, self.dataset = task, spec, dataset
        train = dataset.splits["train"]
        baseline = fitted_baseline(spec.method, len(spec.data.text_columns))
        self.fitted = baseline.fit(train.texts, train.labels, dataset.outputs)
        self.parameters = self.fitted.parameters

    def evaluate(self) -> Judged:
        splits = self.dataset.splits
        found = {name: self.fitted.logits(part.texts) for name, part in splits.items()}
        return self.task.figures(self.spec, found, splits)

    def answer(self, rows: list[int]) -> None:
        texts = self.dataset.splits["test"].texts
        self.fitted.logits([texts[row % len(texts)] for row in rows])

    def save(self, folder: Path) -> None:
        self.fitted.save(folder)
