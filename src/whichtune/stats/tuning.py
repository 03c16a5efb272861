"""What a search bought: the expected best validation score by draws and by budget, and where lines cross.

The best of k draws is estimated from all n draws of a line by the mean over every subset of k of them, which is
unbiased: the maximum of k drawn without replacement (Dodge et al. 2019, with the order statistics of Tang et al.
2020). Intervals are percentiles over resampled draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from whichtune.stats.intervals import BOOTSTRAP_SEED, RESAMPLES
from whichtune.study.spaces import Space, edge_of

FloatArray = NDArray[np.float64]
SURE = 0.95  # share of the resamples in which two lines must cross
LEAST_DRAWS = 3  # of a line, for intervals and crossings
Axis = Literal["draws", "flops", "seconds"]


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RungFigures(_Figures):
    """A rung of successive halving: so many draws were trained to a share of their steps, one after another of them
    failing if need be."""

    share: float
    draws: int


class DrawFigures(_Figures):
    """One configuration of one line. Costs are of its training, what draws share left out, over all parts of it."""

    number: int
    run_id: str
    status: str
    error: str | None = None
    settings: dict[str, JsonValue]
    score: float | None = Field(None, description="primary metric on validation; null where it did not complete")
    loss: float | None = Field(None, description="validation loss, which decides between equal scores")
    flops: float | None = None
    seconds: float | None = None
    share: float = Field(1.0, description="of its steps that it was trained for; below 1 it was dropped, or failed")


class CurvePoint(_Figures):
    """The expected best of `draws` draws, with a 95 % interval where there are draws enough."""

    draws: int
    best: float
    low: float | None = None
    high: float | None = None
    flops: float | None = Field(None, description="what so many draws cost on average, what they share included")
    seconds: float | None = None


class LineFigures(_Figures):
    """One line of the study: its draws, the one that was selected, and what searching bought."""

    label: str
    method: str
    spaces: dict[str, Space] = Field(description="what was searched; empty: nothing to search")
    draws: list[DrawFigures] = []
    selected: int | None = Field(None, description="number of the draw that is best on validation")
    settings: dict[str, JsonValue] = Field({}, description="of the selected draw")
    at_edge: dict[str, Literal["low", "high"]] = Field({}, description="settings selected in the outer tenth")
    failed: int = 0
    error: str | None = Field(None, description="why there is no selection")
    shared_flops: float = Field(0.0, description="computed once for all draws: the states of frozen blocks")
    shared_seconds: float = 0.0
    spent_flops: float | None = None
    spent_seconds: float | None = None
    curve: list[CurvePoint] = Field([], description="of the draws that were trained to their end")
    rungs: list[RungFigures] = Field([], description="of successive halving; empty: every draw was to be trained whole")

    @property
    def ended(self) -> list[DrawFigures]:
        """The draws that were trained to their end, or failed on the last part of the way."""
        return ended(self.draws)

    @property
    def in_full(self) -> int:
        """As many draws as its search costs: of successive halving those of the second rung."""
        return self.rungs[1].draws if len(self.rungs) > 1 else len(self.draws)


def ended(draws: Sequence[DrawFigures]) -> list[DrawFigures]:
    """Those that were trained to their end, or failed on the last part of the way: they alone can be compared."""
    return [draw for draw in draws if draw.share == 1]


class Crossing(_Figures):
    """`few` is better up to `at`, `many` beyond, in `share` of the resamples."""

    few: str
    many: str
    axis: Axis
    at: float
    share: float


class TuningFigures(_Figures):
    """The search of a study, in `summary.json` under `tuning`."""

    metric: str
    higher_is_better: bool
    seed: int
    run_seed: int = Field(description="the seed that draws train with")
    budget: str | None
    unit: Axis = Field(description="what was equal for all lines")
    amount: float | None = Field(description="how much of it each line had")
    limit: int = Field(description="most draws of a line; by successive halving, those whose cost it has")
    strategy: Literal["random", "halving"] = "random"
    lines: list[LineFigures]
    crossings: list[Crossing] = []
    sentences: list[str] = []


def expected_best(scores: Sequence[float] | FloatArray) -> FloatArray:
    """`(..., n)`: the expected largest of k = 1..n of the scores `(..., n)` taken without replacement."""
    ordered = np.sort(np.asarray(scores, dtype=np.float64), axis=-1)
    return ordered @ subset_weights(ordered.shape[-1]).T


def subset_weights(n: int) -> FloatArray:
    """`(n, n)`: row k-1 has the chance that the i-th smallest of n is the largest of k of them."""
    from scipy.special import gammaln

    k, below = np.arange(1, n + 1)[:, None], np.arange(n)[None, :]
    possible = below >= k - 1
    safe = np.where(possible, below, k - 1)
    log_ways = gammaln(safe + 1) - gammaln(k) - gammaln(safe - k + 2)
    log_all = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.where(possible, np.exp(log_ways - log_all), 0.0)


def resampled_curves(scores: FloatArray, label: str) -> FloatArray:
    """`(R, n)`: the curve of each of R resamples of a line's draws, drawn apart from those of other lines."""
    random = np.random.default_rng([BOOTSTRAP_SEED, *label.encode("utf-8")])
    rows = random.integers(0, len(scores), (RESAMPLES, len(scores)))
    return expected_best(scores[rows])


