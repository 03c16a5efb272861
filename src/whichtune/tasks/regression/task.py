"""A number for each text: the head has one output, which learns the targets in standard deviations from their mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from whichtune.data.numbers import NUMBERED
from whichtune.records.record import NumberMetrics
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec
from whichtune.tasks.base import Judged, Outputs, register
from whichtune.tasks.classification.targets import Restore, TargetTask
from whichtune.tasks.regression.settings import RegressionSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from whichtune.measure.cost import Timers
    from whichtune.models.heads import Classifier
    from whichtune.records.record import RunRecord
    from whichtune.tasks.classification.targets import Splits
    from whichtune.tasks.regression.evaluate import Scale
    from whichtune.training.forward import Forward
    from whichtune.training.trainer import Training

# How much a foretold number may differ when a text is computed again in another batch, in standard deviations.
TOLERANCE = {"float32": 0.005, "bf16": 0.2, "fp16": 0.2}


@register
class Regression(TargetTask):
    """Texts are read as classification reads them; what differs is the head's one output, its loss and its figures."""

    name = "regression"
    title = "a number for each text"
    Settings = RegressionSettings
    columns = NUMBERED
    answers = "numbers"
    solves = True
    default_baselines = ("mean", "ridge_char", "ridge_word")

    def load(self, data: DataSettings) -> Any:
        from whichtune.data.numbers import load_numbers

        return load_numbers(data, self.columns)

    @property
    def primary_metrics(self) -> tuple[str, ...]:
        """All: of an error in the numbers' unit the margin is a share of the best baseline's."""
        return self.metrics

    def primary_metric(self, dataset: Any) -> str:
        """R2, whose points a margin can be in; of ordered classes quadratic kappa."""
        if dataset.ordered:
            return "quadratic_kappa"
        return "r2"

    def objective(self, spec: RunSpec, model: Classifier, forward: Forward) -> Any:
        from whichtune.tasks.regression.objective import RegressionObjective

        return RegressionObjective(model, forward, RegressionSettings(**spec.task_settings), spec.data.ordinal)

    def solve(self, spec: RunSpec, model: Classifier, forward: Forward, timers: Timers) -> Training:
        from whichtune.tasks.classification.closed_form import solve

        training = solve(spec, model, forward, timers, _scale_of_splits(forward.encoded.splits).standardised)
        loss = RegressionSettings(**spec.task_settings).regression_loss
        if loss != "mse":
            training.notes.append(f"regression_loss {loss} has no effect on {spec.method}, which fits squared errors.")
        return training

    def restored(self, splits: Splits) -> Restore:
        return _in_unit(_scale_of_splits(splits))

    def restored_again(self, record: RunRecord) -> Restore:
        return _in_unit(scale_of(record))

    def figures(self, spec: RunSpec, outputs: Mapping[str, np.ndarray], splits: Splits) -> Judged:
        from whichtune.tasks.regression.evaluate import bounded, figures_of

        found = {name: bounded(each[:, 0], spec.data.ordinal) for name, each in outputs.items()}
        return figures_of(found, splits, _scale_of_splits(splits))

    def told(self, spec: RunSpec, record: RunRecord, outputs: np.ndarray) -> dict[str, Any]:
        """The number foretold for each text; of ordered classes the nearest one, and the number beside it."""
        from whichtune.metrics.numbers import rounded
        from whichtune.tasks.regression.evaluate import bounded

        classes = spec.data.ordinal
        if not classes:
            return {"prediction": outputs[:, 0]}
        numbers = bounded(outputs[:, 0], classes)
        return {"prediction": [classes[int(place)] for place in rounded(numbers)], "number": numbers}

    def outputs(self, spec: RunSpec, record: RunRecord) -> Outputs:
        """One number, by the name of its column."""
        scale = scale_of(record)
        ordered = tuple(spec.data.ordinal or ())
        return Outputs((spec.data.label_column or "number",), (), scale.mean, scale.sd, ordered)

    def gives_again(self, spec: RunSpec, record: RunRecord, again: pd.DataFrame, recorded: pd.DataFrame) -> bool:
        import numpy as np

        found = again["number" if spec.data.ordinal else "prediction"].to_numpy(dtype=np.float64)
        known = recorded["prediction"].to_numpy(dtype=np.float64)
        allowed = TOLERANCE[spec.precision] * scale_of(record).sd
        return found.shape == known.shape and bool((np.abs(found - known) <= allowed).all())


def scale_of(record: RunRecord) -> Scale:
    """What a run's targets were standardised by: the figures of its training split have it."""
    from whichtune.tasks.regression.evaluate import Scale

    train = record.metrics.train
    assert isinstance(train, NumberMetrics)  # a draw, which has none, saves nothing
    return Scale(train.target_mean, train.target_sd)


def _scale_of_splits(splits: Splits) -> Scale:
    from whichtune.tasks.regression.evaluate import Scale

    return Scale.of(splits["train"].labels)


def _in_unit(scale: Scale) -> Restore:
    return lambda outputs: scale.restored(outputs)[:, None]
