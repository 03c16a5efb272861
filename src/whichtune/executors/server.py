"""The parent's end of run servers: how they are started, asked for a run, and ended."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

from whichtune.executors.base import RunRequest
from whichtune.records.events import Event, Listener

END_SECONDS = 10


class StoppedError(Exception):
    """Ends a worker whose server was closed under it: the study was interrupted, or another worker failed."""


@dataclass
class _Connection:
    """Both pipes of a running server, and its process where that is a child of this one.

    A server that was forked from another has none: it is known to be gone when its pipe hangs up.
    """

    requests: IO[str]
    events: IO[str]
    process: subprocess.Popen[str] | None
    reading: threading.Lock = field(default_factory=threading.Lock)  # held while a run's events are read

    @property
    def is_known_dead(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def lost(self) -> int:
        """The exit status, not 0, of a server that has hung up in the middle of a run."""
        return 1 if self.process is None else self.process.wait() or 1

    def end(self, at_once: bool) -> None:
        """Have the server leave, with the run under way; `at_once` where it has been asked for nothing yet."""
        if self.process is not None and at_once:
            self.process.kill()  # still at its imports, or waiting
        try:
            self.requests.close()
        except BrokenPipeError:
            if self.process is not None:
                self.process.kill()  # it had died with a request unread
        if self.process is None:
            hangup = select.poll()
            hangup.register(self.events, 0)
            hangup.poll(END_SECONDS * 1000)
        else:
            self._wait(self.process)
        with self.reading:  # which ends with the server
            self.events.close()

    @staticmethod
    def _wait(process: subprocess.Popen[str]) -> None:
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# Starts a server that forks its runs, or makes them itself, and writes what libraries say to the log.
Launch = Callable[[bool, IO[bytes]], "list[_Connection]"]


class RunServer:
    """A server that makes one run at a time; started when first needed, and again should it die. `launch` starts it,
    by default as a process of its own."""

    def __init__(self, fork: bool = True, launch: Launch | None = None) -> None:
        self.fork, self.launch = fork, launch
        self.log: IO[bytes] = tempfile.TemporaryFile()
        self.lock = threading.Lock()  # closing comes from another thread where runs are made side by side
        self.closed = self.used = False
        self.connection: _Connection | None = None

    def __enter__(self) -> RunServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.log.close()

    def close(self) -> None:
        """End the server and the run under way; it starts no more."""
        with self.lock:
            self.closed = True
        self._let_go(at_once=not self.used)

    def _let_go(self, at_once: bool) -> None:
        with self.lock:
            connection, self.connection = self.connection, None
        if connection is not None:
            connection.end(at_once)

    def run(self, request: RunRequest, on_event: Listener) -> int:
        """Make one run; gives the child's exit status, negative for a signal. Raises StoppedError once closed."""
        line = request.model_dump_json() + "\n"
        try:
            connection = self._send(line)
        except BrokenPipeError:  # it has died since its last run
            self._let_go(at_once=True)
            connection = self._send(line)
        with connection.reading:
            for answer in connection.events:
                event: Event = json.loads(answer)
                if event["event"] == "exit":
                    if connection.process is not None and not self.fork:  # it answers one request and leaves
                        connection.process.wait()
                    return int(event["code"])
                on_event(event)
        code = connection.lost()
        self._let_go(at_once=True)
        return code

    def _send(self, line: str) -> _Connection:
        connection = self.start()
        self.used = True
        connection.requests.write(line)
        connection.requests.flush()
        return connection

    def start(self) -> _Connection:
        """The connection to a running server. Raises StoppedError once closed."""
        with self.lock:
            if self.closed:
                raise StoppedError
            if self.connection is not None and self.connection.is_known_dead:
                self.connection.end(at_once=True)
                self.connection = None
            if self.connection is None:
                launch = self.launch or _launch
                (self.connection,) = launch(self.fork, self.log)
            return self.connection


def start_together(servers: Sequence[RunServer]) -> None:
    """Start new servers with one set of imports: all but the first are forked from it when it has made them.

    Where there is no forking each makes its own.
    """
    if not servers or not servers[0].fork:
        for server in servers:
            server.start()
        return
    for server, connection in zip(servers, _launch(True, servers[0].log, len(servers) - 1), strict=True):
        server.connection = connection


def _launch(fork: bool, log: IO[bytes], others: int = 0) -> list[_Connection]:
    """Connections to a new process and to the `others` that it will fork, who get their pipes through it."""
    pipes = [(os.pipe(), os.pipe()) for _ in range(others)]
    theirs = [(requests[0], events[1]) for requests, events in pipes]
    # -P: else the working directory would come first, and a random.py beside the data in the library's place.
    command = [sys.executable, "-P", "-m", "whichtune.executors.worker", *([] if fork else ["--no-fork"])]
    process = subprocess.Popen(
        [*command, *(f"{requests},{events}" for requests, events in theirs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        pass_fds=[end for pair in theirs for end in pair],
        start_new_session=True,  # Ctrl-C reaches only the parent, which then closes the pipes
    )
    for end in (end for pair in theirs for end in pair):
        os.close(end)
    assert process.stdin is not None
    assert process.stdout is not None
    first = _Connection(process.stdin, process.stdout, process)
    return [first, *(_forked(requests[1], events[0]) for requests, events in pipes)]


def _forked(requests: int, events: int) -> _Connection:
    return _Connection(open(requests, "w", encoding="utf-8"), open(events, encoding="utf-8"), None)
