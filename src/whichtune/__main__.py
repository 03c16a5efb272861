"""`python -m whichtune`, and the command itself."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
    # `python -m` looks into the working directory first: a random.py beside the data is none of the library.
    del sys.path[0]

import atexit

from whichtune.cli.app import main


def run() -> None:
    """`main`, then out at once: taking torch down module by module costs a second that nobody needs.

    Registered first, the exit handler runs after all others; by then every thread has ended.
    """
    ending: list[int] = []
    atexit.register(_leave, ending)
    try:
        main()
    except SystemExit as error:
        if isinstance(error.code, int):
            ending.append(error.code)
        raise


def _leave(ending: list[int]) -> None:
    if not ending:
        return  # the usual way, which prints what went wrong
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (BrokenPipeError, ValueError):  # the reader has gone, or the stream is closed
        os._exit(ending[0] or 1)
    os._exit(ending[0])


if __name__ == "__main__":
    run()
