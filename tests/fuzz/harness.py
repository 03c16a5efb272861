"""One input, run as a user would run it, and what must hold of every answer whatever the input was."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from unittest import mock

import numpy

SECONDS = 20  # of processor time in which every input is answered, whatever else the machine does
FOR_GOOD = 600  # seconds after which a command waits for what never comes
LONGEST = 2000  # characters of one sentence
ALLOWED = {0: "done", 1: "a run failed, or a check did", 2: "bad input"}


@dataclass(frozen=True)
class Case:
    """A command with the files that it finds. `{here}` in a word stands for the folder they lie in."""

    words: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    kind: str = "settings"

    def told(self) -> str:
        """What to type to see it again."""
        return f"{self.kind}: {' '.join(map(repr, self.words))[:400]} with {_short(self.files)}"


@dataclass(frozen=True)
class Answer:
    code: object
    stdout: str
    stderr: str
    seconds: float  # of this process and those that it started
    left: list[str]  # files that were not there before


class TooSlow(BaseException):
    """No Exception, so that nothing on the way takes it for a fault of the input."""


def answer(case: Case, folder: Path) -> Answer:
    """Run the command in this process, in a folder that holds the case's files and nothing else."""
    from whichtune.cli.app import main

    for name, content in case.files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    before = _names(folder)
    out, err = io.StringIO(), io.StringIO()
    words = [word.replace("{here}", str(folder)) for word in case.words]
    began = _processor_seconds()
    code: object = "no exit"
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["whichtune", *words]))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(mock.patch.dict(os.environ))
        stack.enter_context(numpy.errstate(all="warn"))
        stack.enter_context(_no_longer_than(SECONDS, FOR_GOOD))
        try:
            main()
        except SystemExit as end:
            code = end.code
        except TooSlow:
            code = "too slow"
    took = _processor_seconds() - began
    return Answer(code, out.getvalue(), err.getvalue(), took, sorted(_names(folder) - before))


def faults(case: Case, found: Answer) -> list[str]:
    """What is wrong with an answer; nothing where it is as it must be."""
    wrong = []
    if found.code not in ALLOWED:
        wrong.append(f"exit code {found.code!r}")
    if "Traceback" in found.stderr or "whichtune failed" in found.stderr:
        wrong.append(f"not told as bad input: {found.stderr[:300]!r}")
    if "Warning" in found.stderr:
        wrong.append(f"a library's warning: {found.stderr[:300]!r}")
    if found.code == 2:
        wrong += _no_sentence(found.stderr)
        wrong += _library_words(found.stderr) if case.kind != "model folders" else []  # whose files are the libraries'
        wrong += [f"left behind: {', '.join(found.left[:5])}"] if found.left else []
    if found.seconds > SECONDS:
        wrong.append(f"{found.seconds:.0f} s")
    if "--dry-run" in case.words and found.left:
        wrong.append(f"a dry run wrote {', '.join(found.left[:5])}")
    return list(dict.fromkeys(wrong))


def _no_sentence(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.startswith("--set ")]  # which lines keep their own
    if len(lines) != 1:
        return [f"{len(lines)} lines instead of one sentence: {text[:300]!r}"]
    (line,) = lines
    wrong = [] if line.startswith("Error: ") and line.endswith((".", "?")) else [f"no sentence: {line[:300]!r}"]
    if len(line) > LONGEST:
        wrong.append(f"{len(line)} characters: {line[:100]!r}")
    return wrong


def _library_words(text: str) -> list[str]:
    return [f"says {word}: {text[:300]!r}" for word in LIBRARY_WORDS if word in text]


# What a library says of itself, and no user can act on.
LIBRARY_WORDS = ("pydantic", "Input should be", "validation error", "Errno", "<class", "object at 0x", "NoneType")


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _short(files: dict[str, bytes]) -> str:
    return ", ".join(f"{name} = {content[:200]!r}" for name, content in files.items()) or "no file"


def _processor_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@contextlib.contextmanager
def _no_longer_than(seconds: int, for_good: int) -> Iterator[None]:
    """Raise TooSlow after so many seconds of processor time, or after `for_good` seconds of waiting."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = {number: signal.signal(number, stop) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, for_good)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
