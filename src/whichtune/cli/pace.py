"""How long the runs that have not begun will take, by those of the same row, or else of the same kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from statistics import mean, median


class Pace:
    """What is known of the rows' times. `waiting` has the label of every run to make, where that is known; `quick` are
    the baselines' labels, which take no part in what is expected of trained rows."""

    def __init__(self, runs: int, waiting: Sequence[str] = (), quick: Collection[str] = ()) -> None:
        self.left = runs
        self.named = bool(waiting)
        self.waiting = Counter(waiting)
        self.quick = frozenset(quick)
        self.spent: dict[str, list[float]] = {}

    def begin(self, label: str) -> None:
        self.left -= 1
        self.waiting[label] -= 1

    def end(self, label: str, seconds: float) -> None:
        self.spent.setdefault(label, []).append(seconds)

    def rest(self, under_way: Mapping[str, float], own_left: float, at_a_time: int) -> float | None:
        """Seconds for the runs that have not begun; None where there are none, or nothing is known of any.

        `under_way` has what each row under way is expected to take from its beginning, and `own_left` what is left of
        the run that asks: where another such run waits, the rest takes no less.
        """
        known = {**under_way, **{label: mean(seconds) for label, seconds in self.spent.items()}}
        trained = [seconds for label, seconds in known.items() if label not in self.quick]
        quick = [seconds for label, seconds in known.items() if label in self.quick]
        if self.left < 1 or not known:
            return None
        usual = median(trained or [0.0])
        if not self.named:  # a search, or an event that does not say which runs are to come
            return max(self.left * usual / at_a_time, own_left)
        kinds = {True: median(quick or [0.0]), False: usual}
        waiting = list(self.waiting.elements())
        total = sum(known.get(label, kinds[label in self.quick]) for label in waiting) / at_a_time
        return max(total, own_left) if any(label not in self.quick for label in waiting) else total
