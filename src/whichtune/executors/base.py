"""What an executor does: makes the given runs, stores them, and tells what happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, Protocol, TypedDict

from pydantic import JsonValue

from whichtune.records.events import Event, Listener
from whichtune.records.store import StudyFolder
from whichtune.runs.run import CacheFields
from whichtune.study.spec import RunSpec

__all__ = ["Event", "Executor", "Listener", "Request"]


class Request(TypedDict):
    """One run, as it is asked of a process; JSON."""

    spec: dict[str, JsonValue]
    folder: str
    save: NotRequired[bool]
    threads: NotRequired[int | None]
    jobs: NotRequired[int]
    cache: NotRequired[CacheFields]


class Executor(Protocol):
    """Runs end as records in the folder, failed ones too; only bad folders and Ctrl-C are raised."""

    def execute(self, specs: Sequence[RunSpec], folder: StudyFolder, save: bool, on_event: Listener) -> int:
        """Make every run that the folder does not hold complete; gives how many were started."""
