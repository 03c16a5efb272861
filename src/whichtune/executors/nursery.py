"""Run servers of all slots of one machine, forked from one process that has made their imports.

The slots are processes that do not descend from one another, so they reach it by a socket in a folder of this user's.
The first slot starts it; it ends when the last one has gone, however that one ended.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, NoReturn

from filelock import FileLock

from whichtune.data.named import temporary_cache, user_cache
from whichtune.executors import server
from whichtune.executors.worker import serve, warm_up
from whichtune.version import VERSION

ALONE_SECONDS = 60  # that it waits for its first slot
TRIES = 3
MOUNTS = "/proc/self/ns/mnt"
MOST_BYTES = 1 << 20  # of an environment


class Nursery:
    """A slot's end. Where no nursery can be had, servers are started one by one, as anywhere else."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None

    def launch(self, fork: bool, log: IO[bytes]) -> list[server._Connection]:
        """A connection to a new server; see `server.Launch`."""
        if fork and hasattr(socket, "send_fds"):
            for _ in range(TRIES):
                try:
                    return [self._forked(log)]
                except OSError:  # it left just then, or was killed: there is another the next time
                    self.close()
        return server._launch(fork, log)

    def close(self) -> None:
        """Let it know that this slot has gone."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _forked(self, log: IO[bytes]) -> server._Connection:
        if self._channel is None:
            self._channel = _connected()
        requests, events = os.pipe(), os.pipe()
        wanted = {"cwd": os.getcwd(), "environment": dict(os.environ)}
        try:
            try:
                line = json.dumps(wanted).encode() + b"\n"
                sent = socket.send_fds(self._channel, [line], [log.fileno(), requests[0], events[1]])
                self._channel.sendall(line[sent:])
                answered = self._channel.recv(1)
            finally:
                os.close(requests[0])
                os.close(events[1])
            if answered != b".":
                raise ConnectionError("the nursery has left")
        except OSError:
            os.close(requests[1])
            os.close(events[0])
            raise
        return server._forked(requests[1], events[0])


def _address() -> Path:
    """The socket's path: one for each installation, cache and view of the disk, so that no version forks another's
    servers, nor a container those of another that shares its folder of temporary files."""
    disk = os.readlink(MOUNTS) if os.path.lexists(MOUNTS) else ""
    parts = (sys.prefix, __file__, VERSION, socket.gethostname(), str(user_cache()), disk)
    return temporary_cache() / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}.sock"


def _connected() -> socket.socket:
    """A connection to the nursery of this machine, which is started where there is none."""
    address = _address()
    with FileLock(address.with_suffix(".lock")):
        channel = socket.socket(socket.AF_UNIX)
        try:
            channel.connect(str(address))
        except OSError:
            _start(address)
            channel.connect(str(address))
    return channel


def _start(address: Path) -> None:
    """Start a nursery that answers at the address. It listens from now on, and answers after its imports."""
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(256)
        subprocess.Popen(
            [sys.executable, "-P", "-m", "whichtune.executors.nursery", str(listener.fileno()), str(address)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )


# -- the nursery itself -----------------------------------------------------------------------------


def fork_on_demand(listener: socket.socket, address: Path) -> None:
    """Fork a server for every message of a slot, until all slots have gone."""
    gc.disable()
    warm_up()
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system takes leave of servers that end
    slots: list[socket.socket] = []
    while True:
        ready, _, _ = select.select([listener, *slots], [], [], None if slots else ALONE_SECONDS)
        if not ready and not slots:
            break
        for each in ready:
            if each is listener:
                slots.append(listener.accept()[0])
            elif not _answered(each, [listener, *slots]):
                slots.remove(each)
                each.close()
        if not slots and not select.select([listener], [], [], 0)[0]:
            break
    listener.close()
    with contextlib.suppress(OSError):
        if not _is_taken(address):
            address.unlink()


def _is_taken(address: Path) -> bool:
    """Whether another nursery listens at the address by now."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(address))
        except OSError:
            return False
    return True


def _answered(slot: socket.socket, all_sockets: list[socket.socket]) -> bool:
    """Fork the server that a slot asks for; false where the slot has gone."""
    try:
        message, ends, _, _ = socket.recv_fds(slot, MOST_BYTES, 3)
        while message and not message.endswith(b"\n"):
            more = slot.recv(MOST_BYTES)
            message = message + more if more else b""
    except OSError:
        return False
    if not message:
        return False
    if os.fork() == 0:
        for each in all_sockets:
            each.close()
        _become_a_server(message, ends)
    for end in ends:
        os.close(end)
    try:
        slot.sendall(b".")
    except OSError:
        return False
    return True


def _become_a_server(message: bytes, ends: list[int]) -> NoReturn:
    """Go on as a server with the slot's environment and folder."""
    try:
        wanted = json.loads(message)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(wanted["cwd"])
        os.environ.clear()
        os.environ.update(wanted["environment"])
        log, requests, events = ends
        for end, standard in ((requests, 0), (log, 1), (log, 2)):
            os.dup2(end, standard)
        os.close(requests)
        os.close(log)
        serve(sys.stdin, os.fdopen(events, "w", encoding="utf-8"))
    finally:
        os._exit(0)


if __name__ == "__main__":
    fork_on_demand(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
