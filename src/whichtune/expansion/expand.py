"""From a study to its runs: every default filled in, every name checked, before anything starts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from whichtune.baselines import BASELINES
from whichtune.data.sizes import dataset_of
from whichtune.errors import SettingError
from whichtune.expansion.axes import (
    check_data_keys,
    crossed,
    data_of,
    factor_label,
    factors_of_data,
    sized_label,
    sizes_of,
    with_axes,
    with_size,
)
from whichtune.expansion.checks import (
    check_base_precision,
    check_consistent,
    check_data,
    check_pairs,
    check_splits,
    of_sample,
    one_ignored_label,
    refuse_twins,
    unfit,
)
from whichtune.expansion.judging import check_metrics, terms_notes, with_stopping_terms, with_terms
from whichtune.expansion.merging import MODEL_KEYS, factors_of, merged_settings, setting_names
from whichtune.expansion.rates import default_precision, default_rate
from whichtune.methods import METHODS
from whichtune.methods.base import AnyMethod
from whichtune.records.record import RunStatus
from whichtune.registry import did_you_mean
from whichtune.stats.asked import Asked
from whichtune.study import identity
from whichtune.study.explain import explain_validation, given_words
from whichtune.study.numbers import check_numbers
from whichtune.study.roles import Role
from whichtune.study.spec import RunEntry, RunSpec, Settings, Study
from whichtune.tasks import TASKS, task_of
from whichtune.wording import shown

if TYPE_CHECKING:
    from whichtune.models.loading import ModelInfo
    from whichtune.tasks.base import AnyDataset, AnyTask

LONGEST_NAME = 255  # bytes of a folder's name
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class ModelKey:
    """What must be known of a model to inspect it."""

    model: str
    revision: str | None
    weights: str


@dataclass(frozen=True)
class Expansion:
    """A study's runs in the order of its table, and the study with its defaults filled in."""

    study: Study
    specs: list[RunSpec]
    primary_metric: str
    labels: list[str]
    notes: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)  # run id -> why its model cannot be had
    models: Mapping[ModelKey, ModelInfo | str] = field(default_factory=dict)
    device: str = "cpu"
    unsettled: dict[str, tuple[RunStatus, str]] = field(default_factory=dict)  # label -> why a search chose nothing
    first_seeds: list[int] | None = None  # those whose figures were seen before others were added
    kept: frozenset[str] = frozenset()  # ids of runs that the folder holds and the command does not name


def baselines_of(study: Study) -> list[str]:
    """The study's, or those of its task where it names none."""
    return task_of(study).baselines(study) if study.baselines is None else study.baselines


def with_baselines(study: Study) -> Study:
    """The study with its baselines named."""
    return study.model_copy(update={"baselines": baselines_of(study)})


def entries(study: Study) -> list[tuple[RunEntry, dict[str, JsonValue]]]:
    """Methods crossed with factors, then explicit runs, each with its own settings and a distinct label."""
    listed = []
    for entry in study.methods:
        factors = factors_of(study, entry.method)
        for values in itertools.product(*factors.values()):
            own = dict(zip(factors, values, strict=True))
            label = factor_label(entry.label or entry.method, own)
            listed.append((entry.model_copy(update={"label": label}), own))
    explicit: list[tuple[RunEntry, dict[str, JsonValue]]] = [
        (entry.model_copy(update={"label": entry.label or entry.method}), {}) for entry in study.runs
    ]
    as_it_is: list[tuple[RunEntry, dict[str, JsonValue]]] = [
        (RunEntry(method=name, label=name), {})
        for name in baselines_of(study)
        if name in METHODS and name not in {entry.label for entry, _ in explicit}
    ]
    lines = [
        each
        for entry, own in [*listed, *explicit, *as_it_is]
        for each in with_axes(study, entry, own, METHODS[entry.method].trains)
    ]
    free = [name for name in baselines_of(study) if name not in METHODS]
    every = itertools.product(free, factors_of_data(study), sizes_of(study))
    seen: set[str | None] = {sized_label(factor_label(name, own), size) for name, own, size in every}
    for entry, _ in lines:
        if entry.label in seen:
            raise SettingError(f"The label '{entry.label}' is used twice: give each line of the study its own.")
        seen.add(entry.label)
    return lines


def check_names(study: Study) -> None:
    """Raise UnknownNameError or SettingError for the first unknown task, method, baseline, metric or setting."""
    task = task_of(study)
    for entry in [*study.methods, *study.runs]:
        _check_task("method", entry.method, METHODS[entry.method].tasks, task)
        if METHODS[entry.method].closed_form and not task.solves:
            raise SettingError(
                f"The method '{entry.method}' is fitted in closed form, which {task.name} cannot be: leave it out."
            )
    for name in baselines_of(study):
        _check_task("baseline", name, (METHODS[name] if name in METHODS else BASELINES[name]).tasks, task)
    check_metrics(study, task)
    used = {entry.method for entry in [*study.methods, *study.runs]}
    known = setting_names(study)
    check_data_keys(study)
    for key in [*study.settings, *(key for key in study.factors if not crossed(key))]:
        method, _, name = key.rpartition(".")
        if method:
            METHODS[method]
        if method and METHODS[method].open_settings:
            continue  # it says itself what it does not know
        if name not in known:
            _refuse_other_tasks_setting(name, task.name)
            raise SettingError(f"There is no setting '{name}': {did_you_mean(name, known)}")
        owners = known[name]
        if owners and not set(owners) & ({method} if method else used):
            raise SettingError(f"The setting '{key}' belongs to {', '.join(owners)}, which this study does not run.")
        if method and method not in used:
            raise SettingError(f"The setting '{key}' is for {method}, which this study does not run.")


