"""Words of a command that say more than the parser knows."""

from __future__ import annotations

from whichtune.errors import WhichtuneError
from whichtune.plugins import load_plugin


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
