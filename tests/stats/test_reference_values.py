"""Figures from papers and from other software, so that a wrong formula cannot hide behind its own test."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from whichtune import stats
from whichtune.metrics import METRICS
from whichtune.metrics.confusion import f1_macro_of_confusion
from whichtune.records.record import RunRecord, RunStatus
from whichtune.stats.answers import Answers, Row, TestSet
from whichtune.stats.figures import run_figures
from whichtune.study.roles import Role


@pytest.mark.parametrize(
    "successes, n, low, high",
    [
        # Newcombe (1998a), Statistics in Medicine 17:857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_newcombes_table(successes: int, n: int, low: float, high: float) -> None:
    assert stats.wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("successes, n", [(-1, 10), (11, 10), (0, 0)])
def test_wilson_refuses_what_is_no_proportion(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        stats.wilson(successes, n)


@pytest.mark.parametrize(
    "b, c, p, digits",
    [
        # Fagerland, Lydersen and Laake (2013), BMC Medical Research Methodology 13:91: airway
        # hyper-responsiveness (1 and 7 discordant of 21) and complete response (6 and 16 of 161).
        (1, 7, 0.039, 3),
        (6, 16, 0.035, 3),
        # By hand: 2 (1 + 5 + 10) / 32 - 10 / 32, and 1 - C(4, 2) / 16 / 2 for a tie.
        (2, 3, 22 / 32, 12),
        (2, 2, 1 - 6 / 16 / 2, 12),
        (0, 0, 1.0, 12),
    ],
)
def test_mid_p_mcnemar(b: int, c: int, p: float, digits: int) -> None:
    assert round(stats.mcnemar_midp(b, c), digits) == pytest.approx(round(p, digits))
    assert stats.mcnemar_midp(c, b) == stats.mcnemar_midp(b, c)


def test_mid_p_lies_half_a_point_probability_below_the_exact_test_of_statsmodels() -> None:
    from scipy.stats import binom
    from statsmodels.stats.contingency_tables import mcnemar

    for b, c in [(0, 5), (3, 9), (4, 30), (11, 12)]:
        exact = mcnemar([[50, b], [c, 50]], exact=True).pvalue
        assert stats.mcnemar_midp(b, c) == pytest.approx(exact - binom.pmf(b, b + c, 0.5))


def test_intervals_of_a_paired_difference_on_the_airway_data() -> None:
    # Fagerland, Lydersen and Laake (2014), Statistics in Medicine 33:2850-2875, table IV:
    # rows (1, 1), (7, 12); Tango -0.517 to -0.026, Newcombe -0.507 to -0.026.
    assert stats.tango_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert stats.newcombe_paired(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=5e-4)


def test_newcombes_paired_interval_on_altmans_example() -> None:
    # Altman and others (2000), Statistics with Confidence, p. 52: 14, 5, 0, 22 -> 1.1 % to 22.6 %.
    assert stats.newcombe_paired(14, 5, 0, 22) == pytest.approx((0.011, 0.226), abs=5e-4)


def test_tangos_interval_holds_the_differences_that_its_test_does_not_reject() -> None:
    for b, c, n in [(3, 9, 300), (0, 5, 300), (0, 0, 300), (40, 20, 160)]:
        low, high = stats.tango_interval(b, c, n, 0.90)
        assert stats.tango_p_above(b, c, n, low) == pytest.approx(0.05, abs=1e-6)
        assert stats.tango_p_above(c, b, n, -high) == pytest.approx(0.05, abs=1e-6)


def test_tangos_interval_without_a_discordant_pair_is_wilsons_upper_bound() -> None:
    # With b = c = 0 the score test is that of a proportion of 0 (Tango 1998): +- z^2 / (n + z^2).
    low, high = stats.tango_interval(0, 0, 300)
    assert (-low, high) == pytest.approx((stats.wilson(0, 300)[1],) * 2, rel=1e-6)


def test_holm_agrees_with_r_and_keeps_the_order_given() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") = 0.03 0.06 0.06 0.02
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]) == []


def test_bca_agrees_with_efron_and_tibshirani() -> None:
    # Efron and Tibshirani (1993), An Introduction to the Bootstrap, table 14.2: the variance (divisor
    # n) of 26 spatial test scores has the 90 % BCa interval 115.8 to 259.6 with 2,000 resamples.
    scores = np.array(
        [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41],
        dtype=float,
    )
    low, high = stats.bca(scores, np.var, level=0.90, resamples=20_000) or (0, 0)
    assert np.var(scores) == pytest.approx(171.5, abs=0.1)
    assert (low, high) == pytest.approx((115.8, 259.6), rel=0.03)


def test_bca_of_values_that_are_all_alike_is_refused() -> None:
    assert stats.bca(np.ones(50)) is None
    assert stats.confusion_interval(METRICS["f1_macro"].counted_in, np.array([0, 1, 1]), np.array([0, 1, 1]), 2) is None


@pytest.mark.parametrize("classes", [2, 12])
@pytest.mark.parametrize("plain", [False, True])
def test_the_interval_from_counts_in_cells_is_that_of_scipy_from_the_examples(classes: int, plain: bool) -> None:
    """The same resamples, counted otherwise; with a metric that knows its cells and one that knows matrices alone."""
    random = np.random.default_rng(classes)
    truth = random.integers(0, classes, 240)
    said = np.where(random.random(240) < 0.7, truth, random.integers(0, classes, 240))
    metric = METRICS["f1_macro"]
    ours = stats.confusion_interval(
        (replace(metric, of_cells=None) if plain else metric).counted_in, truth, said, classes
    )

    def of_examples(sample: np.ndarray, axis: int = -1) -> np.ndarray:
        kinds = classes * classes
        flat = sample.reshape(-1, sample.shape[-1])
        counts = np.stack([np.bincount(row, minlength=kinds) for row in flat]).reshape(-1, classes, classes)
        return f1_macro_of_confusion(counts).reshape(sample.shape[:-1])

    assert ours == pytest.approx(stats.bca(truth * classes + said, of_examples))


def test_an_interval_over_twelve_hundred_classes_comes_in_seconds() -> None:
    random = np.random.default_rng(0)
    truth = np.arange(3_000) % 1_200
    said = np.where(random.random(3_000) < 0.7, truth, random.integers(0, 1_200, 3_000))
    record = RunRecord(run_id="a", label="a", role=Role.RUN, status=RunStatus.COMPLETED, seed=0, method="full", spec={})
    answers = Answers(said, np.full(3_000, np.nan))
    test = TestSet(np.arange(3_000).astype(object), truth, np.zeros(3_000, dtype=bool), 1_200)
    row = Row("a", Role.RUN, "full", {0: record}, [], {0: answers})
    begin = time.process_time()
    (figures,) = run_figures(row, test, "f1_macro")
    assert time.process_time() - begin < 5
    low, high = figures.f1_macro_interval or (1.0, 0.0)
    assert low < (figures.f1_macro or 0.0) < high
    assert 0.02 < high - low < 0.1  # two standard errors of 3,000 answers, 70 % right


def test_bca_of_accuracy_is_near_wilson() -> None:
    right = np.zeros(300)
    right[:270] = 1
    assert stats.bca(right) == pytest.approx(stats.wilson(270, 300), abs=0.012)
