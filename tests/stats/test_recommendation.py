"""Which row a study recommends, and why: the cheapest that is shown to be no worse than the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from study_files import evidence, seeds_of, study_on_disk

from whichtune.study.roles import Role


def test_the_cheapest_row_shown_to_be_no_worse_is_recommended(tmp_path: Path) -> None:
    n = 5000
    rng = np.random.default_rng(14)
    study = study_on_disk(tmp_path, n=n, selection_cost="training_seconds", margin=1.0)
    hard = rng.random(n) < 0.05
    for label, seconds, validation, extra in (
        ("best", 100.0, 0.96, 0.0),
        ("cheap", 10.0, 0.95, 0.0),
        ("cheapest but worse", 1.0, 0.94, 0.03),
        ("dear", 900.0, 0.95, 0.0),
    ):
        study.add(
            label,
            [~((hard | (rng.random(n) < extra)) ^ (rng.random(n) < 0.003)) for _ in range(3)],
            validation=validation,
            cost={"train_seconds": seconds},
        )
    verdict = evidence(study).verdict
    assert verdict.best == "best"
    assert verdict.recommended == "cheap"
    assert "Use cheap: it is the cheapest row shown to be no worse than best" in verdict.headline
    assert {c.label: c.standing for c in verdict.candidates} == {
        "best": "best",
        "cheap": "shown no worse",
        "cheapest but worse": "shown worse",
        "dear": "not cheaper",
    }
    assert [c.label for c in verdict.candidates] == ["cheapest but worse", "cheap", "best", "dear"]
    assert "lowest training time" in verdict.rule


def test_undecided_cheaper_rows_leave_the_best_recommended(tmp_path: Path) -> None:
    rng = np.random.default_rng(15)
    study = study_on_disk(tmp_path)
    study.add("best", seeds_of(rng, 0.04), validation=0.97, cost={"train_seconds": 100.0})
    study.add("cheap", seeds_of(rng, 0.04), validation=0.95, cost={"train_seconds": 1.0})
    verdict = evidence(study).verdict
    assert verdict.recommended == verdict.best == "best"
    assert verdict.undecided_cheaper == ["cheap"]
    assert "1 cheaper row is undecided (cheap)" in verdict.headline
    assert any("Too few data for a margin of 1 point" in warning for warning in verdict.warnings)


def test_selection_reads_validation_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(16)
    study = study_on_disk(tmp_path)
    study.add("best on validation", seeds_of(rng, 0.2), validation=0.97)
    study.add("best on test", seeds_of(rng, 0.01), validation=0.90)
    assert evidence(study).verdict.best == "best on validation"


def test_pairs_picked_after_seeing_validation_are_corrected_for_the_choice(tmp_path: Path) -> None:
    rng = np.random.default_rng(17)
    study = study_on_disk(tmp_path)
    for number in range(4):
        study.add(f"row {number}", seeds_of(rng, 0.05 + 0.05 * number), validation=0.97 - 0.01 * number)
    comparisons = evidence(study).comparisons
    assert [(c.a, c.b) for c in comparisons] == [("row 0", f"row {i}") for i in (1, 2, 3)]
    assert all(c.chosen for c in comparisons)
    assert {c.family for c in comparisons} == {6}


def test_best_against_the_baseline_is_added_and_has_its_paragraph(tmp_path: Path) -> None:
    rng = np.random.default_rng(18)
    study = study_on_disk(tmp_path, baseline="base", pairs=[{"a": "x", "b": "y"}])
    for label, validation in (("x", 0.97), ("y", 0.95), ("base", 0.9)):
        study.add(label, seeds_of(rng, 0.05), validation=validation)
    result = evidence(study)
    assert [(c.a, c.b, c.declared) for c in result.comparisons] == [("x", "y", True), ("x", "base", False)]
    assert [c.family for c in result.comparisons] == [1, 2]  # a question of its own: x or y against base
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
    assert verdict.against_baseline == "tfidf, a row without a language model, is itself the best on validation."
