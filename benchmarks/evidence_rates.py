"""What is counted in simulated studies: false claims, coverage, power, and what choices really cost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from evidence_simulation import MARGIN, Cell, Drawn, FloatArray, Said, draw, holm_rows, say, say_formerly
from whichtune.stats import decision
from whichtune.stats.correction import dunnett, sidak

ALPHA = 0.05
BATCH = 1000
DRAWS = 400
DECILES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Tally:
    """Means over studies, batch by batch; a figure that some studies have none of is a mean over the others."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, float] = {}

    def add(self, name: str, values: FloatArray) -> None:
        values = np.asarray(values, dtype=np.float64)
        self._sums[name] = self._sums.get(name, 0.0) + float(values.sum())
        self._counts[name] = self._counts.get(name, 0.0) + values.size

    @property
    def means(self) -> dict[str, float]:
        return {name: total / self._counts[name] for name, total in self._sums.items() if self._counts[name]}


def batches(cell: Cell, studies: int, seed: int) -> Iterator[Drawn]:
    rng = np.random.default_rng(seed)
    for at in range(0, studies, BATCH):
        yield draw(rng, cell, min(BATCH, studies - at))


def claims(cell: Cell, studies: int, seed: int) -> dict[str, float]:
    """Of all pairs: false and right claims of a difference, now and formerly on the same draws, and coverage.

    Where the first method alone is noisy or alone is not, its pairs' coverage stands apart as `coverage_first`.
    """
    tally = Tally()
    for drawn in batches(cell, studies, seed):
        said = say(drawn)
        said_all = [("", said)] if cell.n_seeds < 3 else [("", said), ("former_", say_formerly(drawn))]
        null = drawn.gaps == 0
        for name, one in said_all:
            shown = (one.adjusted <= ALPHA) & (np.sign(drawn.squares.mean) != 0)
            right = shown & (np.sign(drawn.squares.mean) == np.sign(drawn.gaps)) & ~null
            tally.add(f"{name}family", (shown & ~right).any(axis=1))
            if not null.all():
                tally.add(f"{name}power", right[~null])
        covered = said.test.p_difference(drawn.gaps) > ALPHA
        tally.add("coverage", covered)
        tally.add("coverage_first", covered[:, [0 in pair for pair in cell.pairs]])
        tally.add("one_pair", (said.p <= ALPHA)[null])
    return tally.means


def against_baseline(cell: Cell, studies: int, seed: int) -> dict[str, float]:
    """Every method against the last, by Dunnett's steps or Sidak's where it draws nothing: false claims.

    The first step decides whether there is any; its correction of the smallest p is interpolated.
    """
    tally = Tally()
    last = cell.rows - 1
    places = [number for number, pair in enumerate(cell.pairs) if last in pair]
    grid = np.geomspace(1e-6, 1.0, 400)
    steps = sidak if cell.baseline else dunnett
    corrected = np.array([min(steps([p, *[1.0] * (len(places) - 1)])) for p in grid])
    for drawn in batches(cell, studies, seed):
        least = np.maximum(say(drawn).p[:, places].min(axis=1), grid[0])
        tally.add("family", np.interp(np.log(least), np.log(grid), corrected) <= ALPHA)
    return tally.means


def equivalence(cell: Cell, studies: int, seed: int) -> dict[str, float]:
    """All pairs, of which those of the first method are exactly the margin apart: false claims of equivalence."""
    tally = Tally()
    for drawn in batches(cell, studies, seed):
        adjusted = holm_rows(say(drawn).test.p_equivalence(MARGIN))
        false = np.abs(drawn.gaps) >= MARGIN - 1e-12
        tally.add("family", ((adjusted <= ALPHA) & false).any(axis=1))
        if not false.all():
            tally.add("shown", (adjusted <= ALPHA)[~false])
    return tally.means


def choices(cell: Cell, studies: int, seed: int) -> dict[str, float]:
    """What choosing costs, in points: the bounds' coverage, the regret that was expected and what came of it.

    Rows cost more from the first to the last.
    """
    tally = Tally()
    for drawn in batches(cell, studies, seed):
        said = say(drawn)
        assert said.standing is not None
        expected = decision.regrets(decision.posterior_means(said.standing, DRAWS)).mean(axis=-2)
        bounds, truth, rows = decision.regret_bounds(said.standing), drawn.regret, np.arange(len(drawn.truth))
        tally.add("bound_covers", bounds >= truth - 1e-12)
        chosen = decision.choose(expected, np.arange(cell.rows), MARGIN)
        safest = bounds.argmin(axis=1)
        for name, pick in (("chosen", chosen), ("safest", safest)):
            tally.add(f"{name}_bound_covers", bounds[rows, pick] >= truth[rows, pick] - 1e-12)
        tally.add("regret", 100 * truth[rows, chosen])
        tally.add("regret_expected", 100 * expected[rows, chosen])
        tally.add("least_regret", 100 * truth[rows, expected.argmin(axis=1)])
        tally.add("cheapest_found", truth[rows, chosen] <= MARGIN)
        first = (truth <= MARGIN + 1e-12).argmax(axis=1)
        tally.add("cheapest_acceptable", chosen == first)
        tally.add("reached", expected[rows, chosen] <= MARGIN)
        for name, values in _new_runs(drawn, said):
            tally.add(name, values)
    return tally.means


def _new_runs(drawn: Drawn, said: Said) -> Iterator[tuple[str, FloatArray]]:
    """By deciles of the chance that was told: how often a new run was truly better, and the mean chance told."""
    a, b = np.array(drawn.cell.pairs).T
    told = decision.new_run_ahead(said.standing)[:, a, b]
    won = (drawn.new_run[:, a] > drawn.new_run[:, b]) + 0.5 * (drawn.new_run[:, a] == drawn.new_run[:, b])
    turned = told < 0.5
    told, won = np.where(turned, 1 - told, told), np.where(turned, 1 - won, won)
    for low, high in pairwise(DECILES):
        inside = (told >= low) & (told < high if high < 1 else told <= high)
        yield f"told_{low:.1f}", told[inside]
        yield f"won_{low:.1f}", won[inside]
        yield f"share_{low:.1f}", inside
