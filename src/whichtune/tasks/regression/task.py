"""A number for each text: the head has one output, which learns the targets in standard deviations from their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whichtune.data.numbers import NUMBERED, NumberDataset
from whichtune.errors import SettingError
from whichtune.records.record import NumberMetrics
from whichtune.study.data_settings import DataSettings
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks.base import Answering, FittedBaseline, Judged, register
from whichtune.tasks.classification.model import build_classifier
from whichtune.tasks.classification.task import Classification
from whichtune.tasks.regression.settings import RegressionSettings

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from whichtune.measure.cost import Timers
    from whichtune.models.heads import Classifier
    from whichtune.records.record import RunRecord
    from whichtune.tasks.regression.evaluate import Scale
    from whichtune.training.forward import Forward
    from whichtune.training.trainer import Training

# How much a foretold number may differ when a text is computed again in another batch, in standard deviations.
TOLERANCE = {"float32": 0.005, "bf16": 0.2, "fp16": 0.2}


@register
class Regression(Classification):
    """Texts are read as classification reads them; what differs is the head's one output, its loss and its figures."""

    name = "regression"
    title = "a number for each text"
    like = None
    solves = False
    Settings = RegressionSettings
    columns = NUMBERED
    answers = "numbers"
    unused = ("ignore_index",)
    default_methods = ("head_only", "last_block", "full", "lora")
    default_baselines = ("mean", "ridge_char", "ridge_word")

    @property
    def watched(self) -> tuple[str, ...]:
        return ("loss", *self.primary_metrics)

    def load(self, data: DataSettings) -> Any:
        from whichtune.data.numbers import load_numbers

        return load_numbers(data, self.columns)

    def primary_metric(self, dataset: Any) -> str:
        """R2, whose points a margin can be in."""
        return "r2"

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

    def objective(self, spec: RunSpec, model: Classifier, forward: Forward) -> Any:
        from whichtune.tasks.regression.objective import RegressionObjective

        return RegressionObjective(model, forward, RegressionSettings(**spec.task_settings))

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
        from whichtune.tasks.regression.evaluate import Scale, figures_of

        splits = forward.encoded.splits
        scale = Scale.of(splits["train"].labels)
        wanted = ("validation",) if spec.role is Role.DRAW else tuple(splits)
        with timers.phase("evaluate"):
            found = {name: scale.restored(predict_split(model, forward, name)) for name in wanted}
        return figures_of(found, splits, scale)

    def fit_baseline(self, spec: RunSpec, dataset: Any) -> FittedBaseline:
        return FittedNumbers(spec, dataset)

    def predict(self, spec: RunSpec, record: RunRecord, folder: Path, texts: list[str]) -> pd.DataFrame:
        """The texts, and the number foretold for each."""
        return self.loaded(spec, record, folder)(texts)

    def loaded(self, spec: RunSpec, record: RunRecord, folder: Path) -> Answering:
        import pandas as pd

        from whichtune.baselines import fitted_baseline
        from whichtune.study.fields import columns_of
        from whichtune.tasks.classification.predict import loaded_model

        names = spec.data.text_columns
        if record.role is Role.BASELINE:
            fitted = fitted_baseline(record.method, len(names)).load(folder)

            def numbers(texts: list[str], first: int) -> np.ndarray:
                return fitted.logits(texts)[:, 0]
        else:
            score, scale = loaded_model(spec, record, folder, 1), scale_of(record)

            def numbers(texts: list[str], first: int) -> np.ndarray:
                return scale.restored(score(texts, first))

        def answer(texts: list[str], first: int = 0, /) -> pd.DataFrame:
            table = pd.DataFrame(columns_of(texts, names))
            table["prediction"] = numbers(texts, first)
            return table

        return answer

    def gives_again(self, spec: RunSpec, record: RunRecord, again: pd.DataFrame, recorded: pd.DataFrame) -> bool:
        import numpy as np

        found, known = (table["prediction"].to_numpy(dtype=np.float64) for table in (again, recorded))
        allowed = TOLERANCE[spec.precision] * scale_of(record).sd
        return found.shape == known.shape and bool((np.abs(found - known) <= allowed).all())


def scale_of(record: RunRecord) -> Scale:
    """What a run's targets were standardised by: the figures of its training split have it."""
    from whichtune.tasks.regression.evaluate import Scale

    train = record.metrics.train
    assert isinstance(train, NumberMetrics)  # a draw, which has none, saves nothing
    return Scale(train.target_mean, train.target_sd)


class FittedNumbers(FittedBaseline):
    """A regression without a language model."""

    def __init__(self, spec: RunSpec, dataset: NumberDataset) -> None:
        from whichtune.baselines import fitted_baseline

        self.dataset = dataset
        train = dataset.splits["train"]
        self.fitted = fitted_baseline(spec.method, len(spec.data.text_columns)).fit(train.texts, train.labels, 1)
        self.parameters = self.fitted.parameters

    def evaluate(self) -> Judged:
        from whichtune.tasks.regression.evaluate import Scale, figures_of

        splits = self.dataset.splits
        found = {name: self.fitted.logits(part.texts)[:, 0] for name, part in splits.items()}
        return figures_of(found, splits, Scale.of(splits["train"].labels))

    def answer(self, rows: list[int]) -> None:
        texts = self.dataset.splits["test"].texts
        self.fitted.logits([texts[row % len(texts)] for row in rows])

    def save(self, folder: Path) -> None:
        self.fitted.save(folder)