def select_draw(draws: Sequence[DrawFigures], higher: bool) -> DrawFigures | None:
    """The best score on validation; then the lower validation loss, then the earlier draw. Of draws that were trained
    to their end."""
    able = [draw for draw in ended(draws) if draw.score is not None]
    return min(able, key=lambda draw: better_first(draw, higher), default=None)


def better_first(draw: DrawFigures, higher: bool) -> tuple[float, float, int]:
    """By what draws are sorted to have the best first; one without a score comes last."""
    worst = float("inf")
    score = worst if draw.score is None else -_sign(higher) * draw.score
    return score, worst if draw.loss is None else draw.loss, draw.number


def line_figures(
    label: str,
    method: str,
    spaces: Mapping[str, Space],
    draws: Sequence[DrawFigures],
    higher: bool,
    shared: tuple[float, float] = (0.0, 0.0),
    error: str | None = None,
    rungs: Sequence[RungFigures] = (),
) -> LineFigures:
    """What one line's draws show. `higher`: whether more of the primary metric is better; `shared`: operations and
    seconds that its draws paid once. With `rungs` the draws that were dropped on the way are paid by those that were
    trained to their end, each its share."""
    best = select_draw(draws, higher)
    chosen = {} if best is None else best.settings
    edges = {name: edge for name, space in spaces.items() if name in chosen and (edge := edge_of(space, chosen[name]))}
    return LineFigures(
        label=label,
        method=method,
        spaces=dict(spaces),
        draws=list(draws),
        selected=None if best is None else best.number,
        settings=chosen,
        at_edge=edges,
        failed=sum(1 for draw in draws if draw.score is None),
        error=error,
        shared_flops=shared[0],
        shared_seconds=shared[1],
        spent_flops=_total([draw.flops for draw in draws], shared[0]),
        spent_seconds=_total([draw.seconds for draw in draws], shared[1]),
        curve=_curve(draws, higher, shared, label, bool(rungs)),
        rungs=list(rungs),
    )


def _total(costs: Sequence[float | None], once: float) -> float | None:
    found = [cost for cost in costs if cost is not None]
    return once + float(sum(found)) if found else None


def _sign(higher: bool) -> float:
    return 1.0 if higher else -1.0


def _signed(draws: Sequence[DrawFigures], higher: bool) -> FloatArray:
    """Scores with larger as better; a draw that failed counts as the worst that did not."""
    sign = _sign(higher)
    found = [sign * draw.score for draw in draws if draw.score is not None]
    if not found:
        return np.empty(0)
    return np.array(found + [min(found)] * (len(draws) - len(found)))


