"""What a run is to its study, and the version of what is stored of it."""

from __future__ import annotations

from enum import StrEnum

SCHEMA_VERSION = 1


class Role(StrEnum):
    RUN = "run"
    BASELINE = "baseline"
    DRAW = "draw"
