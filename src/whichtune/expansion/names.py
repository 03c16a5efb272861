"""Names as they are registered, however their letters were written: `LoRA`, `Full`, `TFIDF_Word`, `Accuracy`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from whichtune.baselines import BASELINES
from whichtune.methods import METHODS
from whichtune.metrics import METRICS
from whichtune.study.spec import RunEntry, Study
from whichtune.tasks import TASKS

SAME = {"log_loss": "loss"}  # other names of metrics
WATCHED = "early_stopping"  # the one setting whose value is a metric


def spelled(name: str, known: Iterable[str]) -> str:
    """The known name that differs in nothing but capitals; a name that is none stays as it is, to be refused."""
    names = list(known)
    if name in names:
        return name
    return next((each for each in names if each.casefold() == name.casefold()), name)


def as_registered(study: Study) -> Study:
    """The study with its methods, baselines, task and metrics as they are registered."""
    rows = [*METHODS, *BASELINES]
    labels = {entry.label for entry in [*study.methods, *study.runs] if entry.label is not None}

    def row(label: str) -> str:
        return label if label in labels else spelled(label, rows)

    metrics = [*METRICS, "auto", *SAME]
    changes: dict[str, object] = {
        "task": spelled(study.task, TASKS),
        "methods": [_entry(entry) for entry in study.methods],
        "runs": [_entry(entry) for entry in study.runs],
        "settings": _settings(study.settings),
        "factors": {_key(key): values for key, values in study.factors.items()},
        "baselines": None if study.baselines is None else [spelled(name, rows) for name in study.baselines],
        "baseline": None if study.baseline is None else row(study.baseline),
        "primary_metric": _metric(study.primary_metric, metrics),
        "metrics": [_metric(name, metrics) for name in study.metrics],
        "pairs": [
            pair.model_copy(
                update={
                    "a": row(pair.a),
                    "b": row(pair.b),
                    "metric": None if pair.metric is None else _metric(pair.metric, metrics),
                }
            )
            for pair in study.pairs
        ],
    }
    if study.tuning is not None:
        spaces = {row(owner): ranges for owner, ranges in study.tuning.spaces.items()}
        changes["tuning"] = study.tuning.model_copy(update={"spaces": spaces})
    # What is as it was is not said to have been written, as a study's defaults are told from what it sets itself.
    return study.model_copy(update={key: value for key, value in changes.items() if value != getattr(study, key)})


def _metric(name: str, known: Iterable[str]) -> str:
    found = spelled(name, known)
    return SAME.get(found, found)


def _entry(entry: RunEntry) -> RunEntry:
    return entry.model_copy(update={"method": spelled(entry.method, METHODS), "settings": _settings(entry.settings)})


def _settings(settings: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {_key(key): _watched(key, value) for key, value in settings.items()}


def _key(key: str) -> str:
    """`METHOD.key` with its method as it is registered."""
    method, dot, name = key.rpartition(".")
    return f"{spelled(method, METHODS)}.{name}" if dot else key


def _watched(key: str, value: JsonValue) -> JsonValue:
    is_metric = key.rpartition(".")[2] == WATCHED and isinstance(value, str)
    return _metric(str(value), [*METRICS, "none", "primary", *SAME]) if is_metric else value
