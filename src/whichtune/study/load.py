"""Studies from YAML files and from command-line words."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import JsonValue, ValidationError

from whichtune.errors import SettingError, StudyFileError
from whichtune.registry import did_you_mean
from whichtune.study.spaces import Tuning
from whichtune.study.spec import DataSettings, Study, explain_validation


def load_study(path: Path | str) -> Study:
    """Read a study from a YAML file. Raises StudyFileError, with the line where the YAML is broken."""
    return parse_study(read_yaml(path), str(path))


def _beside(file: Path, value: dict[str, Any]) -> dict[str, Any]:
    """The study's plugin files as paths that hold wherever the command is given."""
    named = value.get("plugins")
    if not isinstance(named, list):
        return value
    places = [str(file.parent.resolve() / p) if isinstance(p, str) and p.endswith(".py") else p for p in named]
    return {**value, "plugins": places}


def read_yaml(path: Path | str) -> dict[str, Any]:
    """A YAML file that holds a mapping; an empty `name` is filled from the file's name."""
    file = Path(os.path.expanduser(path))
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StudyFileError(f"There is no study file '{path}': check the path.") from error
    except IsADirectoryError as error:
        raise StudyFileError(f"'{path}' is a folder: give a study file in YAML.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"The study file '{path}' cannot be read: {error}.") from error
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is no YAML"
        raise StudyFileError(f"The study file '{path}'{line}: {problem}; mend the YAML there.") from error
    if not isinstance(value, dict):
        raise StudyFileError(f"The study file '{path}' is no mapping of settings: begin with 'methods:'.")
    return {"name": file.stem, **_beside(file, value)}


def parse_study(value: Mapping[str, object], where: str) -> Study:
    """A study from plain values. Raises SettingError that names the key, with the nearest known one."""
    _known_keys(value, Study.model_fields, where)
    data = value.get("data")
    if isinstance(data, str):
        value = {**value, "data": {"source": data}}
    elif isinstance(data, Mapping):
        _known_keys(data, DataSettings.model_fields, f"{where}, data")
    if isinstance(tuning := value.get("tuning"), Mapping):
        _known_keys(tuning, Tuning.model_fields, f"{where}, tuning")
    try:
        return Study.model_validate(dict(value))
    except ValidationError as error:
        raise explain_validation(error, where) from error


def _known_keys(value: Mapping[str, object], known: Iterable[str], where: str) -> None:
    for key in value:
        if key not in known:
            raise SettingError(f"{where}: there is no key '{key}': {did_you_mean(str(key), known)}")


def parse_assignment(text: str) -> tuple[str, JsonValue]:
    """`key=value` from the command line; the value is read as YAML reads it, so 5e-4 is a number."""
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise SettingError(f"'{text}' is no setting: write --set key=value.")
    try:
        value = yaml.safe_load(raw) if raw.strip() else None
    except yaml.YAMLError as error:
        raise SettingError(f"The value of --set {text} cannot be read: quote it.") from error
    if isinstance(value, str):
        value = _number(value)
    return key.strip(), value


def _number(text: str) -> float | str:
    """YAML 1.1 takes 5e-4 for text, because it has no point."""
    try:
        return float(text)
    except ValueError:
        return text
