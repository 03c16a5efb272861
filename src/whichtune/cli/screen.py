"""Where commands print, and whether their tracebacks are wanted."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(stderr: bool = False) -> Console:
    """A rich console; plain where the output is no terminal."""
    from rich.console import Console

    return Console(stderr=stderr)


def debug_wanted() -> bool:
    """Whether --debug was given."""
    return os.environ.get("WHICHTUNE_DEBUG") == "1"


_typed: list[str] = []


def remember_command() -> None:
    """Keep the command before any of its options is taken out."""
    _typed[:] = sys.argv[1:]


def typed_command() -> str:
    """The command as it was typed, for the report's reader."""
    typed = shlex.join(["whichtune", *(_typed or sys.argv[1:])])
    return typed.encode("utf-8", "backslashreplace").decode()  # a file's name may be bytes that are no text
