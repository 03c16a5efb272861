"""The test of two methods over several seeds, against algebra, other formulas and limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from whichtune import stats
from whichtune.stats.crossed import Reference, crossed_test
from whichtune.stats.noise import NO_SEED_SEEN, Prior, average_variance, seed_noise


def table(rng: np.random.Generator, seed_sd: float, example_sd: float, shape: tuple[int, int]) -> np.ndarray:
    seeds, examples = shape
    return rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, example_sd, (1, examples)) + rng.normal(0, 1, shape)


def test_mean_squares_are_those_of_a_two_way_analysis_of_variance() -> None:
    import pandas as pd
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    values = table(np.random.default_rng(1), 0.5, 1.0, (4, 12))
    frame = pd.DataFrame([(s, e, values[s, e]) for s in range(4) for e in range(12)], columns=["seed", "example", "d"])
    anova = anova_lm(smf.ols("d ~ C(seed) + C(example)", frame).fit())
    squares = stats.mean_squares(values)
    assert [float(squares.seed), float(squares.example), float(squares.residual)] == pytest.approx(
        list(anova["mean_sq"])
    )


def test_satterthwaite_agrees_with_r() -> None:
    # Davies and Goldsmith (1972), table 6.6 (`Penicillin` in R's lme4): growth of 24 plates (columns) with 6
    # samples (rows), in mm. R 4.2.2, lmerTest 3.1-3: lmer(diameter ~ 1 + (1 | plate) + (1 | sample)) has the
    # mean 22.97222, its standard error 0.80859536, 5.48659 degrees of freedom, and variances 0.71690514 (plate),
    # 3.73113184 (sample) and 0.30241496 (residual); its optimiser stops within 0.01 % of the exact solution.
    rows = [
        "27 27 25 26 25 24 24 26 24 24 26 25 26 26 26 25 25 25 24 26 25 25 24 24",
        "23 23 21 23 22 22 20 22 21 21 23 22 24 23 23 22 21 22 21 23 21 22 21 21",
        "26 26 25 25 26 25 23 26 24 24 26 26 26 26 25 25 24 24 23 26 24 25 24 24",
        "23 23 24 23 22 23 21 24 22 23 24 24 24 23 24 23 23 23 21 24 22 22 22 22",
        "23 23 24 23 23 22 22 24 22 22 24 24 25 23 24 23 23 23 21 24 22 22 24 21",
        "21 21 20 20 20 19 19 21 20 19 21 20 22 20 22 20 20 19 19 21 18 20 19 18",
    ]
    squares = stats.mean_squares([[int(x) for x in row.split()] for row in rows])
    error, df = stats.satterthwaite(squares)
    assert float(squares.mean) == pytest.approx(22.97222, abs=1e-5)
    assert float(error) == pytest.approx(0.80859536, rel=1e-4)
    assert float(df) == pytest.approx(5.48659, rel=1e-3)
    assert float(squares.residual) == pytest.approx(0.30241496, rel=1e-3)
    assert float((squares.seed - squares.residual) / 24) == pytest.approx(3.73113184, rel=1e-3)
    assert float((squares.example - squares.residual) / 6) == pytest.approx(0.71690514, rel=1e-3)


def test_satterthwaite_reduces_to_welch() -> None:
    # Welch's degrees of freedom are Satterthwaite's for two variances: no example-by-seed residual
    # left, the sum MS_seed + MS_example stands for s1^2/n1 + s2^2/n2.
    squares = stats.MeanSquares(*(np.asarray(x) for x in (0.0, 3.0, 2.0, 0.0)), n_seeds=5, n_examples=9)
    error, df = stats.satterthwaite(squares)
    first, second = scipy_stats.norm.rvs(size=5, random_state=1), scipy_stats.norm.rvs(size=9, random_state=2)
    first = (first - first.mean()) / first.std(ddof=1) * np.sqrt(3.0 * 5)
    second = (second - second.mean()) / second.std(ddof=1) * np.sqrt(2.0 * 9)
    welch = scipy_stats.ttest_ind(first, second, equal_var=False)
    assert float(df) == pytest.approx(welch.df)
    assert float(error) == pytest.approx(np.sqrt((3.0 + 2.0) / 45))


def test_only_seed_noise_gives_a_t_over_seeds() -> None:
    reference = Reference(np.asarray(4.0), np.asarray(0.0), np.asarray(3.0), 299)
    for distance in (1.0, 5.0, 20.0):
        assert float(reference.sf(distance)) == pytest.approx(scipy_stats.t.sf(distance / 2, 3), rel=1e-4)
    assert float(reference.quantile(0.025)) == pytest.approx(2 * scipy_stats.t.ppf(0.975, 3), rel=1e-6)


@pytest.mark.parametrize("n_examples", [40, 300])
def test_only_example_noise_gives_a_t_over_examples(n_examples: int) -> None:
    reference = Reference(np.asarray(0.0), np.asarray(4.0), np.asarray(3.0), n_examples - 1)
    for distance in (1.0, 4.0, 6.0):
        expected = scipy_stats.t.sf(distance / 2, n_examples - 1)
        assert float(reference.sf(distance)) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("seed, example, n_seeds", [(1.0, 1.0, 3), (0.3, 2.0, 3), (2.0, 0.5, 5)])
def test_reference_is_the_sum_of_two_ts(seed: float, example: float, n_seeds: int) -> None:
    rng = np.random.default_rng(0)
    draws = np.sqrt(seed) * rng.standard_t(n_seeds - 1, 400_000) + np.sqrt(example) * rng.standard_t(199, 400_000)
    reference = Reference(np.asarray(seed), np.asarray(example), np.asarray(n_seeds - 1.0), 199)
    for distance in (1.0, 3.0, 6.0):
        assert float(reference.sf(distance)) == pytest.approx((draws > distance).mean(), rel=0.05)


def test_interval_and_p_agree() -> None:
    test = crossed_test(table(np.random.default_rng(3), 0.3, 0.5, (5, 80)) + 0.4)
    low, high = test.interval(0.95)
    assert float(test.p_difference(float(low))) == pytest.approx(0.05, abs=1e-6)
    assert float(test.p_difference(float(high))) == pytest.approx(0.05, abs=1e-6)
    assert float(test.p_above(float(low))) == pytest.approx(0.025, abs=1e-6)


def test_equivalence_is_two_one_sided_tests() -> None:
    test = crossed_test(0.1 * table(np.random.default_rng(4), 0.01, 0.1, (5, 400)))
    low, high = (float(x) for x in test.interval(0.90))
    margin = max(-low, high)
    assert float(test.p_equivalence(margin)) == pytest.approx(0.05, abs=1e-6)
    assert float(test.p_equivalence(margin * 1.2)) < 0.05 < float(test.p_equivalence(margin / 1.2))


def test_a_test_set_with_hardly_any_disagreement_does_not_prove_equivalence() -> None:
    differences = np.zeros((3, 300))
    differences[0, 0] = 1.0
    test = crossed_test(differences)
    assert float(test.p_equivalence(0.01, weight=None)) < 0.05
    assert float(test.p_equivalence(0.01, weight=1.0)) > 0.05


def test_leading_axes_are_separate_studies() -> None:
    rng = np.random.default_rng(8)
    tables = np.stack([table(rng, 0.5, 0.5, (3, 30)) for _ in range(4)])
    together = crossed_test(tables)
    apart = [crossed_test(one) for one in tables]
    assert together.p_difference() == pytest.approx([float(one.p_difference()) for one in apart])
    assert together.interval()[0] == pytest.approx([float(one.interval()[0]) for one in apart])


def test_two_seeds_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 3 seeds, not 2"):
        crossed_test(np.zeros((2, 10)))


def test_variance_components_are_recovered() -> None:
    rng = np.random.default_rng(9)
    squares = stats.mean_squares(np.stack([table(rng, 0.4, 0.7, (5, 200)) for _ in range(400)]))
    assert ((squares.seed - squares.residual) / 200).mean() == pytest.approx(0.16, rel=0.1)
    assert ((squares.example - squares.residual) / 5).mean() == pytest.approx(0.49, rel=0.05)
    assert squares.residual.mean() == pytest.approx(1.0, rel=0.02)


def squares_with(seed: float, residual: float = 0.0) -> stats.MeanSquares:
    return stats.MeanSquares(*(np.asarray(x) for x in (0.0, seed, residual, residual)), n_seeds=3, n_examples=100)


def test_seed_noise_of_alike_methods_gains_their_degrees_of_freedom() -> None:
    noise = seed_noise(squares_with(2.0), [0.01, 0.01], 2, [0.01] * 6, [2] * 6)
    assert float(noise.variance) == pytest.approx(0.02)
    assert float(noise.df) == pytest.approx(12)


def test_seed_noise_of_two_methods_has_welchs_degrees_of_freedom() -> None:
    noise = seed_noise(squares_with(0.0), [0.03, 0.01], 2, [0.03, 0.01], [2, 2])
    assert float(noise.variance) == pytest.approx(0.04)
    assert float(noise.df) == pytest.approx((0.03 + 0.01) ** 2 / (0.03**2 / 2 + 0.01**2 / 2))


def test_seed_noise_is_never_below_the_pairs_own() -> None:
    noise = seed_noise(squares_with(50.0), [0.01, 0.01], 2, [0.01] * 6, [2] * 6)
    assert float(noise.variance) == pytest.approx(0.5)


def test_a_method_that_collapsed_does_not_make_quiet_pairs_noisy() -> None:
    noise = seed_noise(squares_with(2.0), [0.01, 0.01], 2, [0.01] * 5 + [4.0], [2] * 6)
    assert float(noise.variance) == pytest.approx(0.02)
    assert float(noise.df) == pytest.approx(10)


def test_a_deterministic_side_adds_no_seed_noise() -> None:
    noise = seed_noise(squares_with(1.0), [0.01], 1, [0.01] * 4, [2] * 4)
    assert float(noise.variance) == pytest.approx(0.01)


def test_p_and_interval_agree_where_two_methods_hardly_disagree() -> None:
    """Seven examples that one method has right with one seed of ten each: the noise that a difference below zero would
    bring along explains them as well as no difference does."""
    differences = np.zeros((10, 100))
    differences[np.arange(7), np.arange(7)] = 1.0
    test = crossed_test(differences)
    low, high = (float(end) for end in test.interval())
    assert low < 0 < high
    assert float(test.p_difference()) > 0.05


@pytest.mark.parametrize("seed", range(40))
def test_zero_lies_in_the_interval_exactly_where_p_says_so(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_seeds, n = int(rng.integers(3, 11)), int(rng.integers(20, 300))
    lost = rng.random((n_seeds, n)) < rng.choice([0.005, 0.02, 0.1])
    both = rng.random(n) < rng.choice([0.0, 0.03])
    test = crossed_test((lost | both).astype(float) - (rng.random((n_seeds, n)) < 0.004))
    for level in (0.95, 0.90):
        low, high = (float(end) for end in test.interval(level))
        assert (low <= 0 <= high) == (float(test.p_difference()) > 1 - level)
        inside = max(-low, high) < 0.02
        if level == 0.90:
            assert inside == (float(test.p_equivalence(0.02)) < 0.05)


def test_five_seeds_have_welchs_degrees_of_freedom() -> None:
    """Welch (1947), unbiased: for alike variances they are the sum, where Satterthwaite's come out low on average."""
    rng = np.random.default_rng(0)
    drawn = rng.chisquare(4, (4000, 6)) / 4
    _, welch = average_variance(drawn, [4.0] * 6, 5)
    _, low = average_variance(drawn, [4.0] * 6, 4)
    assert 17 < low.mean() < welch.mean() <= 24
    assert float(average_variance([1.0, 1.0], [4.0, 4.0], 5)[1]) == pytest.approx(
        8.0
    )  # 64 / (2 * 16 / 6) - 2, cut at the sum


def test_seed_noise_has_a_floor_of_half_a_point_a_method() -> None:
    for sides in (1, 2):
        noise = seed_noise(squares_with(0.0, residual=0.01), [0.0] * sides, sides, [0.0] * 3, [2] * 3)
        assert float(noise.variance) == pytest.approx(sides * 0.005**2 + 0.01 / 100)


def test_a_belief_counts_as_one_more_method() -> None:
    average, df = average_variance([4e-4], [1.0], 2, Prior(0.01, 4))
    assert float(average) == pytest.approx((4 * 1e-4 + 4e-4) / 5)
    assert 1 <= float(df) <= 5
    assert float(average_variance([], [], 1, NO_SEED_SEEN)[0]) == pytest.approx(1e-4)
