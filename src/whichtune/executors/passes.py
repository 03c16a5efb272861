"""Where the passes through frozen blocks are that runs share, as far as whoever hands runs out knows.

A preference and no promise: a cache answers for what it holds, and a run makes what it does not find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from enum import IntEnum

from whichtune.executors.expected import Expectations
from whichtune.executors.order import pass_of
from whichtune.records.record import RunRecord, RunStatus
from whichtune.study.spec import RunSpec


class Fit(IntEnum):
    """How well a run fits a machine, the best first."""

    IS_THERE = 0  # its pass is there, and not everywhere
    NEW = 1  # nobody has its pass: one machine makes it
    INDIFFERENT = 2  # it needs none, or finds it wherever it goes
    ELSEWHERE = 3  # another machine has its pass, or makes it: this one would make it again
    COMES = 4  # a run on this machine makes its pass: it would wait


class Passes:
    """Passes by the caches that have them or are about to; `used` is false where they are to count for nothing."""

    def __init__(self, used: bool = True) -> None:
        self.used = used
        self._there: dict[str, set[str]] = {}
        self._under_way: dict[str, Counter[str]] = {}

    def name(self, spec: RunSpec, expected: Expectations) -> str:
        """What a run's pass is called; nothing where it shares none, or none is expected of it."""
        return pass_of(spec) if self.used and expected.pass_seconds(spec) > 0 else ""

    def learn(self, cache: str, passes: Collection[str]) -> None:
        """What a cache held before."""
        for name in passes:
            self._there.setdefault(name, set()).add(cache)

    def is_there(self, name: str, cache: str) -> bool:
        return cache in self._there.get(name, ())

    def fit(self, name: str, cache: str, caches: Collection[str]) -> Fit:
        """How well a run with this pass fits a machine with this cache, `caches` being those of all machines."""
        there = self._there.get(name, set())
        under_way = self._under_way.get(name, Counter())
        if not name or all(each in there for each in caches):
            return Fit.INDIFFERENT
        if cache in there:
            return Fit.IS_THERE
        if under_way[cache]:
            return Fit.COMES
        if any(each in there or under_way[each] for each in caches if each != cache):
            return Fit.ELSEWHERE
        return Fit.NEW if len(caches) > 1 else Fit.INDIFFERENT

    def begins(self, name: str, cache: str) -> None:
        """A run begins that finds its pass or makes it."""
        if name:
            self._under_way.setdefault(name, Counter())[cache] += 1

    def ends(self, name: str, cache: str) -> None:
        """The run has ended, or was lost."""
        if name:
            self._under_way[name][cache] -= 1

    def found(self, name: str, cache: str) -> None:
        """A run trains, so its pass is there."""
        if name:
            self._there.setdefault(name, set()).add(cache)

    def told(self, name: str, cache: str, record: RunRecord) -> None:
        """What the record of a run says of its pass: a cache that was too small for it has none."""
        if not name or record.status is not RunStatus.COMPLETED:
            return
        used = record.shortcuts.get("used") if record.shortcuts else None
        if isinstance(used, dict) and used.get("cached", "nothing") != "nothing":
            self.found(name, cache)
        else:
            self._there.get(name, set()).discard(cache)
