"""Small classes, repeats, doubtful labels, cut texts, metrics that disagree: found, and not where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evidence.asked import checks_of, with_metrics
from stats.study_files import StudyOnDisk, answers, seeds_of, study_on_disk


def with_rows(study: StudyOnDisk, *labels: str, wrong: float = 0.05) -> StudyOnDisk:
    rng = np.random.default_rng(3)
    for label in labels:
        study.add(label, seeds_of(rng, wrong))
    return study


@pytest.mark.parametrize(
    ("metric", "few", "status"),
    [
        ("f1_macro", 4, "warned"),
        ("f1_macro", 5, "passed"),
        ("accuracy", 4, "not_applicable"),
        ("mcc", 4, "not_applicable"),
    ],
)
def test_a_class_of_few_test_texts(metric: str, few: int, status: str, tmp_path: Path) -> None:
    study = study_on_disk(tmp_path, labels=["ham", "spam", "rare"], primary_metric=metric)
    study.labels[:few], study.labels[few:] = 2, study.labels[few:] % 2
    found = checks_of(with_rows(study, "one", "two"))["small_class"]
    assert (found.status, found.classes) == (status, ["rare"] if status == "warned" else [])
    if status == "warned":
        assert "1 class of 3 has fewer than 5 test texts (rare)" in found.sentence
        assert "8.3 points" in found.sentence  # 100 / (3 classes x 4 texts)


@pytest.mark.parametrize(("test", "validation"), [(0, 0), (2, 0), (0, 3)])
def test_repeats_between_splits(test: int, validation: int, tmp_path: Path) -> None:
    study = study_on_disk(tmp_path)
    study.duplicates = np.arange(300) < test
    with_rows(study, "one", "two")
    with_metrics(study, "two", "validation", duplicates_of_train=validation)
    found = checks_of(study)["repeats"]
    assert found.status == ("warned" if test or validation else "passed")
    assert ("2 of 300 test examples also stand in train." in found.sentence) == bool(test)
    assert ("3 of 149 validation examples also stand in train." in found.sentence) == bool(validation)


def all_wrong_on(study: StudyOnDisk, shared: list[int]) -> StudyOnDisk:
    """Three rows with errors of their own, which all get some texts wrong in every seed."""
    rng = np.random.default_rng(5)
    for label in ("one", "two", "three"):
        own = rng.permutation(300)[:20]
        study.add(label, [answers(300, [*shared, *own]) for _ in range(2)])
    return study


def with_losses(study: StudyOnDisk, of_wrong: float) -> StudyOnDisk:
    """The study with this loss of every wrong answer."""
    for run in study.records:
        frame = study.read(run.run_id)
        frame["loss"] = frame["loss"].where(frame["label"] == frame["prediction"], of_wrong)
        frame.to_parquet(study.folder / "runs" / run.run_id / "predictions.parquet")
    return study


def test_texts_that_every_row_and_seed_gets_wrong(tmp_path: Path) -> None:
    found = checks_of(with_losses(all_wrong_on(study_on_disk(tmp_path), [3, 50, 120, 200, 299]), 4.0))["label_noise"]
    assert found.status == "warned"
    assert set(found.examples) >= {"t3", "t50", "t120", "t200", "t299"}
    assert "where chance would give 0." in found.sentence


def test_errors_of_each_row_its_own_are_no_wrong_labels(tmp_path: Path) -> None:
    found = checks_of(with_losses(all_wrong_on(study_on_disk(tmp_path), []), 4.0))["label_noise"]
    assert (found.status, found.examples) == ("passed", [])


def test_where_rows_are_mostly_wrong_chance_explains_many_such_texts(tmp_path: Path) -> None:
    rng, study = np.random.default_rng(6), study_on_disk(tmp_path)
    for label in ("one", "two"):
        study.add(label, [answers(300, list(rng.permutation(300)[:150]))])
    found = checks_of(with_losses(study, 4.0))["label_noise"]
    assert int(found.sentence.split()[0]) > 50
    assert found.status == "passed"


def test_texts_on_which_rows_are_wrong_without_being_sure_are_hard_and_no_more(tmp_path: Path) -> None:
    study = with_losses(all_wrong_on(study_on_disk(tmp_path), [3, 50, 120, 200, 299]), 0.9)
    assert checks_of(study)["label_noise"].status == "passed"


def test_one_row_alone_accuses_nobody(tmp_path: Path) -> None:
    study = with_rows(study_on_disk(tmp_path), "one")
    assert checks_of(study)["label_noise"].status == "not_applicable"


@pytest.mark.parametrize(("cut", "status"), [(15, "warned"), (14, "passed"), (0, "passed")])
def test_texts_that_are_cut(cut: int, status: str, tmp_path: Path) -> None:
    study = with_rows(study_on_disk(tmp_path), "one", "two")
    with_metrics(study, "two", "test", truncated=cut)  # of 300
    found = checks_of(study)["length_cut"]
    assert (found.status, found.rows) == (status, ["two"] if status == "warned" else [])


@pytest.mark.parametrize(("f1", "status"), [(0.90, "warned"), (0.879, "passed"), (0.8805, "passed")])
def test_metrics_that_disagree_on_the_winner(f1: float, status: str, tmp_path: Path) -> None:
    """`one` is best by accuracy with 88 % of F1; `two` is 2 points ahead by F1, behind, or as good as equal."""
    study = with_rows(study_on_disk(tmp_path), "one", "two")
    with_metrics(study, "one", "validation", accuracy=0.95, f1_macro=0.88)
    with_metrics(study, "two", "validation", accuracy=0.94, f1_macro=f1)
    found = checks_of(study)["metrics_disagree"]
    assert (found.status, found.rows) == (status, ["one", "two"] if status == "warned" else [])
