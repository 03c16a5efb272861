"""Plain values, as YAML and JSON have them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import PurePath
from typing import Annotated

from pydantic import BeforeValidator, JsonValue


def _plain(value: object) -> object:
    """What Python has and JSON lacks, as it would be written there."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (date, PurePath)):
        return str(value)
    return value


Plain = Annotated[JsonValue, BeforeValidator(_plain)]
