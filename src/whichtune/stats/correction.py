"""Many comparisons: adjusted p values that hold for every pair of a family together.

Which correction a family gets follows from its pairs alone, never from what they show:

- pairs that all share one row (a baseline): Dunnett's (1955) test in steps, or Sidak's where that row draws nothing;
- up to nine rows otherwise: the closed test over sets of equal rows (`closed_pairs`);
- more rows, or several metrics: Holm's (1979) steps.

Claims of equivalence are a family of their own, by Holm's steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Pair = tuple[int, int]
_Block = tuple[NDArray[np.int64], NDArray[np.int64]]

MOST_CLOSED = 9  # rows; there are 21,147 ways to part nine
_MOST_NUMBERS = 20_000_000  # held at a time
_TINY = 1e-10  # below, the range's tail is its bound for single pairs to all digits


def holm(p_values: Sequence[float], others: int = 0) -> list[float]:
    """Holm-adjusted p values in the order given (Holm 1979). `others` counts claims that could have been made after
    seeing the data and were not: they stay in the family for ever."""
    from statsmodels.stats.multitest import multipletests

    if not len(p_values):
        return []
    held = [*p_values, *[1.0] * others]
    return [float(p) for p in multipletests(np.asarray(held, dtype=float), method="holm")[1]][: len(p_values)]


def sidak(p_values: Sequence[float], others: int = 0) -> list[float]:
    """Sidak's (1967) correction in steps (Holland and Copenhaver 1987)."""
    return _in_steps(p_values, lambda p, among: float(-np.expm1(among * np.log1p(-p))) if p < 1 else 1.0, others)


def dunnett(p_values: Sequence[float], others: int = 0) -> list[float]:
    """Dunnett's (1955) comparisons with one row, in steps: normal, any two correlated by one half."""
    return _in_steps(p_values, largest_of_correlated, others)


def _in_steps(p_values: Sequence[float], among: Callable[[float, int], float], others: int) -> list[float]:
    """Step-down: the smallest p among all claims, the next among those that are left."""
    order = np.argsort(p_values, kind="stable")
    adjusted, running = [0.0] * len(p_values), 0.0
    for step, place in enumerate(order):
        running = max(running, among(float(p_values[place]), len(p_values) - step + others))
        adjusted[place] = min(1.0, running)
    return adjusted


def largest_of_correlated(p: float, count: int) -> float:
    """The chance that the largest of `count` normals, any two correlated by one half, lies as far out as two-sided `p`
    says of one."""
    from scipy.integrate import quad
    from scipy.special import ndtr, ndtri
    from scipy.stats import norm

    if count == 1 or p >= 1:
        return p
    if p < _TINY:
        return count * p
    reach = -np.sqrt(2) * ndtri(p / 2)

    def beyond(shared: float) -> float:
        inside = ndtr(shared + reach) - ndtr(shared - reach)
        return float(norm.pdf(shared) * -np.expm1(count * np.log(inside))) if inside > 0 else float(norm.pdf(shared))

    return min(1.0, count * p, float(quad(beyond, -np.inf, np.inf, epsabs=1e-12)[0]))


def range_beyond(p: ArrayLike, rows: int) -> FloatArray:
    """The chance that the range of `rows` independent normals lies as far out as two-sided `p` says of one pair."""
    from scipy.special import ndtri
    from scipy.stats import studentized_range

    p = np.asarray(p, dtype=np.float64)
    if rows == 2:
        return p
    pairs = rows * (rows - 1) / 2
    able = (p > _TINY) & (p < 1)
    found = np.where(p < 1, np.minimum(1.0, pairs * p), 1.0)
    if able.any():
        found[able] = studentized_range.sf(-np.sqrt(2) * ndtri(p[able] / 2), rows, np.inf)
    return found


