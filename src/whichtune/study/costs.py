"""What mistakes cost, as a study writes it: true label, predicted label, cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from whichtune.errors import SettingError
from whichtune.study.plain_yaml import PlainYamlError, read_plain

MOST_BYTES = 10_000_000


def _named(value: object) -> object:
    """Labels as texts: data files have them so, and YAML takes `0` for a number."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("write a mapping of each true label to predicted labels and their costs")
    for label, row in value.items():
        if not isinstance(row, dict):
            raise ValueError(f"of '{label}' write a mapping of predicted labels to their costs")
        for answer, cost in row.items():
            if isinstance(cost, bool) or not isinstance(cost, int | float):
                raise ValueError(f"what answering '{answer}' to '{label}' costs must be a number")
    return {_name(label): {_name(answer): cost for answer, cost in row.items()} for label, row in value.items()}


def _name(label: object) -> str:
    if isinstance(label, bool):
        raise ValueError(f"put quotes around the label {str(label).lower()}, which YAML takes for a truth value")
    return str(label)


WrittenCosts = Annotated[dict[str, dict[str, float]] | None, BeforeValidator(_named)]


def read_costs(path: Path) -> Any:
    """A file of costs in YAML or JSON: true label, predicted label, cost. Raises SettingError."""
    file = path.expanduser()
    try:
        if not file.is_file():
            raise SettingError(f"--cost-matrix: there is no file '{path}': check the path.")
        if file.stat().st_size > MOST_BYTES:
            raise SettingError(f"--cost-matrix: '{path}' is too large to be a matrix of costs: check the path.")
        found = read_plain(file.read_text(encoding="utf-8"))
    except PlainYamlError as error:
        line = f", line {error.line}" if error.line else ""
        raise SettingError(f"--cost-matrix: '{path}'{line}: {error.problem}; mend the YAML there.") from error
    except (OSError, ValueError) as error:
        raise SettingError(f"--cost-matrix: '{path}' cannot be read as text: check the path.") from error
    try:
        return _named(found or {})
    except ValueError as error:
        raise SettingError(f"--cost-matrix: '{path}' cannot be read: {error}.") from error
