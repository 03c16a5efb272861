"""A place on another machine where one run at a time is made, by the same run server as everywhere.

It knows nothing of Ray: it is told of a run, asked for news of it and for the files that it left. What it writes lies
in a folder of its own in the machine's cache, which goes with it.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from whichtune.data.named import user_cache
from whichtune.executors.base import RunRequest, died
from whichtune.executors.devices import Gpu, visible_gpus
from whichtune.executors.nursery import Nursery
from whichtune.executors.parcels import PIECE_BYTES, Parcel, Store
from whichtune.executors.server import RunServer, StoppedError
from whichtune.records.events import Event
from whichtune.records.store import StudyFolder
from whichtune.shortcuts.kept import cache_name, default_root, shared_passes
from whichtune.version import VERSION

NEWS_SECONDS = 0.1  # that a step waits for others, to be told together


@dataclass(frozen=True)
class About:
    """The machine that a slot is on, and the GPUs that are the slot's.

    `cache` names the machine's cache of hidden states, and `passes` what it holds of other times; see `shortcuts.kept`.
    """

    host: str
    version: str
    pid: int
    gpus: list[Gpu]
    cache: str = ""
    passes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class News:
    """What has happened since the last time. `code` is the exit status of the run's process, None while it goes on.

    Then `sizes` has the bytes of each file that it left; those of small runs are there at once, in `files`.
    """

    events: list[Event] = field(default_factory=list)
    code: int | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    fault: str | None = None  # why the slot itself failed


class Slot:
    """Methods may be called from several threads; `close` while another waits."""

    def __init__(self) -> None:
        self.home = user_cache() / "slots" / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        _sweep(self.home.parent)
        (self.home / "runs").mkdir(parents=True)
        self.store = Store()
        self.store.sweep()
        self.nursery = Nursery()
        self.server = RunServer(hasattr(os, "fork"), self.nursery.launch)
        self.server.start()  # begins its imports
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._news = News()
        self._run_id: str | None = None

    def about(self) -> About:
        """Where this slot is, and what it has."""
        return About(
            host=socket.gethostname(),
            version=VERSION,
            pid=os.getpid(),
            gpus=visible_gpus(),
            cache=cache_name(user_cache()),
            passes=shared_passes(default_root()),
        )

    def find(self, parcels: Sequence[Parcel]) -> list[str | None]:
        """Where each parcel's content is on this machine; None where it must be sent."""
        return [self.store.find(parcel) for parcel in parcels]

    def take(self, parcel: Parcel, name: str, piece: bytes) -> None:
        """A piece of a parcel's file, in order."""
        self.store.take(parcel, name, piece)

    def finish(self, parcel: Parcel) -> str:
        """Where the parcel lies that has arrived."""
        return self.store.finish(parcel)

    def begin(self, request: RunRequest, texts: bool, seconds: float) -> News:
        """Begin a run, whose folder the request need not name, and give the first news of it. Without `texts` the
        study keeps none."""
        folder = StudyFolder(self.home)
        folder.write_json("study.json", {"texts": texts})
        here = request.model_copy(update={"folder": str(self.home)})
        with self._changed:
            self._events, self._news, self._run_id = [], News(), request.spec.run_id
        threading.Thread(target=self._make, args=(here, folder), daemon=True).start()
        return self.news(seconds)

    def _make(self, request: RunRequest, folder: StudyFolder) -> None:
        spec = request.spec
        try:
            folder.discard(spec.run_id)
            code = self.server.run(request, self._tell)
            if code != 0 or folder.read_run(spec.run_id) is None:
                folder.write_run(died(spec, code))
            news = News(code=code, sizes=_sizes(folder.run_folder(spec.run_id)))
            if sum(news.sizes.values()) <= PIECE_BYTES:
                files = {name: (folder.run_folder(spec.run_id) / name).read_bytes() for name in news.sizes}
                news = replace(news, files=files)
        except StoppedError:
            return  # the slot is closed, and nobody waits for news
        except Exception as error:  # a full disk, say: the driver decides what becomes of the run
            news = News(code=1, fault=f"{type(error).__name__}: {error}")
        with self._changed:
            self._news = news
            self._changed.notify_all()

    def _tell(self, event: Event) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def news(self, seconds: float) -> News:
        """What has happened since the last time; waits for it for so many seconds at most."""
        end = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._news.code is not None, seconds)
            left = min(NEWS_SECONDS, end - time.monotonic())
            self._changed.wait_for(lambda: self._news.code is not None, max(0.0, left))
            events, self._events = self._events, []
            return replace(self._news, events=events)

    def piece(self, name: str, offset: int) -> bytes:
        """A piece of a file that the run has left."""
        assert self._run_id is not None
        with (self.home / "runs" / self._run_id / name).open("rb") as handle:
            handle.seek(offset)
            return handle.read(PIECE_BYTES)

    def forget(self, run_id: str) -> None:
        """Remove what a run has left: it has arrived. Another may be under way by then."""
        shutil.rmtree(self.home / "runs" / run_id, ignore_errors=True)

    def close(self) -> None:
        """End the run under way and the server."""
        self.server.close()
        self.nursery.close()
        shutil.rmtree(self.home, ignore_errors=True)


def _sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in sorted(folder.iterdir())}


def _sweep(place: Path) -> None:
    """Remove the folders of slots that were killed."""
    import psutil

    for folder in place.glob("*"):
        pid = folder.name.partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
