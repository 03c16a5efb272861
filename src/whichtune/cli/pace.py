"""How long a study still takes, by the runs that are done and by what the others are predicted to take against them."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median

from whichtune.records.events import Expected

SMALL = 0.02  # of the largest prediction: next to nothing
NEAR = 0.15  # how much two sizes may differ, as a logarithm, and still be about the same


@dataclass(frozen=True)
class UnderWay:
    """A run that has begun: its row, the seconds since, and what it takes by its own steps, where that is known."""

    label: str
    elapsed: float
    by_steps: float | None = None


@dataclass(frozen=True)
class Done:
    """A run that is done; `before` are the rows of which a run was done when it began."""

    label: str
    seconds: float
    before: frozenset[str]


class Pace:
    """What is known of the rows' times. `waiting` has the label of every run to make, where that is known; `quick` are
    the baselines' labels, which take no part in what is expected of trained rows."""

    def __init__(self, runs: int, waiting: Sequence[str] = (), quick: Collection[str] = ()) -> None:
        self.left = runs
        self.named = bool(waiting)
        self.waiting = Counter(waiting)
        self.quick = frozenset(quick)
        self.done: list[Done] = []
        self.expected: dict[str, Expected] = {}
        self.begun: dict[str, list[frozenset[str]]] = {}  # by row, of its runs under way
        self.seen: set[str] = set()

    def forecast(self, expected: Mapping[str, Expected]) -> None:
        """Take what the rows are predicted to take; runs that are done tell how far that is off."""
        self.expected = dict(expected)

    def begin(self, label: str) -> None:
        self.left -= 1
        self.waiting[label] -= 1
        self.begun.setdefault(label, []).append(frozenset(run.label for run in self.done))

    def end(self, label: str, seconds: float) -> None:
        self.done.append(Done(label, seconds, self.begun[label].pop(0)))
        self.seen.add(label)

    def study(self, under_way: Iterable[UnderWay], at_a_time: int) -> float | None:
        """Seconds until the last run is done; None where nothing is known of any trained row, or nothing waits and
        nothing is known of what is under way."""
        runs = list(under_way)
        by_steps = {run.label: self._with_end(run) for run in runs if run.by_steps is not None}
        if not by_steps and not self._trained():
            return None
        busy = [max(0.0, self._whole(run, by_steps) - run.elapsed) for run in runs]
        rows = self.seen | {run.label for run in runs}
        shared = {self.expected[label]["shares"] for label in rows if label in self.expected}
        waiting = list(self.waiting.elements()) if self.named else [""] * max(0, self.left)
        times = [self._of_waiting(label, by_steps, shared) for label in waiting]
        if at_a_time > 1:
            times.sort(reverse=True)  # as they are made: the long ones early
        workers = [*busy, *[0.0] * max(0, at_a_time - len(busy))]
        heapq.heapify(workers)
        for seconds in times:
            heapq.heapreplace(workers, workers[0] + seconds)
        return max(workers)

    def _whole(self, run: UnderWay, by_steps: Mapping[str, float]) -> float:
        """Seconds of a run under way from its beginning to its end: its steps say nothing of what follows them."""
        if (known := self._like(run.label)) is not None:
            return max(known, run.by_steps or 0.0)
        return self._of_waiting(run.label, by_steps, set())

    def _with_end(self, run: UnderWay) -> float:
        """Seconds of a run by its steps, with what follows the last of them as far as that is predicted."""
        guess = self.expected.get(run.label)
        return (run.by_steps or 0.0) / (1 - guess["after"] if guess is not None and guess["after"] < 1 else 1)

    def _of_waiting(self, label: str, by_steps: Mapping[str, float], shared: set[str]) -> float:
        """Seconds of a run that has not begun: by its row's own, by the prediction, or by what is usual."""
        if label in self.quick:
            times = [run.seconds for run in self.done if run.label in self.quick]
            return median(times) if times else 0.0
        if (known := self._like(label)) is not None:
            return known
        if label in self.expected:
            first = self._makes_pass(label, shared)
            guess = self._scaled(self.expected[label]["seconds" if first else "shared_seconds"], by_steps)
            return max(guess, by_steps[label]) if label in by_steps else guess
        if label in by_steps:
            return by_steps[label]
        return self._usual(by_steps)

    def _like(self, label: str) -> float | None:
        """What runs of the row have taken; where all of them made a pass that the next one will not, without it."""
        own = [run for run in self.done if run.label == label]
        if not own:
            return None
        later = [run.seconds for run in own if not self._made_pass(run)]
        if later or label not in self.expected:
            return median(later or [run.seconds for run in own])
        guess = self.expected[label]
        share = guess["shared_seconds"] / guess["seconds"] if guess["seconds"] else 1.0
        return max(self._quickest(), share * median(run.seconds for run in own))

    def _scaled(self, predicted: float, by_steps: Mapping[str, float]) -> float:
        """A prediction by how far those of the runs that are done, or known by their steps, were off, with what every
        run begins and ends with."""
        known = [(self._guess(run), run.seconds) for run in self._trained() if run.label in self.expected]
        # By its steps alone only a run is known that takes no part in what others have made.
        known += [
            (self.expected[label]["seconds"], seconds)
            for label, seconds in by_steps.items()
            if label in self.expected and self.expected[label]["after"] > 0
        ]
        most = max((guess for guess, _ in known), default=0.0)
        nothing = [seconds for guess, seconds in known if guess <= SMALL * most]
        ends = min(nothing, default=0.0)
        sized = [(guess, max(seconds - ends, 0.1 * seconds)) for guess, seconds in known if guess > SMALL * most]
        if not sized:
            return self._usual(by_steps)
        if predicted <= 0:
            return ends
        # Runs of about the same size are off by about the same: those count the most.
        weights = [1 / (NEAR + abs(log(guess / predicted))) for guess, _ in sized]
        off = sum(w * log(seconds / guess) for w, (guess, seconds) in zip(weights, sized, strict=True)) / sum(weights)
        return ends + predicted * exp(off)

    def _guess(self, run: Done) -> float:
        return self.expected[run.label]["seconds" if self._made_pass(run) else "shared_seconds"]

    def _made_pass(self, run: Done) -> bool:
        """Whether it made the pass that runs share: no run that shares it was done when it began."""
        own = self.expected.get(run.label)
        if own is None or own["shared_seconds"] >= own["seconds"]:
            return False
        return not any(self.expected[row]["shares"] == own["shares"] for row in run.before if row in self.expected)

    def _makes_pass(self, label: str, shared: set[str]) -> bool:
        """Whether the row's next run makes the pass that others share; notes that it is made then."""
        guess = self.expected.get(label)
        if guess is None or guess["shared_seconds"] >= guess["seconds"] or guess["shares"] in shared:
            return False
        shared.add(guess["shares"])
        return True

    def _trained(self) -> list[Done]:
        return [run for run in self.done if run.label not in self.quick]

    def _quickest(self) -> float:
        return min((run.seconds for run in self._trained()), default=0.0)

    def _usual(self, by_steps: Mapping[str, float]) -> float:
        """Of rows of which nothing is known."""
        rows: dict[str, float] = {**by_steps, **{run.label: run.seconds for run in self._trained()}}
        return median(rows.values()) if rows else 0.0
