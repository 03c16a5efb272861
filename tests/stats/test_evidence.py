"""A study's evidence from records and prediction files on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from study_files import N, StudyOnDisk, answers, evidence, only, seeds_of, study_on_disk

from whichtune.errors import DataError, SettingError
from whichtune.records.record import RunStatus
from whichtune.stats.results import Evidence
from whichtune.study.roles import Role


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    return study_on_disk(tmp_path, n=N, pairs=[{"a": "good", "b": "bad"}])


def test_better_and_worse_are_mirror_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    study = study_on_disk(tmp_path, pairs=[{"a": "good", "b": "bad"}, {"a": "bad", "b": "good"}])
    study.add("good", seeds_of(rng, 0.02))
    study.add("bad", seeds_of(rng, 0.25))
    there, back = evidence(study).comparisons
    assert (there.verdict, back.verdict) == ("better", "worse")
    assert there.difference == pytest.approx(-(back.difference or 0))
    assert there.interval == pytest.approx((-(back.interval or (0, 0))[1], -(back.interval or (0, 0))[0]), abs=1e-6)
    assert there.holds_for == "methods"
    assert there.difference == pytest.approx((there.a_figure or 0) - (there.b_figure or 0))
    assert there.difference == pytest.approx(100 * (0.98 - 0.75), abs=2)


def test_figures_come_from_predictions_not_from_recorded_accuracies(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(0)
    study.add("good", seeds_of(rng, 0.02))
    study.add("bad", seeds_of(rng, 0.25))
    before = only(study)
    study.records = [
        record.model_copy(
            update={
                "metrics": record.metrics.model_copy(
                    update={"test": record.metrics.test.model_copy(update={"accuracy": 0.5})}  # type: ignore[union-attr]
                )
            }
        )
        for record in study.records
    ]
    assert only(study) == before


def test_equivalence_needs_a_large_test_set(tmp_path: Path) -> None:
    verdicts = {}
    for n in (300, 20_000):
        rng = np.random.default_rng(1)
        study = study_on_disk(tmp_path / str(n), n=n, pairs=[{"a": "one", "b": "two"}])
        hard = rng.random(n) < 0.05
        for label in ("one", "two"):
            study.add(label, [~(hard ^ (rng.random(n) < 0.01)) for _ in range(5)])
        verdicts[n] = only(study)
    assert verdicts[300].verdict == "undecided"
    assert "Too few data to show equivalence within 1 point" in verdicts[300].sentence
    assert verdicts[20_000].verdict == "equivalent"
    assert verdicts[20_000].within_margin


def test_one_seed_compares_models_and_says_so(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(2)
    study.add("good", seeds_of(rng, 0.02, 1))
    study.add("bad", seeds_of(rng, 0.25, 1))
    result = evidence(study)
    comparison = result.comparisons[0]
    assert comparison.holds_for == "models"
    assert comparison.test.startswith("mid-p McNemar")
    assert (comparison.only_a_right or 0) - (comparison.only_b_right or 0) == pytest.approx(
        (comparison.difference or 0) * N / 100
    )
    assert comparison.seed_sd is None
    assert "these two trained models, not the methods" in comparison.sentence
    assert any(w.startswith("One seed") for w in result.verdict.warnings)


def test_two_seeds_decide_with_a_belief_that_is_stated(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(3)
    study.add("good", seeds_of(rng, 0.02, 2))
    study.add("bad", seeds_of(rng, 0.25, 2))
    result = evidence(study)
    comparison = result.comparisons[0]
    assert comparison.verdict == "better"
    assert comparison.holds_for == "methods"
    assert len(comparison.a_by_seed) == 2
    assert "a standard deviation of 1 points, worth 4 more seeds" in comparison.sentence
    assert all(method.interval is not None for method in result.per_method)
    assert any(warning.startswith("Two seeds:") for warning in result.verdict.warnings)


def test_what_is_believed_of_seed_noise_can_be_set_and_is_stored(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(3)
    study.add("good", seeds_of(rng, 0.02, 2))
    study.add("bad", seeds_of(rng, 0.25, 2))
    usual = only(study)
    study.study |= {"prior_seed_sd": 5.0, "prior_weight": 20.0}
    wider = evidence(study)
    assert (wider.verdict.prior_seed_sd, wider.verdict.prior_weight) == (5.0, 20.0)
    assert wider.comparisons[0].interval is not None
    assert wider.comparisons[0].interval[0] < (usual.interval or (0.0, 0.0))[0]
    assert "a standard deviation of 5 points, worth 20 more seeds" in wider.comparisons[0].sentence


def test_a_failed_side_is_said_and_not_tested(study: StudyOnDisk) -> None:
    study.add("good", seeds_of(np.random.default_rng(4), 0.02))
    study.add_failed("bad", RunStatus.OUT_OF_MEMORY, "5 GiB were needed, 4 are there.", seeds=(0, 1, 2))
    result = evidence(study)
    comparison = result.comparisons[0]
    assert comparison.verdict == "not_tested"
    assert comparison.p is None
    assert "all 3 of its runs ended as out of memory (5 GiB were needed, 4 are there)" in comparison.sentence
    assert "3 of 3 runs of bad did not complete." in result.verdict.warnings
    assert result.verdict.recommended == "good"


def test_a_pair_that_could_not_be_tested_costs_the_others_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    study = study_on_disk(tmp_path, pairs=[{"a": "good", "b": "bad"}, {"a": "good", "b": "gone"}])
    study.add("good", seeds_of(rng, 0.02))
    study.add("bad", seeds_of(rng, 0.25))
    study.add_failed("gone", RunStatus.FAILED, "broken")
    first = evidence(study).comparisons[0]
    assert first.family == 1
    assert first.p_adjusted == first.p


def test_two_claims_about_one_pair_are_one_question(tmp_path: Path) -> None:
    """By another metric it is another question; the other way round it is the same."""
    claims = [
        {"a": "good", "b": "bad", "claim": "better"},
        {"a": "good", "b": "bad", "claim": "faster", "published": {"direction": None}},
        {"a": "bad", "b": "good", "claim": "worse"},
        {"a": "good", "b": "bad", "metric": "f1_macro"},
        {"a": "good", "b": "fair"},
    ]
    study = study_on_disk(tmp_path, pairs=claims)
    rng = np.random.default_rng(5)
    for label, errors in (("good", 0.08), ("fair", 0.09), ("bad", 0.12)):
        study.add(label, seeds_of(rng, errors))
    found = evidence(study).comparisons[: len(claims)]
    assert {comparison.family for comparison in found} == {3}
    first, again, turned = found[:3]
    assert first.p_adjusted == again.p_adjusted == turned.p_adjusted
    assert (first.claim, again.claim, turned.claim) == ("better", "faster", "worse")
    study.study["pairs"] = [claims[0], *claims[3:]]
    once = evidence(study).comparisons
    assert [one.p_adjusted for one in once[:3]] == [found[i].p_adjusted for i in (0, 3, 4)]


def test_no_run_at_all_has_a_verdict_that_says_so(study: StudyOnDisk) -> None:
    study.add_failed("good", RunStatus.FAILED, "no")
    study.add_failed("bad", RunStatus.INTERRUPTED, "no")
    result = evidence(study)
    assert result.verdict.recommended is None
    assert result.verdict.headline == "No run completed, so there is no verdict."
    assert result.runs == []


def test_only_common_seeds_are_compared(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(6)
    study.add("good", seeds_of(rng, 0.02, 4), seeds=[0, 1, 2, 3])
    study.add("bad", seeds_of(rng, 0.25, 4), seeds=[1, 2, 3, 7])
    comparison = only(study)
    assert comparison.seeds == [1, 2, 3]
    assert "Only seeds 1, 2, 3, which both have, are compared." in comparison.sentence


def test_no_common_seed_means_no_test(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(7)
    study.add("good", seeds_of(rng, 0.02), seeds=[0, 1, 2])
    study.add("bad", seeds_of(rng, 0.25), seeds=[3, 4, 5])
    comparison = only(study)
    assert comparison.verdict == "not_tested"
    assert "no seed in common" in comparison.sentence


def test_a_deterministic_row_stands_for_every_seed(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(8)
    study.add("good", seeds_of(rng, 0.02))
    study.add("bad", seeds_of(rng, 0.25, 1), seeds=[None], role=Role.BASELINE, method="tfidf_char")
    comparison = only(study)
    assert comparison.holds_for == "methods"
    assert comparison.seeds == [0, 1, 2]
    assert len(set(comparison.b_by_seed)) == 1
    assert comparison.verdict == "better"
    assert comparison.confounds == []
    assert "bad draws nothing, so it is the same for every seed." in comparison.sentence


def test_two_deterministic_rows_are_compared_as_fitted_models(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(9)
    for label, wrong in (("good", 0.02), ("bad", 0.25)):
        study.add(label, seeds_of(rng, wrong, 1), seeds=[None], role=Role.BASELINE, method=label)
    comparison = only(study)
    assert comparison.holds_for == "models"
    assert "Neither row depends on a seed" in comparison.sentence
    assert "One seed" not in " ".join(evidence(study).verdict.warnings)


def test_seeds_that_change_nothing_are_one_model(study: StudyOnDisk) -> None:
    study.add("good", [answers(N, range(5))] * 3)
    study.add("bad", [answers(N, range(40))] * 3)
    comparison = only(study)
    assert comparison.test.startswith("mid-p McNemar")
    assert comparison.p == pytest.approx(2 * norm.sf(35**0.5))
    assert "All seeds gave the same answers" in comparison.sentence


def test_identical_answers_show_nothing_but_their_own_number(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(10)
    same = seeds_of(rng, 0.1)
    study.add("good", same)
    study.add("bad", same)
    comparison = only(study)
    assert comparison.p == 1.0
    assert comparison.difference == 0.0
    low, high = comparison.interval or (0.0, 0.0)
    assert low < -1  # 300 examples without a disagreement leave 1.3 points open
    assert high > 1
    assert comparison.verdict in ("undecided", "equivalent")


def test_confounds_are_flagged_and_own_learning_rates_only_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    study = study_on_disk(
        tmp_path, pairs=[{"a": "none", "b": "right", "factor": "padding"}, {"a": "lora", "b": "right"}]
    )
    study.add("right", seeds_of(rng, 0.05))
    study.add(
        "none", seeds_of(rng, 0.05), settings={"padding": "none", "batch_size": 1}, cost={"optimiser_steps": 5225}
    )
    study.add(
        "lora", seeds_of(rng, 0.05), method="lora", settings={"learning_rate": 2e-4, "method_settings": {"rank": 16}}
    )
    padding, method = evidence(study).comparisons
    assert padding.factor == "padding"
    assert padding.confounds == ["effective batch size (1 against 8)", "optimiser steps (5,225 against 655)"]
    assert "cannot be put down to padding alone" in padding.sentence
    assert method.factor == "method"
    assert method.confounds == []
    assert "Each has its own learning rate (0.0002 against 5e-05)." in method.sentence


@pytest.mark.parametrize(
    ("method", "factor", "confounds"),
    [
        ("lora", None, []),  # set for each method
        ("last_blocks", "padding", ["learning rate (0.001 against 5e-05)"]),  # one method at two rates
        ("last_blocks", "learning_rate", ["padding (none against right)"]),  # asked for
    ],
)
def test_a_learning_rate_set_by_hand_is_a_confound_of_one_method_only(
    method: str, factor: str | None, confounds: list[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(12)
    study = study_on_disk(tmp_path, pairs=[{"a": "one", "b": "other", "factor": factor}])
    own = {"learning_rate": 1e-3, "learning_rate_source": "set"}
    study.add("other", seeds_of(rng, 0.05))
    study.add("one", seeds_of(rng, 0.05), method=method, settings=own | ({"padding": "none"} if factor else {}))
    found = only(study)
    assert found.confounds == confounds
    assert ("Each has its own learning rate (0.001 against 5e-05)." in found.sentence) == (method == "lora")


def test_a_rate_and_steps_against_none_are_no_confounds(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    study = study_on_disk(tmp_path, pairs=[{"a": "head", "b": "probe"}])
    study.add("head", seeds_of(rng, 0.05), method="head_only", settings={"learning_rate": 5e-4})
    solved = {"learning_rate": None, "learning_rate_source": None}
    study.add("probe", seeds_of(rng, 0.05), method="linear_probe", settings=solved, cost={"optimiser_steps": 0})
    found = only(study)
    assert found.confounds == []
    assert "Confounded" not in found.sentence
    assert "own learning rate" not in found.sentence


def test_the_same_effective_batch_is_no_confound(tmp_path: Path) -> None:
    rng = np.random.default_rng(13)
    study = study_on_disk(tmp_path, pairs=[{"a": "none", "b": "right", "factor": "padding"}])
    study.add("right", seeds_of(rng, 0.05))
    study.add("none", seeds_of(rng, 0.05), settings={"padding": "none", "batch_size": 1, "accumulation_steps": 8})
    assert only(study).confounds == []


def test_macro_f1_has_the_figure_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(19)
    study = study_on_disk(tmp_path, primary_metric="f1_macro", pairs=[{"a": "good", "b": "bad"}])
    study.labels = (rng.random(N) < 0.2).astype(int)
    study.add("good", seeds_of(rng, 0.03))
    study.add("bad", seeds_of(rng, 0.3))
    result = evidence(study)
    comparison = result.comparisons[0]
    frame = study.read(study.records[0].run_id)
    assert comparison.a_by_seed[0] == pytest.approx(100 * f1_score(frame.label, frame.prediction, average="macro"))
    assert comparison.metric == "f1_macro"
    assert comparison.verdict == "better"
    assert comparison.sentence.count("macro F1") == 1
    assert result.runs[0].f1_macro == pytest.approx(comparison.a_by_seed[0] / 100)


def test_runs_tested_on_other_examples_are_refused(study: StudyOnDisk) -> None:
    study.add("good", [answers(N, [1])])
    study.labels = study.labels[:200]
    study.add("bad", [answers(200, [1])])
    with pytest.raises(DataError, match="'bad' was tested on other examples"):
        evidence(study)


def test_a_pair_with_an_unknown_label_is_refused_with_a_suggestion(study: StudyOnDisk) -> None:
    study.study["pairs"] = [{"a": "godo", "b": "bad"}]
    study.add("good", [answers(N, [1])])
    study.add("bad", [answers(N, [1])])
    with pytest.raises(SettingError, match="did you mean 'good'"):
        evidence(study)


def test_an_answer_that_rests_on_duplicates_is_told(study: StudyOnDisk) -> None:
    study.duplicates = np.arange(N) < 36
    study.add("good", [answers(N, range(100, 110))])
    study.add("bad", [answers(N, [*range(0, 14), *range(100, 110)])])
    result = evidence(study)
    comparison = result.comparisons[0]
    assert comparison.verdict == "better"
    assert comparison.without_duplicates is not None
    assert comparison.without_duplicates.n_examples == 264
    assert "that are not also in train the answer is another" in comparison.sentence
    assert "36 of 300 test examples also stand in train." in result.verdict.warnings


def test_the_published_claim_is_answered(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(20)
    study.study["pairs"] = [
        {"a": "good", "b": "bad", "claim": "good is better", "published": {"a": 95.0, "b": 75.0}},
        {"a": "good", "b": "bad", "claim": "good is worse", "published": {"direction": "worse"}},
        {"a": "good", "b": "alike", "claim": "good is better", "published": {"a": 95.0, "b": 94.0}},
    ]
    study.add("good", seeds_of(rng, 0.02))
    study.add("bad", seeds_of(rng, 0.25))
    study.add("alike", seeds_of(rng, 0.02))
    assert [c.agrees_with_published for c in evidence(study).comparisons] == [True, False, None]


def test_everything_is_json_and_comes_back(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(21)
    study.add("good", seeds_of(rng, 0.02))
    study.add("bad", seeds_of(rng, 0.25))
    result = evidence(study)
    text = json.dumps(result.model_dump(mode="json"), allow_nan=False)
    assert Evidence.model_validate(json.loads(text)) == result
    keys = {"a", "b", "metric", "difference", "interval", "p", "p_adjusted", "verdict", "cost_ratios"}
    assert keys | {"agrees_with_published", "sentence"} <= set(json.loads(text)["comparisons"][0])


def test_intervals_of_runs_hold_their_figures(study: StudyOnDisk) -> None:
    rng = np.random.default_rng(22)
    study.add("good", seeds_of(rng, 0.02))
    study.add("bad", seeds_of(rng, 0.25))
    for run in evidence(study).runs:
        assert run.accuracy_interval[0] < run.accuracy < run.accuracy_interval[1]
        f1_low, f1_high = run.f1_macro_interval or (1.0, 0.0)
        assert f1_low < run.f1_macro < f1_high
        loss_low, loss_high = run.loss_interval or (1.0, 0.0)
        assert loss_low < (run.loss or 0.0) < loss_high


def test_judging_loads_no_torch() -> None:
    code = "import sys, whichtune.evidence.judge, whichtune.stats; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_rows_that_are_the_same_runs_are_not_compared(study: StudyOnDisk) -> None:
    """As where a study of several model sizes is made on one model: no difference was measured."""
    study.add("good", seeds_of(np.random.default_rng(8), 0.02))
    study.records += [record.model_copy(update={"label": "bad"}) for record in study.records]
    comparison = only(study)
    assert comparison.verdict == "not_tested"
    assert comparison.difference is None
    assert "both rows are the same runs" in comparison.sentence


@pytest.mark.slow
def test_a_few_repeats_that_change_nothing_are_not_told_as_another_answer(tmp_path: Path) -> None:
    """Without them the test is the study's own, its noise and its correction included, so it comes out the same."""
    notes = 0
    for number in range(5):
        rng = np.random.default_rng(100 + number)
        study = study_on_disk(tmp_path / str(number))
        study.duplicates = np.arange(N) < 1
        for label, wrong in (("a", 0.04), ("b", 0.05), ("c", 0.08), ("d", 0.09), ("e", 0.11), ("f", 0.14)):
            study.add(label, seeds_of(rng, wrong))
        notes += sum(c.without_duplicates is not None for c in evidence(study).comparisons)
    assert notes == 0


def test_one_test_example_and_three_seeds_are_no_crash(tmp_path: Path) -> None:
    study = study_on_disk(tmp_path, n=1)
    for label in ("a", "b"):
        study.add(label, [np.array([label == "a"])] * 3)
    result = evidence(study)
    assert result.verdict.recommended is not None
    assert result.comparisons[0].p is None


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "loss"])
@pytest.mark.slow
def test_one_seed_has_p_and_interval_that_agree(tmp_path: Path, metric: str) -> None:
    for number in range(12):
        rng = np.random.default_rng(number)
        study = study_on_disk(tmp_path / str(number), n=60, primary_metric=metric, pairs=[{"a": "a", "b": "b"}])
        for label, wrong in (("a", 0.02), ("b", rng.choice([0.05, 0.1, 0.15]))):
            study.add(label, [rng.random(60) > wrong])
        comparison = only(study)
        if comparison.interval is not None:
            low, high = comparison.interval
            assert (low <= 0 <= high) == ((comparison.p or 0.0) > 0.05)
        if comparison.interval_90 is not None and comparison.p_equivalence is not None and metric == "f1_macro":
            inside = max(-comparison.interval_90[0], comparison.interval_90[1]) < 1.0
            assert inside == (comparison.p_equivalence < 0.05)
