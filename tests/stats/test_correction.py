"""Corrections for many pairs, against a closed test by brute force, other programs, and each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats as scipy_stats

from whichtune import stats
from whichtune.stats.correction import largest_of_correlated, range_beyond

Pair = tuple[int, int]


def parts_of(rows: list[int]) -> Iterator[list[list[int]]]:
    """Every way to part the rows."""
    if not rows:
        yield []
        return
    first, *rest = rows
    for size in range(len(rest) + 1):
        for others in itertools.combinations(rest, size):
            for parts in parts_of([row for row in rest if row not in others]):
                yield [[first, *others], *parts]


def by_brute_force(p: dict[Pair, float]) -> dict[Pair, float]:
    """The closed test as it is defined: a pair's adjusted p is the largest of all hypotheses that hold it together."""
    adjusted = dict.fromkeys(p, 0.0)
    for parts in parts_of(sorted({row for pair in p for row in pair})):
        inside = [[pair for pair in itertools.combinations(sorted(part), 2) if pair in p] for part in parts]
        if not any(inside):
            continue
        least = min(p[pair] for pairs in inside for pair in pairs)
        kept = 1.0
        for part, pairs in zip(parts, inside, strict=True):
            if pairs:
                z = -np.sqrt(2) * scipy_stats.norm.ppf(least / 2)
                span = scipy_stats.studentized_range.sf(z, len(part), np.inf) if len(part) > 2 else least
                kept *= 1 - min(1.0, span, len(pairs) * least)
        for pair in itertools.chain(*inside):
            adjusted[pair] = max(adjusted[pair], 1 - kept)
    return adjusted


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_closed_test_is_the_one_by_brute_force(rows: int, share: float) -> None:
    """All pairs and some of them; small p and large ones."""
    rng = np.random.default_rng(rows)
    for _ in range(4):
        pairs = [pair for pair in itertools.combinations(range(rows), 2) if rng.random() <= share] or [(0, 1)]
        p = {pair: float(x) for pair, x in zip(pairs, rng.random(len(pairs)) ** 4, strict=True)}
        wanted = by_brute_force(p)
        assert stats.closed_pairs(list(p.values()), pairs) == pytest.approx([wanted[pair] for pair in pairs], abs=1e-9)


def test_the_closed_test_lies_between_one_pair_and_holm() -> None:
    rng = np.random.default_rng(3)
    pairs = list(itertools.combinations(range(9), 2))
    p = rng.random(len(pairs)) ** 5
    adjusted = stats.closed_pairs(p, pairs)
    assert (adjusted >= p).all()
    assert (adjusted <= np.asarray(stats.holm(list(p))) + 1e-12).all()
    assert adjusted.mean() < 0.95 * np.mean(stats.holm(list(p)))


def test_many_studies_at_once_are_as_one_by_one() -> None:
    pairs = list(itertools.combinations(range(5), 2))
    p = np.random.default_rng(4).random((7, len(pairs))) ** 3
    assert stats.closed_pairs(p, pairs) == pytest.approx(np.stack([stats.closed_pairs(one, pairs) for one in p]))


def test_ten_rows_are_too_many() -> None:
    with pytest.raises(ValueError, match="10 rows are more than the 9"):
        stats.closed_pairs([0.5] * 45, list(itertools.combinations(range(10), 2)))


def test_the_range_of_normals() -> None:
    """Against draws, and where p is so small that only the bound for single pairs is left."""
    draws = np.random.default_rng(0).standard_normal((400_000, 4))
    span = draws.max(axis=1) - draws.min(axis=1)
    for p in (0.2, 0.05, 0.01):
        far = -np.sqrt(2) * scipy_stats.norm.ppf(p / 2)
        assert range_beyond(p, 4) == pytest.approx((span > far).mean(), rel=0.03)
    assert range_beyond([1e-14, 1.0], 4) == pytest.approx([6e-14, 1.0])


def test_dunnett_is_the_largest_of_normals_that_are_correlated_by_a_half() -> None:
    covariance = np.full((5, 5), 0.5) + 0.5 * np.eye(5)
    for z in (1.5, 2.5, 3.0):
        normal = scipy_stats.multivariate_normal(cov=covariance, abseps=1e-7, maxpts=500_000)
        wanted = 1 - normal.cdf([z] * 5, lower_limit=[-z] * 5)
        assert largest_of_correlated(2 * scipy_stats.norm.sf(z), 5) == pytest.approx(wanted, abs=2e-5)
    # Dunnett (1964), table II, infinite degrees of freedom: 2.21 for two comparisons and 2.51 for five, two-sided 5 %.
    assert largest_of_correlated(2 * scipy_stats.norm.sf(2.21), 2) == pytest.approx(0.05, abs=5e-4)
    assert largest_of_correlated(2 * scipy_stats.norm.sf(2.51), 5) == pytest.approx(0.05, abs=5e-4)


def test_steps_get_easier_and_never_turn_round() -> None:
    p = [0.04, 0.01, 0.02, 0.5]
    for correction in (stats.sidak, stats.dunnett, stats.holm):
        adjusted = correction(p)
        assert list(np.argsort(adjusted, kind="stable")) == list(np.argsort(p))
        assert adjusted[3] == pytest.approx(0.5)
        assert all(a >= b for a, b in zip(adjusted, p, strict=True))
    for a, b, c in zip(stats.dunnett(p), stats.sidak(p), stats.holm(p), strict=True):
        assert a <= b + 1e-12 <= c + 2e-12
    assert stats.sidak([0.01], others=3) == pytest.approx([1 - 0.99**4])


def test_claims_that_could_have_been_made_stay_in_the_family() -> None:
    assert stats.holm([0.01, 0.02], others=3) == pytest.approx([0.05, 0.08])
