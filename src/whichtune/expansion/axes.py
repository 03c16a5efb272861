"""What a study varies beside methods and settings: its models, and how many texts are trained on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from pydantic import JsonValue

from whichtune.errors import SettingError
from whichtune.study.data_settings import DataSettings
from whichtune.study.explain import given_words
from whichtune.study.spec import RunEntry, Study
from whichtune.wording import telling_parts

TRAIN_SIZE = "data.train_size"
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
