"""From what a program hands to `compare` to a study: a study, a mapping, a file, or keywords alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue, TypeAdapter, ValidationError

from whichtune.data.memory import AnyData, GivenData, given_data, names_data
from whichtune.errors import SettingError
from whichtune.expansion.asked import Values
from whichtune.expansion.assemble import assigned, chosen_methods, load_named, with_methods, with_usual_rows
from whichtune.study.data_settings import DataSettings
from whichtune.study.explain import explain_validation
from whichtune.study.load import parse_study, read_yaml
from whichtune.study.plain import Plain
from whichtune.study.spec import DEFAULT_TASK, Study
from whichtune.tasks import TASKS
from whichtune.wording import shown

AnyStudy: TypeAlias = "Study | Mapping[str, object] | Path | str"
PLAIN: TypeAdapter[JsonValue] = TypeAdapter(Plain)
COMPARE = "compare"
IN_MEMORY = "data of the program"  # until it is known where they are written


@dataclass(frozen=True)
class Keywords:
    """What `compare` may be told beside a study, or instead of one; None: nothing."""

    name: str | None = None
    data: AnyData | Path | str | None = None
    text_column: str | None = None
    label_column: str | None = None
    target_column: str | None = None
    task: str | None = None
    model: Path | str | None = None
    methods: Iterable[str | Mapping[str, object]] | str | None = None
    seeds: Iterable[int] | int | None = None
    settings: Mapping[str, object] | None = None

    def __bool__(self) -> bool:
        return any(value is not None for value in vars(self).values())


def study_from(study: AnyStudy | None, keywords: Keywords) -> tuple[Study, GivenData | None]:
    """The study that a program means, and data that it holds itself, of which the study does not yet name the place.

    Keywords stand over what the study says, as options of the command do. A study that names no methods has those of
    the demo. Raises a WhichtuneError for whatever is wrong with either.
    """
    if isinstance(study, Study) and not keywords:
        return study, None
    value, held, where = _values(study)
    data = held if keywords.data is None else keywords.data
    load_named(value)
    value = _with_keywords(value, keywords, where)
    if names_data(data):
        return parse_study(_with_data(value, data, keywords, where), where), None
    task = str(value.get("task") or DEFAULT_TASK)
    given = given_data(data, TASKS[task].columns.answer if task in TASKS else "label")
    return parse_study(_with_data(value, IN_MEMORY, keywords, where), where), given


def _values(study: AnyStudy | None) -> tuple[Values, object, str]:
    """A study as plain values, the data that it holds as they are, and what its messages begin with."""
    if study is None:
        return {}, None, COMPARE
    if isinstance(study, Study):
        return study.model_dump(mode="json", exclude_unset=True), None, f"The study '{shown(study.name)}'"
    if isinstance(study, (str, os.PathLike)):
        return read_yaml(study), None, str(study)
    if not isinstance(study, Mapping):
        raise SettingError(
            f"compare takes a study, a mapping, or the path of a study file, not {type(study).__name__}: "
            "data and the like are given by their names, as compare(data=...)."
        )
    where = "The study"
    held = None if names_data(study.get("data")) else study["data"]
    rest = {key: value for key, value in study.items() if key != "data" or held is None}
    return {"name": "study", **_plain(rest, where)}, held, where


def _plain(value: Mapping[str, object], where: str) -> Values:
    """Plain values, as a study file has them."""
    found: Values = {}
    for key, each in value.items():
        if not isinstance(key, str):
            raise SettingError(f"{where}: a key must be a text, not {shown(key)}.")
        try:
            found[key] = PLAIN.validate_python(each)
        except ValidationError as error:
            raise explain_validation(error, f"{where}, '{shown(key)}'") from error
    return found


def _with_keywords(value: Values, keywords: Keywords, where: str) -> Values:
    """The study with everything but its data."""
    own = {"name": keywords.name, "task": keywords.task}
    own["model"] = None if keywords.model is None else os.fspath(keywords.model)
    value = {**value, **{key: chosen for key, chosen in own.items() if chosen is not None}}
    if keywords.methods is not None:
        value = with_methods(value, chosen_methods(_methods(keywords.methods), "methods="))
    else:
        value = with_usual_rows(value)
    if keywords.seeds is not None:
        seeds = keywords.seeds
        value = {**value, "seeds": [seeds] if isinstance(seeds, int) else _listed(seeds, "seeds", "whole numbers")}
    if keywords.settings is not None:
        if not isinstance(keywords.settings, Mapping):
            raise SettingError(f"settings= is a mapping of names to values, not {type(keywords.settings).__name__}.")
        value = assigned(value, _plain(keywords.settings, "settings=").items(), "settings=, ")
    return value


def _methods(given: object) -> list[JsonValue]:
    """Names, and mappings of a name with its settings; one name is a list of one."""
    entries = [given] if isinstance(given, (str, Mapping)) else _listed(given, "methods", "names of methods")
    if not entries:
        raise SettingError("methods= is empty: name one or more.")
    return [_plain(entry, "methods=") if isinstance(entry, Mapping) else entry for entry in entries]


def _listed(given: object, name: str, what: str) -> list[JsonValue]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise SettingError(f"{name}= is a list of {what}, not {shown(repr(given))}.")
    return list(given)


def _with_data(value: Values, named: object, keywords: Keywords, where: str) -> Values:
    """The study with where its data come from, as a keyword or a stand-in names it, and which columns they have."""
    said = value.get("data")
    settings: Values = {"source": said} if isinstance(said, str) else dict(said) if isinstance(said, dict) else {}
    if isinstance(named, Mapping):
        settings |= _plain(named, f"{where}, data")
    elif isinstance(named, (str, os.PathLike)):
        settings["source"] = os.fspath(named)
    columns = {"text_column": keywords.text_column, "label_column": keywords.label_column}
    for key, chosen in {**columns, "target_column": keywords.target_column}.items():
        if chosen is not None:
            settings[key] = chosen
    return {**value, "data": settings} if settings else value


def at_place(study: Study, given: GivenData, folder: Path) -> Study:
    """The study with its data where they are written in its folder."""
    data: DataSettings = study.data.model_copy(update={"source": given.source_in(folder)})
    return study.model_copy(update={"data": data})
