"""Run servers forked from one process that has made their imports once for all tests.

A server's imports take seconds of processor time, and every study made in a test starts one. What is forked here goes
on in `whichtune.executors.worker.serve` as any server does; how servers are started otherwise is tested with the
fixture `real_servers` and by all tests of the command.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from typing import IO, Any


class WarmServers:
    """The parent's end: stands in for `whichtune.executors.server._launch`."""

    def __init__(self, launch: Any, forked: Any) -> None:
        self._launch_anew, self._forked = launch, forked
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def launch(self, fork: bool, log: IO[bytes], others: int = 0) -> list[Any]:
        if not fork:
            return self._launch_anew(fork, log, others)
        pipes = [(os.pipe(), os.pipe()) for _ in range(1 + others)]
        theirs = [end for requests, events in pipes for end in (requests[0], events[1])]
        with self._lock:
            channel = self._opened()
            wanted = {"cwd": os.getcwd(), "environment": dict(os.environ)}
            socket.send_fds(channel, [json.dumps(wanted).encode() + b"\n"], [log.fileno(), *theirs])
            assert channel.recv(1) == b".", "the process that forks run servers has ended"
        for end in theirs:
            os.close(end)
        return [self._forked(requests[1], events[0]) for requests, events in pipes]

    def _opened(self) -> socket.socket:
        if self._channel is None:
            self._channel, far_end = socket.socketpair()
            command = [sys.executable, __file__, str(far_end.fileno())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[far_end.fileno()], start_new_session=True
            )
            far_end.close()
        return self._channel

    def close(self) -> None:
        if self._channel is not None and self._process is not None:
            self._channel.close()
            self._process.wait()


def fork_on_demand(channel: socket.socket) -> None:
    """Fork a server for each message until the channel closes."""
    from whichtune.executors.worker import warm_up

    gc.disable()
    warm_up()
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        message, ends, _, _ = socket.recv_fds(channel, 1 << 16, 64)
        while message and not message.endswith(b"\n"):
            message += channel.recv(1 << 16)
        if not message:
            return
        if os.fork() == 0:
            channel.close()
            _become_a_server(json.loads(message), ends)
        for end in ends:
            os.close(end)
        channel.send(b".")


def _reap(*_: object) -> None:
    """Take leave of the servers that have ended, so that their time counts as the tests'."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become_a_server(wanted: dict[str, Any], ends: list[int]) -> None:
    """Go on as a server with the caller's environment and folder; never returns."""
    from whichtune.executors.worker import serve

    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(wanted["cwd"])
        os.environ.clear()
        os.environ.update(wanted["environment"])
        log, requests, events, *others = ends
        for end, standard in ((requests, 0), (log, 1), (log, 2)):
            os.dup2(end, standard)
        os.close(requests)
        os.close(log)
        serve(
            sys.stdin,
            os.fdopen(events, "w", encoding="utf-8"),
            others=list(zip(others[::2], others[1::2], strict=True)),
        )
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    fork_on_demand(socket.socket(fileno=int(sys.argv[1])))
