"""The command in this process: what it says and its exit code, without a process's imports."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock


@dataclass(frozen=True)
class Said:
    stdout: str
    stderr: str


def inside(*words: str, cwd: Path | None = None, code: int = 0) -> Said:
    """Call the command's entry point as a shell would; the exit code must be `code`."""
    from whichtune.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["whichtune", *words]))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        stack.enter_context(contextlib.chdir(cwd or Path.cwd()))
        try:
            main()
        except SystemExit as end:
            left_with = end.code
    assert left_with == code, out.getvalue() + err.getvalue()
    return Said(out.getvalue(), err.getvalue())