def _curve(
    draws: Sequence[DrawFigures], higher: bool, shared: tuple[float, float], label: str, halved: bool
) -> list[CurvePoint]:
    scores, sign = _signed(ended(draws), higher), _sign(higher)
    if not len(scores):
        return []
    payers = len(scores) if halved else None
    best = sign * expected_best(scores)
    ends: FloatArray | None = None
    if len(scores) >= LEAST_DRAWS:
        ends = np.sort(sign * np.quantile(resampled_curves(scores, label), [0.025, 0.975], axis=0), axis=0)
    return [
        CurvePoint(
            draws=k,
            best=float(best[k - 1]),
            low=None if ends is None else float(ends[0, k - 1]),
            high=None if ends is None else float(ends[1, k - 1]),
            flops=_cost_of([draw.flops for draw in draws], k, shared[0], payers),
            seconds=_cost_of([draw.seconds for draw in draws], k, shared[1], payers),
        )
        for k in range(1, len(scores) + 1)
    ]


def _cost_of(costs: Sequence[float | None], k: int, once: float, payers: int | None) -> float | None:
    """What k of the draws cost on average; `payers` of them pay for all where others were dropped."""
    found = [cost for cost in costs if cost is not None]
    return once + k * float(np.sum(found)) / (payers or len(found)) if found else None


def crossings(lines: Sequence[LineFigures], higher: bool, axis: Axis) -> list[Crossing]:
    """Pairs of lines of which one is better with little searching and the other with more, in at least 95 % of
    resamples of their draws. Draws that were chosen among others on the way show nothing of that."""
    able = [line for line in lines if len(line.curve) >= LEAST_DRAWS and not line.rungs]
    curves = {line.label: resampled_curves(_signed(line.draws, higher), line.label) for line in able}
    found = []
    for place, a in enumerate(able):
        for b in able[place + 1 :]:
            for few, many in ((a, b), (b, a)):
                crossing = _crossing(few, many, curves, higher, axis)
                if crossing is not None:
                    found.append(crossing)
    return found


def _crossing(
    few: LineFigures, many: LineFigures, curves: Mapping[str, FloatArray], higher: bool, axis: Axis
) -> Crossing | None:
    places = _common_places(few, many, axis)
    if len(places) < 2:
        return None
    x, left, right = np.array([p[0] for p in places]), [p[1] for p in places], [p[2] for p in places]
    ahead = curves[few.label][:, left] - curves[many.label][:, right]
    share = float(np.mean((ahead[:, 0] > 0) & (ahead[:, -1] < 0)))
    if share < SURE:
        return None
    sign = _sign(higher)
    measured = [sign * (few.curve[i].best - many.curve[j].best) for i, j in zip(left, right, strict=True)]
    leads = [place for place, gap in enumerate(measured) if gap > 0]
    return Crossing(few=few.label, many=many.label, axis=axis, at=float(x[max(leads, default=0)]), share=share)


def _common_places(a: LineFigures, b: LineFigures, axis: Axis) -> list[tuple[float, int, int]]:
    """Where both lines have a best: the amount, and the place in each one's curve that it pays for."""
    if axis == "draws":
        return [(float(k + 1), k, k) for k in range(min(len(a.curve), len(b.curve)))]
    costs = []
    for line in (a, b):
        spent = [point.flops if axis == "flops" else point.seconds for point in line.curve]
        paid = [cost for cost in spent if cost is not None]
        if len(paid) < len(line.curve):
            return []
        costs.append(np.array(paid))
    first, last = max(costs[0][0], costs[1][0]), min(costs[0][-1], costs[1][-1])
    amounts = np.unique(np.concatenate(costs))
    return [
        (float(x), *(int(np.searchsorted(paid, x, side="right")) - 1 for paid in costs))  # type: ignore[misc]
        for x in amounts[(amounts >= first) & (amounts <= last)]
    ]
