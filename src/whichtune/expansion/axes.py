"""What a study varies beside methods and settings: its models, and how many texts are trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, TypeVar

from pydantic import JsonValue, ValidationError

from whichtune.data.sizes import on_all
from whichtune.errors import SettingError
from whichtune.registry import did_you_mean
from whichtune.study.data_settings import DataSettings
from whichtune.study.explain import explain_validation, given_words
from whichtune.study.numbers import check_numbers
from whichtune.study.spec import RunEntry, Study
from whichtune.tasks import task_of
from whichtune.wording import listing, telling_parts

TRAIN_SIZE = "data.train_size"
OF_DATA = "data."
# Rows that differ in one of these have the same test texts, or fewer of them.
CROSSED = ("train_limit", "train_size", "validation_limit", "duplicates", "text_column")
DatasetT = TypeVar("DatasetT")
Line = tuple[RunEntry, dict[str, JsonValue]]


def with_axes(study: Study, entry: RunEntry, own: dict[str, JsonValue], trains: bool) -> Iterator[Line]:
    """A line crossed with the study's models, unless it names one, and with its numbers of training texts."""
    names = {} if "model" in own or "model" in entry.settings else short_models(study.models)
    sizes = sizes_of(study) if TRAIN_SIZE not in entry.settings and trains else [None]
    for (model, name), size in product(names.items() or [(None, None)], sizes):
        label = str(entry.label)
        label = label if name is None else f"{label}, {name}"
        axes: dict[str, JsonValue] = {} if model is None else {"model": model}
        if size is not None:
            axes[TRAIN_SIZE] = size
        yield entry.model_copy(update={"label": sized_label(label, size)}), {**own, **axes}


def sizes_of(study: Study) -> list[int | None]:
    """The numbers of training texts, None for all of them; of a study that varies none the one None."""
    return [None if size == "all" else size for size in study.train_sizes] or [None]


def sized_label(label: str, size: int | None) -> str:
    """`lora, 100 texts`; on the whole split the label as it is."""
    return label if size is None else f"{label}, {size:,} texts"


def crossed(key: str) -> bool:
    """Whether a factor or a line's setting is one of the data."""
    return key.startswith(OF_DATA)


def check_crossed(key: str) -> None:
    """Raise SettingError for a setting of the data that rows of one study cannot differ in."""
    name = key.removeprefix(OF_DATA)
    if name in CROSSED:
        return
    if name not in DataSettings.model_fields:
        raise SettingError(
            f"There is no setting '{key}': {did_you_mean(key, [f'{OF_DATA}{each}' for each in CROSSED])}"
        )
    raise SettingError(
        f"{key} cannot differ between the rows of a study, which would be tested on other texts: rows may differ in "
        f"{listing(CROSSED)}. Make a study for each value, and compare them with whichtune diff."
    )


def check_data_keys(study: Study) -> None:
    """Raise SettingError for a setting of the data that stands where it cannot."""
    for key in filter(crossed, study.settings):
        raise SettingError(
            f"The setting '{key}' stands under settings: settings of the data stand under data, and under factors or "
            "in a line's settings where rows differ in them."
        )
    for key in filter(crossed, study.factors):
        check_crossed(key)


def data_of(study: Study, merged: dict[str, JsonValue], where: str) -> DataSettings:
    """The study's data as a line has them: its own settings of the data are taken out of `merged`."""
    own = {key: merged.pop(key) for key in list(merged) if crossed(key)}
    for key in own:
        check_crossed(key)
    size = size_of(own.pop(TRAIN_SIZE, None), where)
    if not own:
        return with_size(study.data, size)
    if study.data.varies:
        raise SettingError(
            f"{where}: {next(iter(own))} cannot be a row's own where each seed has a split of its own: leave out "
            "data.resplit and data.folds, or the factor."
        )
    values = {**study.data.model_dump(), **{key.removeprefix(OF_DATA): value for key, value in own.items()}}
    check_numbers(DataSettings, values, where)
    try:
        return with_size(DataSettings(**values), size)
    except ValidationError as error:
        raise explain_validation(error, where) from error


def factors_of_data(study: Study) -> list[dict[str, JsonValue]]:
    """Every combination of the factors that are settings of the data; one empty one where there are none."""
    factors = {key: values for key, values in study.factors.items() if crossed(key)}
    return [dict(zip(factors, values, strict=True)) for values in product(*factors.values())]


def factor_label(label: str, own: Mapping[str, JsonValue]) -> str:
    """`lora, epochs=3`; without factors the label as it is."""
    return ", ".join([label, *(f"{key}={value}" for key, value in own.items())])


def with_variants(study: Study, lines: Iterable[Mapping[str, JsonValue]], dataset: DatasetT) -> DatasetT:
    """The study's dataset, and beside it the same source as lines read it that have settings of the data of their own.

    `lines` are their settings. Raises DataError for data that cannot be had so, and for a source that changed.
    """
    task, variants = task_of(study), dict[DataSettings, object]()
    for merged in lines:
        data = on_all(data_of(study, dict(merged), "Settings of the data"))
        if data != on_all(study.data) and data not in variants:
            variants[data] = task.load(data)
    if not variants:
        return dataset
    whole: Any = dataset
    if not hasattr(whole, "variants"):
        raise SettingError(f"Rows of {task.name} cannot differ in settings of the data: set them once, under data.")
    found: DatasetT = replace(whole, variants=variants)
    return found


def with_size(data: DataSettings, size: int | None) -> DataSettings:
    """The data of a row that trains on so many texts."""
    return data if size is None else data.model_copy(update={"train_size": size})


def size_of(value: JsonValue, where: str) -> int | None:
    """A line's own number of training texts. Raises SettingError for what is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 2:
        raise SettingError(f"{where}: {TRAIN_SIZE} is wrong{given_words(value)}: must be a whole number from 2.")
    return value


def short_models(models: list[str]) -> dict[str, str]:
    """A short name for each model, no two alike: the end of its path, with as much before it as that takes."""
    parts = {model: telling_parts(model) for model in models}
    depth = 1
    while True:
        names = {model: "/".join(own[-depth:]) for model, own in parts.items()}
        if len(set(names.values())) == len(names):
            return names
        if depth > max(len(own) for own in parts.values()):
            return {model: model for model in models}
        depth += 1
