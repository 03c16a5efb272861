"""Plain values, as YAML and JSON have them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from pathlib import PurePath
from typing import Annotated

from pydantic import BeforeValidator, JsonValue


def plain(value: object) -> object:
    """What Python has and JSON lacks, as it would be written there. Raises ValueError for what no JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (date, PurePath)):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"must be finite, not {value}")
    return value


Plain = Annotated[JsonValue, BeforeValidator(plain)]
