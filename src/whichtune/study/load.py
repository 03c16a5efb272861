"""Studies from YAML files and from command-line words."""

from __future__ import annotations

import codecs
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from whichtune.errors import SettingError, StudyFileError
from whichtune.registry import did_you_mean
from whichtune.study.data_settings import DataSettings
from whichtune.study.explain import explain_validation
from whichtune.study.numbers import number_of
from whichtune.study.plain_yaml import PlainYamlError, read_plain
from whichtune.study.spaces import Tuning
from whichtune.study.spec import Study
from whichtune.wording import path_problem, shown, shown_path

UNWRITABLE = re.compile("[\0\ud800-\udfff]")
LARGEST = 4 << 20  # bytes of a study file


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
    file, place = _study_file(path), shown_path(path)
    try:
        value = read_plain(_text_of(file, place))
    except PlainYamlError as error:
        line = f", line {error.line}" if error.line else ""
        raise StudyFileError(f"The study file '{place}'{line}: {error.problem}; mend the YAML there.") from error
    if not isinstance(value, dict):
        raise StudyFileError(f"The study file '{place}' is no mapping of settings: begin with 'methods:'.")
    return {"name": file.stem, **_beside(file, value)}


def _study_file(path: Path | str) -> Path:
    """A plain file of a sensible size. Anything else is refused before it is opened: a pipe would be waited for."""
    place = shown_path(path)
    try:
        file = Path(path).expanduser()
        state = file.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StudyFileError(f"There is no study file '{place}': check the path.") from error
    except (OSError, ValueError, RuntimeError) as error:  # too long, no permission; a null byte; ~nobody
        raise StudyFileError(f"The study file '{place}' cannot be read ({path_problem(error)}): check it.") from error
    if stat.S_ISDIR(state.st_mode):
        raise StudyFileError(f"'{place}' is a folder: give a study file in YAML.")
    if not stat.S_ISREG(state.st_mode):
        raise StudyFileError(f"'{place}' is a pipe, a socket or a device: give a study file in YAML.")
    if state.st_size > LARGEST:
        raise StudyFileError(f"'{place}' is larger than {LARGEST >> 20} MiB, which no study file is: check the path.")
    return file


def _text_of(file: Path, place: str) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StudyFileError(f"The study file '{place}' cannot be read ({path_problem(error)}): check it.") from error
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise StudyFileError(
            f"The study file '{place}', line {line}: it is not UTF-8 there; save the file as UTF-8."
        ) from error


def parse_study(value: Mapping[str, object], where: str) -> Study:
    """A study from plain values. Raises SettingError that names the key, with the nearest known one."""
    _known_keys(value, Study.model_fields, where)
    _check_texts(value, where)
    data = value.get("data")
    if isinstance(data, str):
        value = {**value, "data": {"source": data}}
    elif isinstance(data, Mapping):
        _known_keys(data, DataSettings.model_fields, f"{where}, data")
    if isinstance(tuning := value.get("tuning"), Mapping):
        _known_keys(tuning, Tuning.model_fields, f"{where}, tuning")
    try:
        study = Study.model_validate(dict(value))
    except ValidationError as error:
        raise explain_validation(error, where) from error
    if min(study.seeds) < 0:  # what is stored may have such a seed, and is read all the same
        raise SettingError(f"{where}: 'seeds' is wrong (given: {min(study.seeds)}): a seed is 0 or more.")
    return study


def _check_texts(value: object, where: str, key: str = "") -> None:
    """Raise SettingError for a text that no file can hold: with a null byte, or bytes that are no text."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            _check_texts(name, where, f"{key}.{name}".lstrip("."))
            _check_texts(each, where, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for each in value:
            _check_texts(each, where, key)
    elif isinstance(value, str) and UNWRITABLE.search(value):
        raise SettingError(f"{where}: '{shown(key)}' holds a character that no text can hold: '{shown(value)}'.")


def _known_keys(value: Mapping[str, object], known: Iterable[str], where: str) -> None:
    for key in value:
        if key not in known:
            raise SettingError(f"{where}: there is no key '{shown(key)}': {did_you_mean(str(key), known)}")


def parse_assignment(text: str) -> tuple[str, JsonValue]:
    """`key=value` from the command line; the value is read as YAML reads it, so 5e-4 is a number."""
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise SettingError(f"'{shown(text)}' is no setting: write --set key=value.")
    try:
        value = read_plain(raw) if raw.strip() else None
    except PlainYamlError as error:
        raise SettingError(
            f"The value of --set {shown(text)} cannot be read ({error.problem}): mend it, or quote it."
        ) from error
    return key.strip(), number_of(value) if isinstance(value, str) else value
