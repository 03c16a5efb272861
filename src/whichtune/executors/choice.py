"""Which of the runs that wait a slot of a cluster is given.

The longest first, as it ends soonest. Where machines have caches of their own a shorter one may come before it, if its
pass through frozen blocks is on the slot's machine, or nowhere yet: as long as so much work is left that the long ones
will not be the last to end. No slot waits for a pass while there is other work for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from whichtune.executors.devices import Load
from whichtune.executors.expected import Expectations
from whichtune.executors.hands import Hand
from whichtune.executors.passes import Fit, Passes
from whichtune.records.record import RunRecord
from whichtune.study.spec import RunSpec

# Of an equal share of all work that is left: by so much may a run be shorter than the one that it is given before.
SHORTER = 0.25


@dataclass
class Choice:
    """The runs `waiting`, in the order to make them, and what is known of the places where they can be made.

    `gpus(run)` are the GPUs that it asks for; at most `per_gpu` runs are on one GPU.
    """

    waiting: Sequence[RunSpec]
    expected: Expectations
    gpus: Callable[[RunSpec], float]
    passes: Passes
    per_gpu: int = 1
    free: list[Hand] = field(default_factory=list)  # slots that wait for a run

    def __post_init__(self) -> None:
        self.queue = deque(self.waiting)
        self._loads: dict[tuple[str, str], Load] = {}

    def know(self, hand: Hand) -> None:
        """A slot has come up: what its machine's cache holds, and what is free of the GPU that it may share."""
        assert hand.about is not None
        self.passes.learn(hand.about.cache, hand.about.passes)
        for gpu in hand.about.gpus:
            load = self._loads.setdefault((hand.about.host, gpu.uuid), Load(gpu))
            if gpu.free_bytes > load.gpu.free_bytes:  # the other slot came up while a run was there
                load.gpu = gpu

    def can_take(self, hand: Hand, spec: RunSpec) -> bool:
        """Whether a run can be made in a slot at all."""
        if self.gpus(spec) > hand.need.gpus:
            return False
        gpus = hand.about.gpus if hand.about is not None and self.gpus(spec) else []
        return not gpus or self.expected.too_large(spec, max(gpu.total_bytes for gpu in gpus)) is None

    def next_for(self, hand: Hand, hands: Sequence[Hand]) -> RunSpec | None:
        """The next run for a slot, taken from the queue; None where there is none for it now. `hands` are all slots."""
        assert hand.about is not None
        caches = {other.about.cache if other.about is not None else "" for other in hands if not other.lost}
        best: tuple[Fit, int] | None = None
        shortest = 0.0
        for at, spec in enumerate(self.queue):
            if best is not None and self.expected.seconds(spec) < shortest:
                continue
            if not self._can_begin(hand, spec):
                continue
            name = self.passes.name(spec, self.expected)
            fit = self.passes.fit(name, hand.about.cache, caches)
            if fit is Fit.ELSEWHERE and any(self._suits(other, spec, name) for other in self.free):
                continue  # that one is asked next
            if best is None and fit > Fit.IS_THERE:
                shortest = self.expected.seconds(spec) - SHORTER * self._share(hands)
            if best is None or fit < best[0]:
                best = fit, at
            if fit is Fit.IS_THERE:
                break
        if best is None:
            return None
        chosen = self.queue[best[1]]
        del self.queue[best[1]]
        return chosen

    def _share(self, hands: Sequence[Hand]) -> float:
        """Seconds of waiting work for each slot."""
        return sum(map(self.expected.seconds, self.queue)) / max(1, sum(not hand.lost for hand in hands))

    def _can_begin(self, hand: Hand, spec: RunSpec) -> bool:
        """Whether a slot can take a run, and its GPU has room for it now."""
        if not self.can_take(hand, spec):
            return False
        load = self._load(hand, spec)
        return load is None or load.has_room(self.expected.memory(spec), self.per_gpu)

    def _suits(self, other: Hand, spec: RunSpec, name: str) -> bool:
        about = other.about
        return about is not None and self.passes.is_there(name, about.cache) and self._can_begin(other, spec)

    def _load(self, hand: Hand, spec: RunSpec) -> Load | None:
        """The GPU that a run in a slot would share with other slots'; None where it has its own, or none."""
        if hand.about is None or not 0 < hand.need.gpus < 1 or not self.gpus(spec) or len(hand.about.gpus) != 1:
            return None
        return self._loads.get((hand.about.host, hand.about.gpus[0].uuid))

    @contextmanager
    def holding(self, hand: Hand, spec: RunSpec) -> Iterator[None]:
        """Within, a run is under way in a slot: its estimate takes of the GPU's memory, and its pass is being made."""
        assert hand.about is not None
        name, load = self.passes.name(spec, self.expected), self._load(hand, spec)
        self.passes.begins(name, hand.about.cache)
        if load is not None:
            load.runs[spec.run_id] = self.expected.memory(spec)
        try:
            yield
        finally:
            self.passes.ends(name, hand.about.cache)
            if load is not None:
                load.runs.pop(spec.run_id, None)

    def trains(self, hand: Hand, spec: RunSpec) -> None:
        """A run makes its steps: its pass is on its machine."""
        assert hand.about is not None
        self.passes.found(self.passes.name(spec, self.expected), hand.about.cache)

    def ended(self, hand: Hand, spec: RunSpec, record: RunRecord) -> None:
        """A run has come home."""
        assert hand.about is not None
        self.passes.told(self.passes.name(spec, self.expected), hand.about.cache, record)
