"""Which row to use: the cheapest whose expected regret is at most the margin, with how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whichtune.metrics import METRICS
from whichtune.stats import decision
from whichtune.stats.comparing import ALPHA
from whichtune.stats.correction import MOST_CLOSED, closed_pairs, holm
from whichtune.stats.decision import Standing
from whichtune.stats.standing import standing_of
from whichtune.stats.trials import POINT, Trials

FloatArray = NDArray[np.float64]

# Regret that is small enough to stop: a quarter of what counts as no difference.
TARGET_SHARE = 0.25
MOST_SEEDS, MOST_TEXTS = 32, 64  # times as many are looked for


@dataclass(frozen=True)
class Placed:
    """One row among the others, on the metric's scale: what choosing it costs, and where it stands."""

    label: str
    expected_regret: float
    regret_bound: float
    p_best: float
    p_within: float
    ranks: tuple[int, int]
    tie_group: int


@dataclass(frozen=True)
class Weighed:
    """What choosing each of K rows is expected to cost, on the metric's scale: arrays `(K,)`.

    The row to use stands at `place`. `limit` is the expected regret that it may have, the margin unless a study asks
    for less; `target` is the regret at which more data are not worth their while, `p_target` each row's chance to cost
    no more, and `texts_limit` what the least regret would be on average if seeds told all that they can.
    """

    labels: Sequence[str]
    standing: Standing
    regrets: FloatArray  # (draws, K)
    margin: float
    limit: float
    target: float
    place: int

    @property
    def expected(self) -> FloatArray:
        means: FloatArray = self.regrets.mean(axis=0)
        return means

    @property
    def reached(self) -> bool:
        return bool(self.expected[self.place] <= self.limit)

    @property
    def p_target(self) -> FloatArray:
        chances: FloatArray = (self.regrets <= self.target).mean(axis=0)
        return chances

    @property
    def texts_limit(self) -> float:
        return decision.regret_of_texts(self.standing)


@dataclass(frozen=True)
class Choice:
    """The rows as placed, the one to use and the one with the least expected regret.

    `new_run[a, b]` is the chance that a new run of a is truly better than a new run of b. `seeds_needed` and
    `texts_needed` bring the expected regret to the target with these means: how many seeds for each row, and how many
    test texts; None where no number would, and the present number where it is there already.
    """

    weighed: Weighed
    placed: Mapping[str, Placed]
    recommended: str
    leader: str
    new_run: Mapping[tuple[str, str], float]
    seeds_needed: int | None
    texts_needed: int | None


def weigh(
    trials: Trials,
    metric: str,
    costs: Mapping[str, float | None],
    allowed: Sequence[str] | None = None,
    target: float | None = None,
) -> Weighed | None:
    """What the rows that the metric can be told of are expected to cost; None where there is none, or a single test
    text.

    `costs` by label decide which is the cheapest; `allowed` are the rows that may be chosen, all unless given. With a
    `target` in points the row must have no more expected regret than that, else than the margin.
    """
    labels = [label for label in trials.able(metric) if allowed is None or label in allowed]
    if not labels or trials.test is None or trials.test.n < 2:
        return None
    noise = trials.noise(metric)
    standing = standing_of(trials.seen(metric, labels), noise)
    margin = trials.margin * POINT * noise.unit
    aim = TARGET_SHARE * margin if target is None else target * POINT * noise.unit
    limit = margin if target is None else aim
    drawn = decision.regrets(decision.posterior_means(standing))
    known = [cost if (cost := costs.get(label)) is not None else np.inf for label in labels]
    place = int(decision.choose(drawn.mean(axis=0), known, limit))
    return Weighed(labels, standing, drawn, margin, limit, aim, place)


def choose_row(trials: Trials, metric: str, weighed: Weighed) -> Choice:
    """The choice among weighed rows, with where each stands."""
    labels, standing, drawn = weighed.labels, weighed.standing, weighed.regrets
    expected, bounds = weighed.expected, decision.regret_bounds(standing)
    ranks, ties = placed_among(trials, metric, labels, standing.mean)
    ahead = decision.new_run_ahead(standing, decision.SPREAD_SCALE * trials.noise(metric).unit)
    return Choice(
        weighed,
        placed={
            label: Placed(
                label,
                float(expected[i]),
                float(bounds[i]),
                float((drawn[:, i] == 0).mean()),
                float((drawn[:, i] <= weighed.margin).mean()),
                ranks[i],
                ties[i],
            )
            for i, label in enumerate(labels)
        },
        recommended=labels[weighed.place],
        leader=labels[int(expected.argmin())],
        new_run={(a, b): float(ahead[i, j]) for i, a in enumerate(labels) for j, b in enumerate(labels) if i != j},
        seeds_needed=_needed(weighed, trials, "seeds"),
        texts_needed=_needed(weighed, trials, "texts"),
    )


def placed_among(
    trials: Trials, metric: str, labels: Sequence[str], figures: np.ndarray
) -> tuple[list[tuple[int, int]], list[int]]:
    """Range of ranks and tie group of each row, by `figures (K,)` of which more is better.

    Rows share a rank unless the test of the two, corrected for all pairs, tells them apart. A tie group is its leading
    row with all rows that are not told apart from it.
    """
    apart = told_apart(trials, metric, labels)
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    better = np.zeros((len(labels), len(labels)), dtype=bool)
    for (a, b), difference in apart.items():
        i, j = labels.index(a), labels.index(b)
        better[(i, j) if sign * difference > 0 else (j, i)] = True
    ranks = [(1 + int(better[:, i].sum()), len(labels) - int(better[i].sum())) for i in range(len(labels))]
    ties, group = [0] * len(labels), 0
    for head in np.argsort(-figures, kind="stable"):
        if ties[head]:
            continue
        group += 1
        for i in range(len(labels)):
            if not ties[i] and not better[head, i]:
                ties[i] = group
    return ranks, ties


def told_apart(trials: Trials, metric: str, labels: Sequence[str]) -> dict[tuple[str, str], float]:
    """Differences of the pairs that are shown to differ, corrected for all pairs of these rows."""
    tests = {pair: test for pair, test in trials.all_pairs(metric).items() if set(pair) <= set(labels)}
    p = [test.p for test in tests.values() if test.p is not None]
    if len(labels) <= MOST_CLOSED:
        adjusted = [float(x) for x in closed_pairs(p, [(labels.index(a), labels.index(b)) for a, b in tests])]
    else:
        adjusted = holm(p)
    found = zip(tests.items(), adjusted, strict=True)
    return {pair: test.difference for (pair, test), value in found if value <= ALPHA and test.difference != 0}


def _needed(weighed: Weighed, trials: Trials, what: str) -> int | None:
    """How many seeds or test texts would bring the row's expected regret to the target, the means as they are."""
    standing = weighed.standing
    now = max(len(trials.rows[label].seeds) for label in weighed.labels)
    if what == "texts":
        now = trials.test.n if trials.test is not None else 0
    times, most = 1.0, MOST_TEXTS if what == "texts" else MOST_SEEDS / now
    while times <= most:
        more = (
            replace(standing, seed_variance=standing.seed_variance / times)
            if what == "seeds"
            else replace(standing, example=standing.example / times)
        )
        drawn = decision.regrets(decision.posterior_means(more))
        if float(drawn[:, weighed.place].mean()) <= weighed.target:
            return round(now * times)
        times = times * 1.25 if what == "texts" else (round(now * times) + 1) / now
    return None
