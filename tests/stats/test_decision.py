"""What choosing a row costs, against plain calculation and draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from whichtune.stats import decision
from whichtune.stats.decision import Standing
from whichtune.stats.noise import Prior
from whichtune.stats.pairs import StudyNoise
from whichtune.stats.scores import Scores
from whichtune.stats.standing import Seen, standing_of


def standing(mean: list[float], seed: list[float], example: float = 0.0, df: float = 6.0) -> Standing:
    """Rows with these means and variances of the mean; every pair has the same variance by the test examples."""
    count = len(mean)
    other = 1 - np.eye(count)
    variances = np.asarray(seed)
    return Standing(
        mean=np.asarray(mean),
        seed_variance=variances,
        seed_df=np.full(count, df),
        run_variance=3 * variances,
        example=example * other,
        pair_seed=(variances[:, None] + variances[None, :]) * other,
        pair_df=np.full((count, count), df),
    )


def test_the_bound_of_two_rows_is_a_one_sided_t() -> None:
    rows = standing([0.93, 0.95], [4e-5, 5e-5], example=7e-5)
    reach = scipy_stats.t.ppf(0.95, 6) * np.sqrt(4e-5 + 5e-5 + 7e-5)
    assert decision.regret_bounds(rows) == pytest.approx([0.02 + reach, max(0.0, reach - 0.02)])


def test_regret_of_two_rows_is_that_of_a_normal() -> None:
    """With many degrees of freedom: E max(d, 0) with d normal, by hand."""
    rows = standing([0.95, 0.95], [4e-5, 5e-5], example=7e-5, df=1e6)
    drawn = decision.regrets(decision.posterior_means(rows, draws=100_000))
    assert drawn.mean(axis=0) == pytest.approx([np.sqrt(16e-5 / (2 * np.pi))] * 2, rel=0.02)
    assert (drawn == 0).mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.01)


def test_what_examples_share_between_rows_is_not_regret() -> None:
    """A hard test set moves all rows alike: differences of three rows keep the variances that were given."""
    rows = standing([0.9, 0.9, 0.9], [0.0] * 3, example=3e-4)
    drawn = decision.posterior_means(rows, draws=200_000)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.var(drawn[:, a] - drawn[:, b]) == pytest.approx(3e-4, rel=0.02)


def test_the_cheapest_good_enough_is_chosen_else_the_best() -> None:
    expected = np.array([[0.004, 0.002, 0.001], [0.03, 0.02, 0.015], [0.02, 0.009, 0.001], [0.004, 0.002, 0.001]])
    costs = np.array([[1.0, 2.0, 3.0]] * 3 + [[np.inf, 2.0, 2.0]])
    assert decision.choose(expected, costs, 0.01).tolist() == [0, 2, 1, 2]


def test_a_new_run_ahead_is_symmetric_and_shrunk() -> None:
    rows = standing([0.95, 0.93, 0.93], [1e-5] * 3, example=1e-5, df=1e5)
    ahead = decision.new_run_ahead(rows)
    assert ahead + ahead.T == pytest.approx(np.ones((3, 3)))
    plain = scipy_stats.norm.cdf(0.02 / np.sqrt(2 * 3e-5 + 3e-5))
    assert 0.9 * plain < ahead[0, 1] < plain
    assert ahead[1, 2] == pytest.approx(0.5)


def test_many_studies_at_once_are_as_one_by_one() -> None:
    one, two = standing([0.95, 0.9], [1e-5, 2e-5], 1e-5), standing([0.8, 0.9], [3e-5, 2e-5], 2e-5)
    both = Standing(*(np.stack([getattr(one, f), getattr(two, f)]) for f in Standing.__dataclass_fields__))
    for function in (decision.regret_bounds, decision.new_run_ahead):
        assert function(both) == pytest.approx(np.stack([function(one), function(two)]))


def seen(rng: np.random.Generator, accuracy: float, seeds: list[int | None], n: int = 400) -> Seen:
    hard = rng.random(n) < 1 - accuracy
    return Seen(Scores(np.stack([(~hard ^ (rng.random(n) < 0.01)).astype(float) for _ in seeds]), 1.0), seeds)


def test_one_seed_rests_on_the_belief_and_more_seeds_take_over() -> None:
    rng = np.random.default_rng(0)
    for seeds, most in (([0], 1e-4), ([0, 1], 1e-4), (list(range(30)), 4e-5)):
        rows = [seen(rng, 0.95, list(seeds)) for _ in range(4)]
        found = standing_of(rows, StudyNoise.of([row.scores for row in rows]))
        assert (found.run_variance <= most).all()
        assert (found.run_variance * 2 <= found.pair_seed.max() * len(seeds) + 1e-9).all()
    wide = [Seen(Scores(row.scores.values[:1], 1.0), [0]) for row in rows]
    found = standing_of(wide, StudyNoise.of([row.scores for row in wide], belief=Prior(0.05, 4)))
    assert found.run_variance == pytest.approx([0.05**2] * 4)


def test_a_row_that_draws_nothing_brings_no_seed_noise() -> None:
    rng = np.random.default_rng(1)
    rows = [seen(rng, 0.95, [None]), seen(rng, 0.95, [None]), seen(rng, 0.95, [0, 1, 2])]
    found = standing_of(rows, StudyNoise.of([row.scores for row in rows]))
    assert found.pair_seed[0, 1] == 0.0
    assert found.pair_seed[0, 2] > 0.0
    assert found.run_variance[:2].tolist() == [0.0, 0.0]
    assert found.example[0, 1] == pytest.approx(np.var(rows[0].scores.values - rows[1].scores.values, ddof=1) / 400)


def test_rows_with_other_seeds_are_judged_by_all_of_theirs() -> None:
    """As after seeds were added where they were needed: five of one row, three of another, none in common."""
    rng = np.random.default_rng(2)
    rows = [seen(rng, 0.95, [0, 1, 2, 3, 4]), seen(rng, 0.9, [0, 1, 2]), seen(rng, 0.9, [7, 8, 9])]
    found = standing_of(rows, StudyNoise.of([row.scores for row in rows]))
    assert found.mean == pytest.approx([row.scores.values.mean() for row in rows])
    assert np.isfinite(found.pair_seed).all()
    assert (found.pair_seed[0, 1], found.pair_seed[1, 2]) > (0.0, 0.0)
