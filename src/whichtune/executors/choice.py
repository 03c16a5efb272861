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


@dataclass(frozen=True)
class _Expected:
    """Of one run: seconds, bytes of memory, GPUs that it asks for, and what its pass is called."""

    seconds: float
    memory: int
    gpus: float
    shares: str


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
        # By the spec as an object, since its id is a hash that takes longer than all else here.
        self._expected = {id(spec): self._expected_of(spec) for spec in self.waiting}
        self._too_large: dict[tuple[int, int], bool] = {}

    def _expected_of(self, spec: RunSpec) -> _Expected:
        seconds, memory = self.expected.seconds(spec), self.expected.memory(spec)
        return _Expected(seconds, memory, self.gpus(spec), self.passes.name(spec, self.expected))

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
        gpus = self._expected[id(spec)].gpus
        if gpus > hand.need.gpus:
            return False
        if not gpus or hand.about is None or not hand.about.gpus:
            return True
        key = id(spec), max(gpu.total_bytes for gpu in hand.about.gpus)
        if key not in self._too_large:
            self._too_large[key] = self.expected.too_large(spec, key[1]) is not None
        return not self._too_large[key]

    def next_for(self, hand: Hand, hands: Sequence[Hand]) -> RunSpec | None:
        """The next run for a slot, taken from the queue; None where there is none for it now. `hands` are all slots."""
        assert hand.about is not None
        caches = {other.about.cache for other in hands if other.about is not None and not other.lost}
        best: tuple[Fit, int] | None = None
        shortest, fits = 0.0, dict[str, Fit]()
        for at, spec in enumerate(self.queue):
            known = self._expected[id(spec)]
            if (best is not None and known.seconds < shortest) or not self._can_begin(hand, spec):
                continue
            if known.shares not in fits:
                fits[known.shares] = self.passes.fit(known.shares, hand.about.cache, caches)
            fit = fits[known.shares]
            if fit is Fit.ELSEWHERE and any(self._suits(other, spec) for other in self.free):
                continue  # that one is asked next
            if best is None and fit > Fit.IS_THERE:
                shortest = known.seconds - SHORTER * self._share(hands)
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
        return sum(self._expected[id(spec)].seconds for spec in self.queue) / max(
            1, sum(not hand.lost for hand in hands)
        )

    def _can_begin(self, hand: Hand, spec: RunSpec) -> bool:
        """Whether a slot can take a run, and its GPU has room for it now."""
        if not self.can_take(hand, spec):
            return False
        load = self._load(hand, spec)
        return load is None or load.has_room(self._expected[id(spec)].memory, self.per_gpu)

    def _suits(self, other: Hand, spec: RunSpec) -> bool:
        shares, about = self._expected[id(spec)].shares, other.about
        return about is not None and self.passes.is_there(shares, about.cache) and self._can_begin(other, spec)

    def _load(self, hand: Hand, spec: RunSpec) -> Load | None:
        """The GPU that a run in a slot would share with other slots'; None where it has its own, or none."""
        if (
            hand.about is None
            or not 0 < hand.need.gpus < 1
            or not self._expected[id(spec)].gpus
            or len(hand.about.gpus) != 1
        ):
            return None
        return self._loads.get((hand.about.host, hand.about.gpus[0].uuid))

    @contextmanager
    def holding(self, hand: Hand, spec: RunSpec) -> Iterator[None]:
        """Within, a run is under way in a slot: its estimate takes of the GPU's memory, and its pass is being made."""
        assert hand.about is not None
        known, load = self._expected[id(spec)], self._load(hand, spec)
        self.passes.begins(known.shares, hand.about.cache)
        if load is not None:
            load.runs[spec.run_id] = known.memory
        try:
            yield
        finally:
            self.passes.ends(known.shares, hand.about.cache)
            if load is not None:
                load.runs.pop(spec.run_id, None)

    def trains(self, hand: Hand, spec: RunSpec) -> None:
        """A run makes its steps: its pass is on its machine."""
        assert hand.about is not None
        self.passes.found(self._expected[id(spec)].shares, hand.about.cache)

    def ended(self, hand: Hand, spec: RunSpec, record: RunRecord) -> None:
        """A run has come home."""
        assert hand.about is not None
        self.passes.told(self._expected[id(spec)].shares, hand.about.cache, record)