def _check_task(kind: str, name: str, tasks: tuple[str, ...], task: AnyTask) -> None:
    if not {task.name, task.like} & set(tasks):
        raise SettingError(f"The {kind} '{name}' is for {' and '.join(tasks)}, not for {task.name}: leave it out.")


def _refuse_other_tasks_setting(name: str, task: str) -> None:
    owners = [other for other, each in TASKS.items() if name in each.Settings.model_fields]
    if owners:
        raise SettingError(f"The setting '{name}' is for {' and '.join(owners)}, not for {task}: leave it out.")


def model_keys(study: Study) -> list[ModelKey]:
    """The models that a study's lines need, each once, in the order of the lines."""
    return list(dict.fromkeys(_model_key(study, merged_settings(study, *line)) for line in entries(study)))


def _model_key(study: Study, merged: dict[str, JsonValue]) -> ModelKey:
    model, own = merged.get("model") or study.model, merged.get("revision")
    for name, given in (("model", model), ("revision", own)):
        if not isinstance(given, str | None):
            raise SettingError(f"A line's {name} is wrong{given_words(given)}: must be a text.")
    if any(len(part.encode()) > LONGEST_NAME for part in str(model).split("/")):
        raise SettingError(f"There is no model '{shown(model)}', whose name is longer than any: check it.")
    model = str(model)
    revision = str(own) if own else study.revision if model == study.model else None
    return ModelKey(model, revision, str(merged.get("weights") or "pretrained"))


def expand(
    study: Study,
    dataset: AnyDataset,
    models: Mapping[ModelKey, ModelInfo | str],
    device: str,
    allow_twins: bool = False,
) -> Expansion:
    """All runs of a study, resolved.

    `models` holds what is known of each of `model_keys`: where a sentence stands instead, the model cannot be
    had and the runs that need it are listed as missing.
    """
    check_names(study)
    check_splits(study)
    study = with_terms(with_baselines(study), dataset)
    metric, task = primary_metric(study, dataset), task_of(study)
    specs: list[RunSpec] = []
    missing: dict[str, str] = {}
    for entry, factor in entries(study):
        merged = merged_settings(study, entry, factor)
        key = _model_key(study, merged)
        found = models[key]
        info = None if isinstance(found, str) else found
        for seed in _seeds(study, entry, merged):
            spec = _with_fingerprints(_resolve(study, entry, merged, seed, key, info, device, metric), dataset, info)
            spec = with_stopping_terms(spec, study, dataset.labels)
            check_data(spec, task, dataset_of(spec.data, dataset), f"Settings of '{entry.label}'")
            specs.append(spec)
            if isinstance(found, str):
                missing[spec.run_id] = found
    ignored = one_ignored_label(study, specs)
    for name, own, size in itertools.product(baselines_of(study), factors_of_data(study), sizes_of(study)):
        if name not in METHODS:
            seeds = study.seeds if study.data.varies else [None]
            specs += [_baseline(study, name, own, size, dataset, ignored, seed) for seed in seeds]
            task.check(specs[-1], dataset_of(specs[-1].data, dataset), f"Settings of '{name}'")
    if not allow_twins:
        refuse_twins(specs)
    check_pairs(study, specs)
    return Expansion(
        study,
        specs,
        metric,
        dataset.labels,
        notes=[*getattr(dataset, "notes", ()), *terms_notes(study), *_notes_of(models)],
        missing=missing,
        models=models,
        device=device,
    )


def _notes_of(models: Mapping[ModelKey, ModelInfo | str]) -> list[str]:
    known = [info for info in models.values() if not isinstance(info, str)]
    return list(dict.fromkeys(note for info in known for note in info.notes))


def _seeds(study: Study, entry: RunEntry, merged: dict[str, JsonValue]) -> Sequence[int | None]:
    """The study's seeds; none where nothing is drawn: a model as it is, pretrained, that writes without sampling."""
    drawn = merged.get("weights") == "random" or merged.get("generation") == "sample"
    return study.seeds if METHODS[entry.method].trains or drawn or study.data.varies else [None]


def asked_of(expansion: Expansion) -> Asked:
    """The figures that the study asks for beside those that every run records."""
    return Asked.of(expansion.study, expansion.labels)


def primary_metric(study: Study, dataset: AnyDataset) -> str:
    """The study's, or what the task takes for these data where it names none."""
    if study.primary_metric != "auto":
        return study.primary_metric
    return task_of(study).primary_metric(dataset)


