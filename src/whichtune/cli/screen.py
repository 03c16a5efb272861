"""Where commands print, what may reach a terminal, and whether tracebacks are wanted."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# What moves a terminal's cursor, gives it commands or turns text around; lone surrogates cannot be written at all.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


IN_MEMORY = 1 << 20  # bytes of data to be printed that wait in memory


def safe(text: str) -> str:
    """Text that a terminal shows and does not obey: signs that it would are written as their escapes."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def safe_json(text: str) -> str:
    """The same of JSON, where an escape is the sign: nothing changes for who reads it."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str, stderr: bool = False) -> None:
    """Print a line of plain text."""
    print(safe(text), file=sys.stderr if stderr else sys.stdout)


@contextmanager
def whole_output() -> Iterator[IO[bytes]]:
    """Takes data for other programs and prints all of it at the end, or nothing; to a terminal safely.

    What is long waits on disk.
    """
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as handle:
        yield handle
        handle.seek(0)
        sys.stdout.flush()
        raw = None if sys.stdout.isatty() else getattr(sys.stdout, "buffer", None)
        if raw is not None:
            shutil.copyfileobj(handle, raw)
            raw.flush()
            return
        show = safe if sys.stdout.isatty() else str
        for line in io.TextIOWrapper(handle, encoding="utf-8", newline=""):
            sys.stdout.write(show(line))


def console(stderr: bool = False) -> Console:
    """A rich console that prints nothing unsafe; plain where the output is no terminal."""
    return _safe_console()(stderr=stderr)


def _safe_console() -> type[Console]:
    """The class, made when it is first asked for: rich takes its time to import."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        """Every text on its way to the output passes `render`, tables and live lines among them."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=safe(segment.text))

    return SafeConsole


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
