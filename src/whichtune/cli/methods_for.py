"""Which methods go with a model, told without its weights: what trains, how large a file is, what can be merged."""

from __future__ import annotations

from dataclasses import dataclass

from whichtune.methods import METHODS
from whichtune.methods.base import AnyMethod
from whichtune.models.loading import ModelInfo, inspect_model, load_config
from whichtune.runs.estimate import reason_of
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec, Settings

CLASSES = 2  # of the head that is counted
BYTES = 4  # of a stored number, float32


@dataclass(frozen=True)
class Fit:
    """How a method goes with a model: `why_not` in words, or what trains of how much."""

    method: str
    why_not: str | None = None
    trains: int = 0
    share: float = 0.0
    merges: bool = False
    on_quantised: bool = False
    grows: bool = False  # with the training texts: nothing else is known before

    @property
    def megabytes(self) -> float:
        """Of a saved run's file."""
        return self.trains * BYTES / 1e6


def methods_for(model: str, name: str | None = None) -> list[Fit]:
    """Every method for classes, or the one of that name, with its defaults, in this model. Raises ModelError where
    there is none such, UnknownNameError for a name that no method has."""
    names = [each for each, method in METHODS.items() if "classification" in method.tasks] if name is None else [name]
    chosen = {each: METHODS[each] for each in names}
    info = inspect_model(model, None, "pretrained", remote_code=False)
    return [_fit(each, method, info) for each, method in chosen.items()]


def _fit(name: str, method: AnyMethod, info: ModelInfo) -> Fit:
    from whichtune.measure.cost import count_parameters
    from whichtune.tasks.classification.estimate import meta_classifier

    own = method.Settings()
    why_not = method.conflict(own, Settings(), info)
    if why_not is not None:
        return Fit(name, why_not)
    position = "mean_nonpad" if info.kind == "encoder" else "last_nonpad"
    spec = RunSpec(label=name, data=DataSettings(), model=info.name, method=name, token_position=position)
    try:
        classifier = meta_classifier(spec, load_config(info.path), CLASSES)
    except Exception as error:  # whatever a model or a layer says that does not fit
        return Fit(name, reason_of(error))
    trains, total = count_parameters(classifier)
    on_quantised = method.keeps_weights(own)
    return Fit(name, None, trains, trains / total, method.can_merge(classifier), on_quantised, method.grows)
