"""What an executor does: makes the given runs, stores them, and tells what happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from whichtune.records.store import StudyFolder
from whichtune.study.spec import RunSpec

Event = dict[str, Any]


class Executor(Protocol):
    """Runs end as records in the folder, failed ones too; only bad folders and Ctrl-C are raised."""

    def execute(
        self, specs: Sequence[RunSpec], folder: StudyFolder, save: bool, on_event: Callable[[Event], None]
    ) -> int:
        """Make every run that the folder does not hold complete; gives how many were started."""
