"""The run server: a process that has imported torch and forks once for every run.

Started as `python -m whichtune.executors.worker`. It reads one JSON request a line from standard input
(`{"spec": {...}, "folder": "...", "save": true}`) and writes JSON events, one a line, to standard output.
Every run is a child process, so its memory is its own, and a crash or the system's out-of-memory killer
takes only that run. When standard input closes, which also happens when the parent is killed, the server
kills the run under way and leaves. Arguments `READ,WRITE` are pairs of open file descriptors: for each the
server forks another like itself, which makes its own runs.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import TextIO

from whichtune.executors.base import RunRequest, make_run
from whichtune.records.events import Event

POLL_SECONDS = 0.02
SET_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


def warm_up() -> None:
    """Import what runs need, once. Nothing is computed: threads started here would not survive a fork."""
    import peft  # noqa: F401
    import sklearn.discriminant_analysis
    import sklearn.linear_model
    import sklearn.metrics  # noqa: F401
    import torch  # noqa: F401
    import transformers.modeling_utils  # noqa: F401

    import whichtune.runs.run
    import whichtune.training.forward
    import whichtune.training.trainer  # noqa: F401


def _make(request: RunRequest, out: TextIO) -> None:
    from whichtune.measure.cost import keep_freed_memory

    def tell(event: Event) -> None:
        out.write(json.dumps(event) + "\n")
        out.flush()

    os.environ.update(request.environment)  # before anything asks which devices there are
    keep_freed_memory()
    make_run(request, tell)


def _prepare_child() -> None:
    """Die with the server, be the first choice of the out-of-memory killer, leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGKILL)
        try:
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as handle:
                handle.write("500")
        except OSError:
            return  # some containers forbid it; the run is no worse off


def _fork_and_wait(request: RunRequest, requests: TextIO, out: TextIO) -> int:
    """Run in a child; its exit status, negative for a signal. Leaves when standard input closes."""
    out.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _prepare_child()
            _make(request, out)
            code = 0
        finally:
            out.flush()
            os._exit(code)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        ready, _, _ = select.select([requests], [], [], POLL_SECONDS)
        if ready and os.read(requests.fileno(), 1) == b"":
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os._exit(0)  # at once: nothing here needs tidying


def _fork_others(requests: TextIO, out: TextIO, others: Sequence[tuple[int, int]]) -> None:
    """Fork a server for each pair of pipes; it takes them in place of `requests` and `out` and goes on from here."""
    for their_requests, their_events in others:
        if os.fork() == 0:
            os.dup2(their_requests, requests.fileno())
            os.dup2(their_events, out.fileno())
            break
    for pipe in (pipe for pair in others for pipe in pair):
        os.close(pipe)  # else nobody could tell by a pipe that its server is gone


def serve(requests: TextIO, out: TextIO, fork: bool = True, others: Sequence[tuple[int, int]] = ()) -> None:
    """Answer requests until standard input closes. Without fork, answer one and leave."""
    gc.disable()  # looking through what stays anyway takes a third of the imports' time
    warm_up()
    gc.freeze()  # a run need not look through all that was imported, which would also copy its pages
    gc.enable()
    if fork:
        _fork_others(requests, out, others)
    while line := _read_line(requests):
        request = RunRequest.model_validate_json(line)
        if fork:
            code = _fork_and_wait(request, requests, out)
        else:
            _make(request, out)
            code = 0
        out.write(json.dumps({"event": "exit", "code": code}) + "\n")
        out.flush()
        if not fork:
            return


def _read_line(requests: TextIO) -> str:
    """One line, byte by byte: nothing of the next request may wait in a buffer that a child would inherit."""
    parts = []
    while (byte := os.read(requests.fileno(), 1)) not in (b"", b"\n"):
        parts.append(byte)
    return b"".join(parts).decode()


if __name__ == "__main__":
    # Events own the real standard output; whatever libraries print goes to standard error.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    pairs = [pair.split(",") for pair in sys.argv[1:] if "," in pair]
    others = [(int(their_requests), int(their_events)) for their_requests, their_events in pairs]
    serve(sys.stdin, events, fork="--no-fork" not in sys.argv, others=others)
    os._exit(0)
