"""Which settings a line of a study has: those of all lines, its method's, its factors' and its own."""

from __future__ import annotations

from pydantic import JsonValue

from whichtune.expansion.axes import crossed
from whichtune.methods import METHODS
from whichtune.study.spec import RunEntry, Settings, Study
from whichtune.tasks import task_of

MODEL_KEYS = ("model", "revision")  # of a model of its own, which a line of a study may name beside its settings


def setting_names(study: Study) -> dict[str, list[str]]:
    """Every setting's name and the methods that have it; an empty list for the settings of all runs."""
    own = task_of(study).Settings.model_fields
    names: dict[str, list[str]] = {name: [] for name in (*Settings.model_fields, *own, *MODEL_KEYS)}
    for name, method in METHODS.items():
        for key in method.Settings.model_fields:
            names.setdefault(key, []).append(name)
    return names


def factors_of(study: Study, method: str) -> dict[str, list[JsonValue]]:
    """The factors that a method has, by the names of its settings: those of other methods leave its rows alone.

    `METHOD.key` is for one method, and goes before `key`."""
    prefix = f"{method}."
    shared = {k: v for k, v in study.factors.items() if crossed(k) or ("." not in k and _applies(study, k, method))}
    own = {k.removeprefix(prefix): values for k, values in study.factors.items() if k.startswith(prefix)}
    return shared | own


def _applies(study: Study, key: str, method: str) -> bool:
    owners = setting_names(study).get(key)
    return owners is None or not owners or method in owners


def merged_settings(study: Study, entry: RunEntry, factor: dict[str, JsonValue] | None = None) -> dict[str, JsonValue]:
    """Shared settings that apply, then the method's own, then the factor's, then the line's: later ones win."""
    merged = {k: v for k, v in study.settings.items() if "." not in k and _applies(study, k, entry.method)}
    prefix = f"{entry.method}."
    merged |= {k.removeprefix(prefix): v for k, v in study.settings.items() if k.startswith(prefix)}
    return {**merged, **(factor or {}), **entry.settings}
