"""Sizes as they are typed."""

from __future__ import annotations

import re

from whichtune.errors import SettingError


def parse_bytes(option: str, text: str | None) -> int | None:
    """`20GB`, `500 MB` or a number of bytes; raises SettingError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", text.lower())
    if found is None:
        raise SettingError(f"{option} {text} is no size: write a number with kB, MB, GB or TB.")
    return int(float(found[1]) * 1000 ** " kmgt".index(found[2] or " "))
