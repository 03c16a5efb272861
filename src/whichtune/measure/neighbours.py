"""How many runs share the machine: each leaves a mark while it is made, and counts those of the others."""

from __future__ import annotations

import os
import time
from pathlib import Path

from whichtune.records.events import Event, Listener

LOOK_SECONDS = 0.25  # between two looks, which take less than a thousandth of this


class Neighbours:
    """Within, this process is seen by others that look into `folder`; `most` is how many were seen at a time, this one
    among them.

    Marks of processes that are gone are taken away. Where the folder cannot be written nobody is seen.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.most = folder, 1
        self._mark = folder / f"{os.getpid()}-{_started(os.getpid())}"
        self._looked = float("-inf")

    def __enter__(self) -> Neighbours:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._mark.touch()
        except OSError:
            return self  # a cache that can only be read: this run is not seen, and sees who is
        self.look()
        return self

    def __exit__(self, *_: object) -> None:
        self._remove(self._mark)

    def look(self) -> int:
        """Look now; gives the most that were seen so far."""
        self._looked = time.monotonic()
        try:
            marks = [mark for mark in self.folder.iterdir() if mark != self._mark]
        except OSError:
            return self.most
        alive = [mark for mark in marks if self._is_alive(mark)]
        self.most = max(self.most, 1 + len(alive))
        return self.most

    def listening(self, tell: Listener) -> Listener:
        """`tell` that looks now and then when it is called."""

        def listen(event: Event) -> None:
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self.look()
            tell(event)

        return listen

    def _is_alive(self, mark: Path) -> bool:
        pid, _, started = mark.name.partition("-")
        if pid.isdigit() and started == _started(int(pid)):
            return True
        self._remove(mark)
        return False

    @staticmethod
    def _remove(mark: Path) -> None:
        try:
            mark.unlink(missing_ok=True)
        except OSError:
            return  # somebody else's folder


def _started(pid: int) -> str | None:
    """When a process began, which tells it from a later one of the same number; None where there is none."""
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None
