"""The expected best of k draws against counting every subset, its intervals, crossings, edges and selection."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from whichtune.evidence.tuning_sentences import crossing_sentence, tuning_sentences, tuning_warnings
from whichtune.stats.confounds import find_differences
from whichtune.stats.tuning import (
    Crossing,
    DrawFigures,
    LineFigures,
    TuningFigures,
    crossings,
    expected_best,
    line_figures,
    resampled_curves,
    select_draw,
)
from whichtune.study.spaces import choice, log_uniform

SPACES = {"learning_rate": log_uniform(1e-5, 1e-3), "lora_rank": choice(4, 8)}


def draws(
    scores: list[float | None], losses: list[float] | None = None, cost: float = 2.0, rate: float = 1e-4
) -> list[DrawFigures]:
    return [
        DrawFigures(
            number=number,
            run_id=f"{number:016x}",
            status="failed" if score is None else "completed",
            error="It broke." if score is None else None,
            settings={"learning_rate": rate, "lora_rank": 4},
            score=score,
            loss=None if losses is None else losses[number - 1],
            flops=None if score is None else cost,
            seconds=None if score is None else cost / 10,
        )
        for number, score in enumerate(scores, start=1)
    ]


def line(label: str, scores: list[float | None], cost: float = 2.0, higher: bool = True) -> LineFigures:
    return line_figures(label, "lora", SPACES, draws(scores, cost=cost), higher, (10.0, 1.0))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
def test_expected_best_is_the_mean_over_every_subset(n: int) -> None:
    scores = np.random.default_rng(n).normal(size=n)
    counted = [np.mean([max(subset) for subset in itertools.combinations(scores, k)]) for k in range(1, n + 1)]
    assert expected_best(scores) == pytest.approx(counted)


def test_expected_best_with_equal_scores_and_with_many() -> None:
    assert expected_best([0.5, 0.5, 0.7]) == pytest.approx([1.7 / 3, (0.5 + 0.7 + 0.7) / 3, 0.7])
    many = np.random.default_rng(0).random(1000)
    curve = expected_best(many)
    assert np.all(np.diff(curve) > 0)
    assert curve[[0, -1]] == pytest.approx([many.mean(), many.max()])


def test_the_form_with_replacement_is_biased_and_this_one_is_not() -> None:
    """From 6 uniform draws, the best of 3 is 3/4 on average: the mean over subsets says so, resampling does not."""
    random = np.random.default_rng(1)
    samples = random.random((4000, 6))
    unbiased = expected_best(samples)[:, 2].mean()
    quantiles = np.arange(1, 7) / 6
    weights = np.diff(np.concatenate([[0], quantiles**3]))
    replaced = (np.sort(samples, axis=1) @ weights).mean()
    assert unbiased == pytest.approx(0.75, abs=0.01)
    assert replaced < 0.72


def test_resamples_are_the_same_every_time_and_apart_for_two_lines() -> None:
    scores = np.random.default_rng(2).random(6)
    one = resampled_curves(scores, "lora")
    assert np.array_equal(one, resampled_curves(scores, "lora"))
    assert not np.array_equal(one, resampled_curves(scores, "full"))
    assert np.all(one[:, -1] <= scores.max())


def test_a_curve_has_intervals_from_three_draws_and_costs_that_count_shared_work_once() -> None:
    found = line("a", [0.6, 0.9, 0.7, 0.8])
    assert [point.flops for point in found.curve] == [12, 14, 16, 18]
    assert [point.seconds for point in found.curve] == pytest.approx([1.2, 1.4, 1.6, 1.8])
    assert found.spent_flops == 18
    for point in found.curve:
        assert point.low is not None
        assert point.high is not None
        assert point.low <= point.best <= point.high
    assert [point.low for point in line("b", [0.6, 0.9]).curve] == [None, None]


def test_a_failed_draw_counts_as_the_worst_that_completed() -> None:
    assert [p.best for p in line("a", [0.6, None, 0.8]).curve] == pytest.approx(expected_best([0.6, 0.6, 0.8]))
    broken = line("b", [None, None])
    assert (broken.curve, broken.selected, broken.failed) == ([], None, 2)


def test_a_loss_is_best_where_it_is_lowest() -> None:
    found = line("a", [0.6, 0.2, 0.4], higher=False)
    assert found.selected == 2
    assert [p.best for p in found.curve] == pytest.approx([0.4, (0.4 + 0.2 + 0.2) / 3, 0.2])
    assert all(p.low <= p.best <= p.high for p in found.curve)


def test_selection_goes_by_score_then_loss_then_order() -> None:
    assert select_draw(draws([0.8, 0.9, 0.9, 0.9], [0.1, 0.5, 0.4, 0.4]), True).number == 3
    assert select_draw(draws([None, 0.1]), True).number == 2
    assert select_draw(draws([None]), True) is None


@pytest.mark.parametrize(("rate", "edge"), [(1.2e-5, "low"), (1e-4, None), (9e-4, "high")])
def test_a_selection_at_the_end_of_its_range_is_flagged_and_said(rate: float, edge: str | None) -> None:
    found = line_figures("lora", "lora", SPACES, draws([0.9], rate=rate), True)
    assert found.at_edge == ({} if edge is None else {"learning_rate": edge})
    warnings = tuning_warnings(search_of([found]))
    assert [f"lies at the {edge} end of its range (1e-05 to 0.001)" in w for w in warnings] == [True] * bool(edge)


def search_of(lines: list[LineFigures], unit: str = "draws", amount: float = 4, limit: int = 3) -> TuningFigures:
    return TuningFigures(
        metric="accuracy", higher_is_better=True, seed=0, run_seed=0, budget=None, unit=unit, amount=amount,
        limit=limit, lines=lines,
    )  # fmt: skip


def test_lines_that_cross_in_nearly_every_resample_are_found() -> None:
    steady = line("steady", [0.80, 0.80, 0.81, 0.81, 0.82, 0.82, 0.82, 0.82])
    gambler = line("gambler", [0.95, 0.2, 0.94, 0.3, 0.93, 0.4, 0.92, 0.3])
    (found,) = crossings([steady, gambler], True, "draws")
    assert (found.few, found.many, found.axis) == ("steady", "gambler", "draws")
    assert found.share >= 0.95
    gap = [s.best - g.best for s, g in zip(steady.curve, gambler.curve, strict=True)]
    assert gap[int(found.at) - 1] > 0 >= gap[int(found.at)]
    sentence = crossing_sentence(found, "accuracy")
    assert f"steady up to {int(found.at)} draws, gambler beyond" in sentence
    assert crossings([gambler, steady], True, "draws") == [found]


def test_lines_that_do_not_cross_or_might_not_are_not_named() -> None:
    low, high = line("low", [0.1, 0.2, 0.3, 0.2]), line("high", [0.8, 0.9, 0.7, 0.8])
    assert crossings([low, high], True, "draws") == []
    near = line("near", [0.79, 0.80, 0.81, 0.80, 0.86])  # its lead rests on one draw
    assert crossings([line("flat", [0.82] * 5), near], True, "draws") == []
    assert crossings([line("few", [0.1, 0.9]), high], True, "draws") == []


def test_crossing_by_cost_compares_what_the_same_amount_buys() -> None:
    gamble = [0.95, 0.2, 0.94, 0.3, 0.93, 0.4, 0.92, 0.3]
    cheap, dear = line("cheap", [0.80, 0.81] * 4, cost=1.0), line("dear", gamble, cost=1.0)
    assert [c.few for c in crossings([cheap, dear], True, "flops")] == ["cheap"]
    far = line("far", gamble, cost=100.0)  # its first draw costs more than all of cheap's
    assert crossings([cheap, far], True, "flops") == []


def test_sentences_say_what_the_search_was_and_what_it_bought() -> None:
    lines = [line("lora", [0.6, 0.9, 0.7, 0.8]), line_figures("linear_probe", "linear_probe", {}, [], True)]
    first, second = tuning_sentences(search_of(lines))
    assert "settings of 1 line were searched with 4 draws" in first
    assert "no draw saw the test split" in first
    assert "Nothing was searched for linear_probe." in first
    assert "75.00 % with 1 draw and 90.00 % with 4" in second
    assert "selected is draw 2: learning rate 0.0001, lora rank 4." in second
    budget = tuning_sentences(search_of(lines, "flops", 2e12))[0]
    assert "taken in order until 2e+12 operations were spent" in budget


def test_warnings_on_failed_draws_and_a_budget_that_was_not_spent() -> None:
    found = tuning_warnings(search_of([line("lora", [0.6, None, 0.7])], "flops", 1e6))
    assert "1 of 3 draws for lora failed (It broke)." in found
    assert any("ended at its limit of 3 draws before its budget was spent" in warning for warning in found)
    assert tuning_warnings(search_of([line("lora", [0.6, 0.7])], "flops", 14.0)) == []
    stopped_early = line("lora", [0.6, 0.7])  # epochs that early stopping left out are no limit of draws
    assert tuning_warnings(search_of([stopped_early], "flops", 1e6)) == []


def test_a_crossing_in_every_resample_is_said_so() -> None:
    sentence = crossing_sentence(Crossing(few="a", many="b", axis="seconds", at=90, share=1.0), "loss")
    assert "a up to 90 seconds of training, b beyond" in sentence
    assert "in every resample" in sentence


def spec_of(rate: float, source: str | None, tuned: list[str], **settings: object) -> dict:
    spec = {
        "method": "lora",
        "learning_rate": rate,
        "learning_rate_source": source,
        "tuned": tuned,
        "weight_decay": 0.01,
    }
    return {**spec, "early_stopping": "none", "method_settings": {"lora_rank": 8, "lora_targets": "mlp"}, **settings}


def test_what_a_search_chose_for_both_sides_is_named_and_no_confound() -> None:
    chosen = ["learning_rate", "lora_rank", "weight_decay"]
    a = spec_of(1e-3, "tuned", chosen)
    targets = {"lora_rank": 32, "lora_targets": "attention"}
    b = spec_of(3e-4, "tuned", chosen, weight_decay=0.03, method_settings=targets)
    for factor in ("lora_targets", None):  # declared, or found as the one setting that was not searched
        found = find_differences(a, b, factor, {}, {})
        assert found.factor == "lora targets"
        assert found.confounds == []
        assert [text.split(" (")[0] for text in found.named] == ["learning rate", "weight decay", "lora rank"]


def test_what_only_one_side_searched_is_a_confound_but_for_a_rate_of_its_own() -> None:
    a = spec_of(1e-3, "tuned", ["learning_rate", "weight_decay"])
    b = spec_of(5e-4, "card", [], weight_decay=0.03, method="full")
    found = find_differences(a, b, "method", {}, {})
    assert [text.split(" (")[0] for text in found.confounds] == ["weight decay"]
    assert [text.split(" (")[0] for text in found.named] == ["learning rate"]
    fixed = find_differences(a, spec_of(5e-4, "set", []), None, {}, {})  # of the same method
    assert [text.split(" (")[0] for text in fixed.confounds] == ["learning rate"]
