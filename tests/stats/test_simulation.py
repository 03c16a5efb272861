"""The simulation of `benchmarks/` in small: right methods keep their error rates, wrong ones do not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    """A module of `benchmarks/`, which is no package."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"benchmarks/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


simulation = load("evidence_simulation")
Cell = simulation.Cell


def identical(sd: float, n_seeds: int = 3) -> object:
    return Cell(f"seed SD {sd}", (0.95,) * 6, (sd,) * 6, n_seeds)


def test_the_simulated_truth_is_the_one_asked_for() -> None:
    import numpy as np

    cell = Cell("", (0.95, 0.90), (0.02, 0.0), 5)
    right = simulation.draw(np.random.default_rng(0), cell, 400)
    means = right.mean(axis=(0, 2, 3))
    assert means == pytest.approx([0.95, 0.90], abs=0.004)
    true_sd = np.sqrt(max(right[:, 0].mean(axis=2).var(axis=1, ddof=1).mean(), 0.0))
    assert true_sd == pytest.approx(0.022, abs=0.004)  # 2 points and the noise of 300 answers


@pytest.mark.parametrize("sd", [0.0, 0.02])
def test_identical_methods_are_seldom_called_different(sd: float) -> None:
    rates = simulation.run_cell(identical(sd), 200, seed=11)
    # 200 studies: 5.6 % has a standard error of 1.6 points.
    assert rates["family_wise"] <= 0.06
    assert rates["coverage"] >= 0.93


def test_wrong_estimators_call_identical_methods_different() -> None:
    rates = simulation.run_estimators(identical(0.03), 60, seed=11, batch=20)
    for name in (
        "mid-p McNemar, seeds pooled",
        "mid-p McNemar, one seed, read as about methods",
        "hierarchical bootstrap, percentile",
    ):
        assert rates[name]["family_wise"] > 0.15, name
        assert rates[name]["one_pair"] > 0.08, name


def test_a_difference_of_the_margin_is_seldom_called_equivalent() -> None:
    cell = Cell("", (0.989, 0.999, 0.999), (0.0,) * 3, 3, n_examples=1000, sparse=True, outcome="equivalence")
    rates = simulation.run_cell(cell, 200, seed=12)
    assert rates["one_pair"] <= 0.08
    assert rates["family_wise"] <= 0.06


def test_the_reported_power_is_the_simulated_one() -> None:
    import numpy as np

    from whichtune.stats import StudyNoise, compare_scores
    from whichtune.stats.scores import Scores

    reported = []
    for right in simulation.draw(np.random.default_rng(0), identical(0.01, 5), 12):
        methods = [Scores(table.astype(float), 1.0) for table in right]
        test = compare_scores(methods[0], methods[1], 0.01, True, StudyNoise.of(methods))
        reported.append(test.detectable(0.05))
    gap = float(np.median(reported))
    cell = Cell("", (0.95, 0.95 - gap, *(0.95,) * 4), (0.01,) * 6, 5)
    # A forecast from one study's noise, somewhat hopeful because a worse method is also a noisier one.
    assert simulation.run_power(cell, 300, seed=13)["alone"] == pytest.approx(0.75, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 4, 5])
@pytest.mark.parametrize("sd", [0.0, 0.01, 0.02, 0.04])
def test_error_rates_in_full(sd: float, n_seeds: int) -> None:
    rates = simulation.run_cell(identical(sd, n_seeds), 3000, seed=14)
    assert rates["family_wise"] <= 0.056
    assert rates["coverage"] >= 0.93
