"""What runs are expected to take, for those who place them: seconds against one another, and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whichtune.errors import WhichtuneError
from whichtune.runs.estimate import estimate_runs
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset
    from whichtune.tasks.estimates import Estimate


class Expectations:
    """Estimates by run id, made once for each row and kept from one call to the next."""

    def __init__(self) -> None:
        self._known: dict[str, Estimate] = {}
        self._asked: set[str] = set()
        self._data: dict[str, AnyDataset | None] = {}

    def learn(self, specs: Sequence[RunSpec]) -> None:
        """Estimate the runs that are new. What cannot be estimated has no estimate, and is tried all the same."""
        new = [spec for spec in specs if spec.run_id not in self._asked and spec.role is not Role.BASELINE]
        groups: dict[str, list[RunSpec]] = {}
        for spec in new:
            groups.setdefault(f"{spec.task} {spec.data.model_dump_json()}", []).append(spec)
        for key, group in groups.items():
            if key not in self._data:
                self._data[key] = _loaded(group[0])
            dataset = self._data[key]
            if dataset is not None:
                self._known.update(estimate_runs(group, dataset, faults={}))
        self._asked.update(spec.run_id for spec in new)

    def seconds(self, spec: RunSpec) -> float:
        """Predicted seconds; 0 for a baseline, and for what cannot be estimated."""
        found = self._known.get(spec.run_id)
        return found.seconds if found else 0.0

    def memory(self, spec: RunSpec) -> int:
        """Predicted bytes of peak memory; 0 as above."""
        found = self._known.get(spec.run_id)
        return found.memory_bytes if found else 0

    def longest_first(self, specs: Sequence[RunSpec]) -> list[RunSpec]:
        """The order of list scheduling that ends within 4/3 of the best there is (Graham 1969); ties stay in order."""
        return sorted(specs, key=lambda spec: -self.seconds(spec))


def _loaded(spec: RunSpec) -> AnyDataset | None:
    try:
        return task_of(spec).load(spec.data)
    except WhichtuneError:
        return None  # the run will say so
