"""Successive halving: which draws are trained how far, and which of them go on.

At the cost of N draws that are trained to their end, about 5/3 N are begun: all are trained for a quarter of their
steps, the best N go on to a half, the best two thirds of those to the end. A rung is the first part of the whole run,
with the schedule of the whole run, and a draw that goes on is continued where it was put aside: at its end it is the
run that it would have been in one go. Everything here follows from the records of the rungs, so that a search that was
killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whichtune.data.sizes import dataset_of
from whichtune.errors import SettingError
from whichtune.methods import METHODS
from whichtune.records.record import RunRecord, RunStatus
from whichtune.study.spaces import LEAST_HALVED
from whichtune.study.spec import RunSpec, Study
from whichtune.tasks import task_of
from whichtune.tuning.search import Draw
from whichtune.wording import plural

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset

SHARES = (0.25, 0.5, 1.0)  # of a draw's steps, at which a rung ends
LEAST_STEPS = 2  # of the first rung: one step tells nothing
Read = Callable[[str], RunRecord | None]  # the record of a run by its id
Rank = Callable[[Draw, RunRecord], tuple[float, float, int]]  # what is best is smallest


@dataclass(frozen=True)
class Rung:
    """So many draws are trained to a `share` of their steps."""

    share: float
    draws: int


def rungs_of(draws: int) -> list[Rung]:
    """The rungs that cost as much as so many draws in full, to within the rounding of steps.

    With b, m and e draws at a quarter, a half and the end the cost is b/4 + m/4 + e/2 draws.
    """
    end = 2 * draws // 3
    begun = 3 * draws - 2 * end
    return [Rung(share, count) for share, count in zip(SHARES, (begun, draws, end), strict=True)]


def draws_begun(draws: int) -> int:
    """How many draws are begun at the cost of so many."""
    return rungs_of(draws)[0].draws


def can_be_halved(method: str, draws: int) -> bool:
    """Whether a line has steps to stop between, draws enough to drop some, and a middle that tells its end.

    A head that trains alone has none: its draws end so near to one another that dropping some is drawing lots
    (`benchmarks/halving.md`), and beside the pass that they share they cost next to nothing.
    """
    known = METHODS[method]
    return known.trains and not known.closed_form and not known.head_alone and draws >= LEAST_HALVED


def check_steps(specs: Sequence[RunSpec], dataset: AnyDataset) -> None:
    """Raise SettingError where a line's draws are too short for a rung, or cannot be stopped between their steps."""
    from whichtune.training.trainer import steps_in_total, steps_of_part

    first = specs[0]
    if any(spec.random_streams == "reference" for spec in specs):
        raise SettingError(
            "Halving cannot stop runs with random_streams=reference between two steps: use --tune-strategy random."
        )
    texts = len(task_of(first).counted(first, dataset_of(first.data, dataset)).splits["train"])
    total = min(steps_in_total(texts, spec) for spec in specs)
    if steps_of_part(total, SHARES[0]) < LEAST_STEPS:
        raise SettingError(
            f"Halving judges draws after a quarter of their steps, and '{first.label}' makes {plural(total, 'step')}, "
            f"fewer than {round(LEAST_STEPS / SHARES[0])}: train for more epochs, or use --tune-strategy random."
        )


def refuse_halving_elsewhere(study: Study, elsewhere: bool) -> None:
    """Raise SettingError where draws are to go on from files that other machines have not got."""
    if elsewhere and study.tuning is not None and study.tuning.strategy == "halving":
        raise SettingError(
            "Halving goes on from what this machine has put aside, which a cluster's machines do not read: use "
            "--tune-strategy random, or leave --executor out."
        )


def rung_spec(draw: Draw, rung: int) -> RunSpec:
    """The run that trains a draw to the end of a rung; in the last it is the draw's own, whole run."""
    before = None if rung == 0 else rung_spec(draw, rung - 1).run_id
    share = SHARES[rung] if rung < len(SHARES) - 1 else None
    return draw.spec.model_copy(update={"part": share, "goes_on_from": before})


@dataclass(frozen=True)
class Climb:
    """How far a line has come: `reached` has, rung by rung, the draws that are in it, `waiting` those whose runs in the
    last of these are still to be made. `over` says that the last rung is complete."""

    reached: list[list[Draw]]
    waiting: list[RunSpec]
    over: bool

    @property
    def needed(self) -> set[str]:
        """Ids of the runs whose state is still wanted: of the rung that is under way, and of those in the one before
        that may go on, should another fail."""
        last = len(self.reached) - 1
        if self.over:
            return set()
        return {rung_spec(draw, rung).run_id for rung in (last - 1, last) if rung >= 0 for draw in self.reached[rung]}


def climb(
    draws: Sequence[Draw], rungs: Sequence[Rung], read: Read, rank: Rank, tried: Container[str] | None = None
) -> Climb:
    """Where the records say that a line stands. A run that failed is to be made again unless it was `tried` (None: all
    were); the place of one that failed is the next best draw's."""
    candidates, reached = list(draws), list[list[Draw]]()
    for number, rung in enumerate(rungs):
        members, waiting, judged = list[Draw](), list[RunSpec](), list[tuple[tuple[float, float, int], Draw]]()
        for draw in candidates:
            if len(judged) + len(waiting) == rung.draws:
                break
            members.append(draw)
            spec = rung_spec(draw, number)
            record = read(spec.run_id)
            if record is not None and record.status is RunStatus.COMPLETED:
                judged.append((rank(draw, record), draw))
            elif record is None or (tried is not None and spec.run_id not in tried):
                waiting.append(spec)
        reached.append(members)
        if waiting:
            return Climb(reached, waiting, over=False)
        candidates = [draw for _, draw in sorted(judged, key=lambda each: each[0])]
    return Climb(reached, [], over=True)
