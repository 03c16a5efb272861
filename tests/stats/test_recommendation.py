"""Which row a study recommends, and why: the cheapest that is expected to cost at most the margin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from study_files import StudyOnDisk, evidence, seeds_of, study_on_disk

from whichtune.stats.results import Verdict
from whichtune.study.roles import Role


def answer(verdict: Verdict, question: str) -> str:
    (found,) = [answer.sentence for answer in verdict.answers if answer.question == question]
    return found


@pytest.fixture
def four(tmp_path: Path) -> StudyOnDisk:
    """Four rows on many texts: two alike of which one is dear, one nearly as good and cheap, one worse and cheapest."""
    n = 5000
    rng = np.random.default_rng(14)
    study = study_on_disk(tmp_path, n=n, selection_cost="training_seconds", margin=1.0)
    hard = rng.random(n) < 0.05
    for label, seconds, validation, extra in (
        ("best", 100.0, 0.96, 0.0),
        ("cheap", 10.0, 0.95, 0.001),
        ("cheapest but worse", 1.0, 0.94, 0.03),
        ("dear", 900.0, 0.95, 0.002),
    ):
        study.add(
            label,
            [~((hard | (rng.random(n) < extra)) ^ (rng.random(n) < 0.003)) for _ in range(3)],
            validation=validation,
            cost={"train_seconds": seconds},
        )
    return study


def test_the_cheapest_row_that_is_good_enough_is_recommended(four: StudyOnDisk) -> None:
    verdict = evidence(four).verdict
    assert (verdict.best, verdict.leader, verdict.recommended) == ("best", "best", "cheap")
    assert verdict.headline.startswith("Use cheap (94.8 % on test): it is the cheapest row that is good enough")
    assert "for 0.10 times the training time of best" in verdict.headline
    assert {c.label: c.standing for c in verdict.candidates} == {
        "best": "best",
        "cheap": "good enough",
        "cheapest but worse": "shown worse",
        "dear": "good enough",
    }
    assert [c.label for c in verdict.candidates] == ["cheapest but worse", "cheap", "best", "dear"]
    assert "lowest training time" in verdict.rule


def test_ranks_and_tie_groups(four: StudyOnDisk) -> None:
    places = {c.label: (c.ranks, c.tie_group) for c in evidence(four).verdict.candidates}
    assert places == {
        "best": ((1, 3), 1),
        "cheap": ((1, 3), 1),
        "dear": ((1, 3), 1),
        "cheapest but worse": ((4, 4), 2),
    }


def test_every_question_has_its_answer_with_its_figure(four: StudyOnDisk) -> None:
    rng = np.random.default_rng(3)
    four.add("tfidf", [rng.random(5000) < 0.9], seeds=[None], role=Role.BASELINE, method="tfidf_word", validation=0.9)
    verdict = evidence(four).verdict
    assert [one.question for one in verdict.answers] == ["fine_tuning", "cheapest", "words", "sure", "surer"]
    assert answer(verdict, "fine_tuning").startswith("best is the best fine-tuned row: test accuracy 95.0 %")
    assert "cheap has the lowest training time of the rows that are good enough" in answer(verdict, "cheapest")
    assert answer(verdict, "words").startswith(
        "best beats tfidf, the best row without a language model, by 4.9 points ("
    )
    assert "is within 1 point of the truly best row; best and dear may be, too, with" in answer(verdict, "sure")
    assert "(about 67 minutes more) would bring the expected regret below 0.25 points" in answer(verdict, "surer")


def test_a_row_far_behind_is_never_undecided(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    for seeds in (1, 2, 3):
        study = study_on_disk(tmp_path / str(seeds))
        study.add("good", seeds_of(rng, 0.02, seeds), validation=0.97, cost={"train_seconds": 100.0})
        study.add("bad", seeds_of(rng, 0.48, seeds), validation=0.5, cost={"train_seconds": 1.0})
        verdict = evidence(study).verdict
        assert verdict.recommended == "good"
        assert {c.label: c.standing for c in verdict.candidates} == {"good": "best", "bad": "shown worse"}
        assert verdict.margin_reached


@pytest.mark.slow
def test_a_second_seed_narrows_what_one_said(tmp_path: Path) -> None:
    """On average over studies: the same first seed, with and without a second."""
    rng = np.random.default_rng(21)
    bounds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(5):
        runs = {label: seeds_of(rng, 0.05 + 0.01 * place, 2) for place, label in enumerate("abcd")}
        for seeds in (1, 2):
            study = study_on_disk(tmp_path / f"{number}-{seeds}")
            for label, right in runs.items():
                study.add(label, right[:seeds])
            bounds[seeds].append(float(np.mean([c.regret_bound or 0.0 for c in evidence(study).verdict.candidates])))
    assert np.mean(bounds[2]) < 0.9 * np.mean(bounds[1])


def test_a_margin_that_is_not_reached_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(15)
    study = study_on_disk(tmp_path, margin=0.2)
    study.add("dear", seeds_of(rng, 0.04, 1), validation=0.97, cost={"train_seconds": 100.0})
    study.add("cheap", seeds_of(rng, 0.05, 1), validation=0.95, cost={"train_seconds": 1.0})
    verdict = evidence(study).verdict
    assert verdict.margin_reached is False
    assert "for now" in verdict.headline
    assert "more than the margin of 0.2 points" in verdict.headline
    assert answer(verdict, "cheapest") == "No row is expected to be within 0.2 points of the truly best one."
    assert any("Too few data for a margin of 0.2 points" in warning for warning in verdict.warnings)


def test_selection_reads_validation_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(16)
    study = study_on_disk(tmp_path)
    study.add("best on validation", seeds_of(rng, 0.2), validation=0.97)
    study.add("best on test", seeds_of(rng, 0.01), validation=0.90)
    assert evidence(study).verdict.best == "best on validation"


def test_pairs_picked_after_seeing_figures_are_corrected_for_the_choice(tmp_path: Path) -> None:
    rng = np.random.default_rng(17)
    study = study_on_disk(tmp_path)
    for number in range(4):
        study.add(f"row {number}", seeds_of(rng, 0.05 + 0.05 * number), validation=0.97 - 0.01 * number)
    comparisons = evidence(study).comparisons
    assert [(c.a, c.b) for c in comparisons] == [("row 0", f"row {i}") for i in (1, 2, 3)]
    assert all(c.chosen for c in comparisons)
    assert {(c.family, c.correction) for c in comparisons} == {(6, "closed test over sets of equal rows")}
    assert all((c.p or 0.0) < (c.p_adjusted or 0.0) <= min(1.0, 6 * (c.p or 0.0)) for c in comparisons)


def test_best_against_the_baseline_is_added_and_has_its_paragraph(tmp_path: Path) -> None:
    rng = np.random.default_rng(18)
    study = study_on_disk(tmp_path, baseline="base", pairs=[{"a": "x", "b": "y"}])
    for label, wrong in (("x", 0.05), ("y", 0.07), ("base", 0.10)):
        study.add(label, seeds_of(rng, wrong))
    result = evidence(study)
    assert [(c.a, c.b, c.declared) for c in result.comparisons] == [("x", "y", True), ("x", "base", False)]
    assert [c.family for c in result.comparisons] == [1, 2]  # a question of its own: x or y against base
    assert [c.correction for c in result.comparisons] == ["none", "Dunnett in steps"]
    assert result.verdict.against_baseline == result.comparisons[1].sentence
    assert result.verdict.paragraphs == [result.comparisons[0].sentence]


def test_without_a_named_baseline_the_best_model_free_row_is_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(23)
    study = study_on_disk(tmp_path, pairs=[{"a": "x", "b": "y"}])
    study.add("x", seeds_of(rng, 0.02), validation=0.97)
    study.add("y", seeds_of(rng, 0.05), validation=0.95)
    for label, wrong, validation in (("majority", 0.5, 0.5), ("tfidf", 0.2, 0.9)):
        study.add(label, seeds_of(rng, wrong, 1), seeds=[None], role=Role.BASELINE, validation=validation)
    result = evidence(study)
    assert result.verdict.baseline == "tfidf"
    assert [(c.a, c.b, c.family) for c in result.comparisons] == [("x", "y", 1), ("x", "tfidf", 4)]
    assert "x is better than tfidf" in (result.verdict.against_baseline or "")


def test_a_model_free_row_that_is_best_is_named_as_such(tmp_path: Path) -> None:
    rng = np.random.default_rng(24)
    study = study_on_disk(tmp_path, pairs=[{"a": "x", "b": "tfidf"}])
    study.add("x", seeds_of(rng, 0.05), validation=0.90)
    study.add("tfidf", seeds_of(rng, 0.02, 1), seeds=[None], role=Role.BASELINE, validation=0.97)
    verdict = evidence(study).verdict
    assert verdict.against_baseline == "tfidf, a row without a language model, is itself the best row."
