"""Learning curves against known truths."""

from __future__ import annotations

import numpy as np
import pytest

from whichtune.stats.learning import Law, fit_laws, gain, held_out, overtaking

SIZES = np.array([50.0, 100, 200, 400, 800])


def curve(floor: float, scale: float, exponent: float, sizes: np.ndarray = SIZES) -> np.ndarray:
    return 1 - floor - scale * sizes**-exponent


def drawn(truth: np.ndarray, sd: float, draws: int = 2000, seed: int = 0) -> np.ndarray:
    return truth + sd * np.random.default_rng(seed).standard_normal((draws, len(truth)))


@pytest.mark.parametrize("law", [(0.05, 3.0, 0.6), (0.0, 0.9, 0.3), (0.2, 0.5, 1.0)])
def test_a_curve_without_noise_is_found_again(law: tuple[float, float, float]) -> None:
    truth = curve(*law)
    found = fit_laws(SIZES, truth, drawn(truth, 1e-5), np.full(5, 1e-10))
    ahead = found.score(np.array([1600.0]))[:, 0]
    assert abs(np.median(ahead) - curve(*law, np.array([1600.0]))[0]) < 0.004
    assert abs(np.log(np.median(found.exponent) / law[2])) < 0.2


def test_a_flat_curve_gains_nothing_and_no_law_falls() -> None:
    truth = np.full(5, 0.8)
    law = fit_laws(SIZES, truth, drawn(truth, 0.01), np.full(5, 1e-4))
    found = gain(law, 800, 1600)
    assert 0 <= found.low <= found.value < 0.01
    assert (law.scale >= 0).all()
    assert (law.floor >= 0).all()


def test_what_more_texts_bring_is_covered_in_most_studies() -> None:
    truth, covered = (0.06, 1.8, 0.5), 0
    real = curve(*truth, np.array([800.0, 1600.0]))
    for seed in range(100):
        seen = drawn(curve(*truth), 0.012, 1, seed)[0]
        law = fit_laws(SIZES, seen, drawn(seen, 0.012, 500, 1000 + seed), np.full(5, 0.012**2))
        found = gain(law, 800, 1600)
        covered += found.low <= real[1] - real[0] <= found.high
    assert covered >= 90


def test_a_jump_at_the_end_is_not_what_the_smaller_sizes_foretell() -> None:
    smooth = curve(0.1, 1.5, 0.5)
    jump = smooth.copy()
    jump[-1] += 0.12
    variance = np.full(5, 0.01**2)
    assert held_out(SIZES, smooth, drawn(smooth, 0.01), variance).holds
    assert not held_out(SIZES, jump, drawn(jump, 0.01), variance).holds


def laws(law: tuple[float, float, float], wobble: float, draws: int = 1000) -> Law:
    rng = np.random.default_rng(int(1000 * law[0]) + 1)
    floor = law[0] + wobble * rng.standard_normal(draws)
    return Law(floor, np.full(draws, law[1]), np.full(draws, law[2]))


def test_an_overtaking_is_placed_where_the_curves_cross() -> None:
    flat, steep = (0.16, 0.6, 0.5), (0.05, 3.0, 0.6)
    grid = np.geomspace(50, 800, 20_000)
    cross = grid[np.argmax(curve(*steep, grid) > curve(*flat, grid))]
    found = overtaking(laws(flat, 0.004), laws(steep, 0.004), 50, 800)
    assert found.at is not None
    assert found.at.low < cross < found.at.high
    assert abs(np.log(found.at.value / cross)) < 0.1
    assert overtaking(laws(steep, 0.004), laws(flat, 0.004), 50, 800).at is None  # the other way round


def test_curves_that_cannot_be_told_apart_overtake_nowhere() -> None:
    one = (0.1, 1.0, 0.5)
    assert overtaking(laws(one, 0.01), laws((0.101, 1.0, 0.5), 0.01), 50, 800).at is None
