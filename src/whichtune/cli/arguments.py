"""Words of a command that say more than the parser knows."""

from __future__ import annotations

import re

from whichtune.errors import SettingError, WhichtuneError
from whichtune.plugins import load_plugin


def parse_bytes(option: str, text: str | None) -> int | None:
    """`20GB`, `500 MB` or a number of bytes; raises SettingError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", text.lower())
    if found is None:
        raise SettingError(f"{option} {text} is no size: write a number with kB, MB, GB or TB.")
    return int(float(found[1]) * 1000 ** " kmgt".index(found[2] or " "))


def load_plugins(arguments: list[str]) -> None:
    """Import every `--plugin PLACE` and take it out of the arguments: names that it adds are asked for by the rest."""
    at = 1
    while at < len(arguments):
        option, equals, place = arguments[at].partition("=")
        if option != "--plugin":
            at += 1
            continue
        if not equals and at + 1 < len(arguments):
            place = arguments.pop(at + 1)
        arguments.pop(at)
        if not place:
            raise WhichtuneError("--plugin names nothing: give a module or a .py file.")
        load_plugin(place)