def closed_pairs(p: ArrayLike, pairs: Sequence[Pair], beyond: Callable[..., ArrayLike] = range_beyond) -> FloatArray:
    """Adjusted p `(..., M)` of M pairs of rows, from their two-sided p `(..., M)`.

    Rows that are equal form blocks; every way to part the rows into blocks is a hypothesis, and a pair is shown to
    differ where all hypotheses are rejected that hold its two rows together (Marcus, Peritz and Gabriel 1976). That
    equality is transitive is what Bonferroni's correction over all pairs does not use. A hypothesis is tested by the
    smallest p inside its blocks: a block of k rows finds one as small by chance as the range of k normals does, or
    its tested pairs by Bonferroni, whichever is less. `beyond(p, k)` gives the former.

    Raises ValueError for more than nine rows.
    """
    p = np.asarray(p, dtype=np.float64)
    rows = sorted({row for pair in pairs for row in pair})
    if len(rows) > MOST_CLOSED:
        raise ValueError(f"{len(rows)} rows are more than the {MOST_CLOSED} that a closed test is made for")
    if not rows:
        return p
    places = np.array([[rows.index(a), rows.index(b)] for a, b in pairs])
    ways = _ways(len(rows))
    held = ways[:, places[:, 0]] == ways[:, places[:, 1]]  # (H, M): which pairs each hypothesis holds together
    blocks = [_block(ways, held, places, number) for number in range(len(rows) // 2)]
    ranges = np.stack([p, p, *(np.asarray(beyond(p, size)) for size in range(2, len(rows) + 1))])
    flat, ranges = p.reshape(-1, p.shape[-1]), ranges.reshape(len(ranges), -1, p.shape[-1])
    step = max(1, _MOST_NUMBERS // held.size)
    adjusted = [
        _closed(flat[at : at + step], ranges[:, at : at + step], held, blocks) for at in range(0, len(flat), step)
    ]
    return np.concatenate(adjusted).reshape(p.shape)


def _closed(p: FloatArray, ranges: FloatArray, held: NDArray[np.bool_], blocks: list[_Block]) -> FloatArray:
    """Adjusted p `(N, M)` of N studies at once; `ranges (sizes, N, M)`, `held (H, M)`."""
    smallest = np.where(held, p[:, None, :], np.inf).argmin(axis=-1)  # (N, H)
    least = np.take_along_axis(p, smallest, axis=-1)
    kept = np.ones_like(least)
    for sizes, tested in blocks:
        study = np.arange(len(p))[:, None]
        one = np.minimum(ranges[sizes[None, :], study, smallest], tested * least)
        kept *= 1 - np.minimum(one, 1.0)
    rejected = np.where(held, (1 - kept)[..., None], 0.0).max(axis=1)
    adjusted: FloatArray = np.maximum(rejected, p)
    return adjusted


def _block(ways: NDArray[np.int8], held: NDArray[np.bool_], places: NDArray[np.int64], number: int) -> _Block:
    """Of each hypothesis the `number`-th largest block: its rows and how many of its pairs are tested, `(H,)` each."""
    names = np.arange(ways.shape[1])
    sizes = (ways[:, :, None] == names).sum(axis=1)
    name = np.argsort(-sizes, axis=1, kind="stable")[:, number]
    tested = (held & (ways[:, places[:, 0]] == name[:, None])).sum(axis=1)
    return np.take_along_axis(sizes, name[:, None], axis=1)[:, 0], tested


@lru_cache
def _ways(rows: int) -> NDArray[np.int8]:
    """Every way to part rows into blocks, but for the one of single rows: each row's block by number, `(H, rows)`."""
    found = np.zeros((1, 1), dtype=np.int8)
    for _ in range(rows - 1):
        most = found.max(axis=1) + 1
        again = np.repeat(found, most + 1, axis=0)
        starts = np.cumsum(most + 1) - (most + 1)
        last = np.arange(len(again)) - np.repeat(starts, most + 1)
        found = np.column_stack([again, last]).astype(np.int8)
    parted: NDArray[np.int8] = found[found.max(axis=1) < rows - 1]
    return parted


def unpaired_p(right_a: int, right_b: int, n_a: int, n_b: int) -> float:
    """Fisher's exact test of two counts, for when only totals are known and the pairing is lost."""
    from scipy.stats import fisher_exact

    return float(fisher_exact([[right_a, n_a - right_a], [right_b, n_b - right_b]])[1])