def _resolve(
    study: Study,
    entry: RunEntry,
    merged: dict[str, JsonValue],
    seed: int | None,
    key: ModelKey,
    info: ModelInfo | None,
    device: str,
    metric: str,
) -> RunSpec:
    method = METHODS[entry.method]
    merged = {name: value for name, value in merged.items() if name not in MODEL_KEYS}
    data = data_of(study, merged, f"Settings of '{entry.label}'")
    task = task_of(study)
    own = _of_method(method, merged, task)
    of_task = {key: merged.pop(key) for key in list(merged) if key in task.Settings.model_fields}
    where = f"Settings of '{entry.label}'"
    merged.setdefault("precision", default_precision(study, device))
    for name in merged:
        if name in task.unused:
            raise SettingError(f"{where}: {name} means nothing for {task.name}: leave it out.")
    foreign = [key for key in merged if key not in Settings.model_fields]
    if foreign:
        _refuse_other_tasks_setting(foreign[0], task.name)
        known = [*Settings.model_fields, *task.Settings.model_fields, *method.Settings.model_fields]
        raise SettingError(f"{where}: {entry.method} has no setting '{foreign[0]}': {did_you_mean(foreign[0], known)}")
    settings = _validate(Settings, merged, where)
    chosen = _validate(method.Settings, own, where)
    check_consistent(settings, info, where, device, method.reserved_tokens(chosen))
    conflict = method.conflict(chosen, settings, info) or unfit(method, chosen, info)
    if conflict:
        raise SettingError(f"{where}: {conflict}{'' if conflict.endswith('?') else '.'}")
    check_base_precision(method, chosen, settings, where, device)
    stop_on = metric if settings.early_stopping == "primary" else settings.early_stopping
    if stop_on not in ("none", *task.watched):
        choices = did_you_mean(stop_on, ("none", *task.watched))
        raise SettingError(f"{where}: early_stopping cannot watch {stop_on} in {task.name}: {choices}")
    resolved = task.resolve(settings, info, where)
    rate = settings.learning_rate
    return RunSpec(
        **{
            **settings.model_dump(),
            **resolved,
            "learning_rate": rate if rate is not None else default_rate(study, method.name, key.model),
            "early_stopping": stop_on,
        },
        learning_rate_source=_rate_source(method, rate),
        label=entry.label or entry.method,
        task=study.task,
        task_settings=identity.task_settings(task.name, task.settled(_validate(task.Settings, of_task, where), metric)),
        data=data.at_seed(seed),
        model=key.model,
        revision=key.revision,
        remote_code=study.remote_code,
        method=entry.method,
        method_settings=identity.method_settings(method.name, chosen),
        device=device if device in ("cuda", "mps") else "cpu",
        plan=study.plan,
        seed=seed,
    )


def _of_method(method: AnyMethod, merged: dict[str, JsonValue], task: AnyTask) -> dict[str, JsonValue]:
    """A method's settings, taken out of all that are set for a line; one that takes all names gets what is none's."""
    own = {key: merged.pop(key) for key in list(merged) if key in method.Settings.model_fields}
    if method.open_settings is None:
        return own
    others = {*Settings.model_fields, *task.Settings.model_fields, *task.unused}
    rest = {key: merged.pop(key) for key in list(merged) if key not in others}
    named = own.get(method.open_settings, {})
    return {**own, method.open_settings: {**rest, **named} if isinstance(named, dict) else named}


def _validate(model: type[Model], values: dict[str, JsonValue], where: str) -> Model:
    check_numbers(model, values, where)
    try:
        return model(**values)
    except ValidationError as error:
        raise explain_validation(error, where) from error


def _rate_source(method: AnyMethod, rate: float | None) -> Literal["card", "set"] | None:
    return "set" if rate is not None else "card" if method.card.learning_rate is not None else None


def _with_fingerprints(spec: RunSpec, dataset: AnyDataset, info: ModelInfo | None) -> RunSpec:
    known = info.fingerprints if info else {"weights": f"not to be had: {spec.model}"}
    prints = {"data": dataset.fingerprint, **known, **of_sample(spec.retention_text)}
    return spec.model_copy(update={"fingerprints": prints})


def _baseline(
    study: Study,
    name: str,
    factors: Mapping[str, JsonValue],
    size: int | None,
    dataset: AnyDataset,
    ignored: str | None,
    seed: int | None,
) -> RunSpec:
    task = task_of(study)
    shared = {key: value for key, value in study.settings.items() if key in task.Settings.model_fields}
    chosen = task.settled(_validate(task.Settings, shared, f"Settings of '{name}'"), primary_metric(study, dataset))
    return RunSpec(
        label=sized_label(factor_label(name, factors), size),
        role=Role.BASELINE,
        task=study.task,
        task_settings=identity.task_settings(study.task, chosen),
        data=with_size(data_of(study, dict(factors), f"Settings of '{name}'"), size).at_seed(seed),
        model="",
        method=name,
        seed=seed,
        ignore_index=ignored,
        fingerprints={"data": dataset.fingerprint},
    )
