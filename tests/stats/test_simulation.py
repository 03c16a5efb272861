"""The simulation of `benchmarks/` in small: right methods keep their error rates, wrong ones do not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # which is no package

import evidence_rates  # noqa: E402
import evidence_simulation as simulation  # noqa: E402
from evidence_simulation import Cell  # noqa: E402
from evidence_wrong import run_estimators  # noqa: E402
from simulate_decide import decide, drawn, weighed  # noqa: E402
from whichtune.stats import StudyNoise, closed_pairs, compare_scores, mean_squares  # noqa: E402
from whichtune.stats.scores import Scores  # noqa: E402
from whichtune.stats.standing import Seen, standing_of  # noqa: E402


def equal(sd: float, n_seeds: int = 3) -> Cell:
    return Cell(f"seed SD {sd}", (0.95,) * 6, (sd,) * 6, n_seeds)


def test_the_simulated_truth_is_the_one_asked_for() -> None:
    cell = Cell("", (0.95, 0.90), (0.02, 0.0), 5)
    studies = simulation.draw(np.random.default_rng(0), cell, 400)
    assert studies.mean.mean(axis=0) == pytest.approx([0.95, 0.90], abs=0.004)
    assert np.sqrt(studies.variance[:, 0].mean()) == pytest.approx(0.022, abs=0.004)  # and the noise of 300 answers
    assert studies.new_run[:, 0].std() == pytest.approx(0.02, abs=0.003)


@pytest.fixture(scope="module")
def one() -> tuple[np.ndarray, simulation.Drawn]:
    """Answers of three studies, and what is kept of them; the fourth row is a baseline that draws nothing."""
    cell = Cell("", (0.9, 0.9, 0.85, 0.9), (0.02, 0.01, 0.01, 0.0), 4, 200, baseline=True)
    right = simulation.answers(np.random.default_rng(1), cell, np.full((3, 4, 4), 0.9))
    truth = np.full((3, 4), 0.9)
    squares = simulation.pair_squares(right, cell.pairs)
    return right, simulation.Drawn(cell, right.mean(axis=-1, dtype=np.float64), squares, truth, truth)


def test_sums_of_products_are_mean_squares(one: tuple[np.ndarray, simulation.Drawn]) -> None:
    right, studies = one
    for number, (a, b) in enumerate(studies.cell.pairs):
        plain = mean_squares(right[:, a].astype(float) - right[:, b].astype(float))
        for name in ("mean", "seed", "example", "residual"):
            found = getattr(studies.squares, name)[:, number]
            assert found == pytest.approx(getattr(plain, name), rel=1e-5, abs=1e-7), name


def test_many_studies_at_once_are_tested_as_one_study_is(one: tuple[np.ndarray, simulation.Drawn]) -> None:
    """The benchmark's arrays against the functions that a user's study goes through."""
    right, studies = one
    said = simulation.say(studies)
    assert said.standing is not None
    for study in range(3):
        rows = [Scores(row.astype(float), 1.0) for row in right[study]]
        noise = StudyNoise.of(rows)
        tests = [compare_scores(rows[a], rows[b], 0.01, True, noise, brief=True) for a, b in studies.cell.pairs]
        assert said.p[study] == pytest.approx([test.p for test in tests], rel=1e-6)
        wanted = closed_pairs([test.p for test in tests], studies.cell.pairs)
        assert said.adjusted[study] == pytest.approx(wanted, rel=2e-3)
        seeds: list[list[int | None]] = [[0, 1, 2, 3]] * 3 + [[None]]
        seen = [Seen(Scores(s.values[: len(k)], 1.0), k) for s, k in zip(rows, seeds, strict=True)]
        alone = standing_of(seen, noise)
        for name in ("mean", "seed_variance", "run_variance", "example", "pair_seed", "pair_df"):
            assert getattr(said.standing, name)[study] == pytest.approx(getattr(alone, name), rel=1e-6), name


@pytest.mark.parametrize("sd, n_seeds", [(0.0, 3), (0.02, 3), (0.01, 2), (0.01, 5)])
def test_equal_methods_are_seldom_called_different(sd: float, n_seeds: int) -> None:
    rates = evidence_rates.claims(equal(sd, n_seeds), 300, seed=11)
    # 300 studies: 5.6 % has a standard error of 1.3 points.
    assert rates["family"] <= 0.06
    assert rates["coverage"] >= 0.93


def test_wrong_estimators_call_equal_methods_different() -> None:
    rates = run_estimators(equal(0.03), 60, seed=11, batch=20)
    for name in (
        "mid-p McNemar, seeds pooled",
        "mid-p McNemar, one seed, read as about methods",
        "hierarchical bootstrap, percentile",
    ):
        assert rates[name]["family"] > 0.15, name
        assert rates[name]["one_pair"] > 0.08, name


def test_a_difference_of_the_margin_is_seldom_called_equivalent() -> None:
    cell = Cell("", (0.989, 0.999, 0.999), (0.0,) * 3, 3, n_examples=1000, sparse=True)
    assert evidence_rates.equivalence(cell, 300, seed=12)["family"] <= 0.06


def test_more_is_shown_than_formerly_on_the_same_draws() -> None:
    rates = evidence_rates.claims(Cell("", (0.91, *(0.94,) * 5), (0.01,) * 6, 5, 500), 300, seed=3)
    assert rates["power"] > rates["former_power"] + 0.05


def test_what_choosing_costs_is_what_was_said() -> None:
    rates = evidence_rates.choices(Cell("", (0.93,) * 6, (0.01,) * 6, 3, 1000, spread=0.02), 400, seed=4)
    assert rates["bound_covers"] >= 0.95
    assert rates["chosen_bound_covers"] >= 0.93
    assert rates["regret"] <= 1.0
    assert rates["regret"] == pytest.approx(rates["regret_expected"], abs=0.15)


def test_the_reported_power_is_the_simulated_one() -> None:
    reported = []
    rng = np.random.default_rng(0)
    for _ in range(12):
        right = simulation.answers(rng, equal(0.01, 5), rng.beta(450, 23.7, (1, 6, 5)))
        methods = [Scores(table.astype(float), 1.0) for table in right[0]]
        reported.append(compare_scores(methods[0], methods[1], 0.01, True, StudyNoise.of(methods)).detectable(0.05))
    gap = float(np.median([found for found in reported if found is not None]))
    cell = Cell("", (0.95, 0.95 - gap, *(0.95,) * 4), (0.01,) * 6, 5)
    studies = simulation.draw(np.random.default_rng(13), cell, 300)
    # A forecast from one study's noise, somewhat hopeful because a worse method is also a noisier one.
    assert (simulation.say(studies).p[:, 0] <= 0.05).mean() == pytest.approx(0.75, abs=0.15)


def test_seeds_are_given_to_rows_that_need_them() -> None:
    """A row far ahead needs none; of two alike the other rows are left alone."""
    rng = np.random.default_rng(5)
    runs, place, reason = decide(drawn(np.array([0.8, 0.8, 0.8, 0.8, 0.8, 0.93]), rng))
    assert (runs, place, reason) == (18, 5, "target")
    truth = np.array([0.8, 0.8, 0.8, 0.8, 0.93, 0.932])
    right = drawn(truth, rng)
    runs, place, _ = decide(right)
    assert place in (4, 5)
    assert runs <= 18 + 2 * 7
    assert weighed(right, [3] * 6, 0.25)[1].place in (4, 5)


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [2, 3, 5, 8])
@pytest.mark.parametrize("sd", [0.0, 0.01, 0.02, 0.04])
def test_error_rates_in_full(sd: float, n_seeds: int) -> None:
    rates = evidence_rates.claims(equal(sd, n_seeds), 3000, seed=14)
    assert rates["family"] <= 0.056
    assert rates["coverage"] >= 0.93
