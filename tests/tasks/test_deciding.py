"""Thresholds of two classes: the best on validation by its metric, kept beside the model, and used in every answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from whichtune.compare import prepare
from whichtune.errors import SettingError
from whichtune.runs.proof import known_answers, proven
from whichtune.runs.run import run_one
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of
from whichtune.tasks.classification.deciding import best_threshold, decided, probabilities_of, threshold_by
from whichtune.tasks.classification.settings import ClassificationSettings

RANDOM = np.random.default_rng(0)


def specs_of(mail: Path, model: Path, **changes: Any) -> list[RunSpec]:
    value = {
        "data": str(mail), "model": str(model), "seeds": [0], "methods": ["linear_probe"], "baselines": ["tfidf_word"],
        **changes,
    }  # fmt: skip
    return prepare(parse_study(value, "a test"))[0].specs


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        ("f1_macro", lambda a, b: f1_score(a, b, average="macro", zero_division=0)),
        ("balanced_accuracy", balanced_accuracy_score),
        ("accuracy", lambda a, b: float((a == b).mean())),
    ],
)
def test_no_other_threshold_is_better(metric: str, theirs: Any) -> None:
    for size in (3, 40, 200):
        scores = RANDOM.random(size).round(2)  # many are equal
        targets = (RANDOM.random(size) < 0.2 + 0.5 * scores).astype(np.int64)
        targets[:2] = 0, 1
        found = best_threshold(scores, targets, metric)
        best = theirs(targets, (scores >= found).astype(int))
        others = [theirs(targets, (scores >= each).astype(int)) for each in {*scores, 0.0, 1.1}]
        assert best >= max(others) - 1e-12


def test_of_equal_ones_it_is_the_nearest_to_the_middle() -> None:
    assert best_threshold(np.array([0.1, 0.2, 0.9]), np.array([0, 0, 1]), "accuracy") == pytest.approx(0.55)
    assert best_threshold(np.array([0.8, 0.9, 0.95]), np.array([0, 1, 1]), "f1_macro") == pytest.approx(0.85)


def test_a_class_by_its_name() -> None:
    logits = np.array([[0.0, -1.0], [0.0, 0.5], [0.0, 2.0]])
    for text, expected in (("spam=0.8", [0, 0, 1]), ("ham=0.3", [0, 0, 1]), ("ham=0.8", [1, 1, 1]), (0.5, [0, 1, 1])):
        own = ClassificationSettings(decision_threshold=text)
        threshold = threshold_by(own, ["ham", "spam"], logits, np.array([0, 1, 1]))
        assert decided(logits, threshold).tolist() == expected, text


@pytest.mark.parametrize("method", ["tfidf_word", pytest.param("linear_probe", marks=pytest.mark.slow)])
def test_a_run_is_judged_and_answers_by_it(mail: Path, tiny_gpt2: Path, tmp_path: Path, method: str) -> None:
    plain = {spec.method: spec for spec in specs_of(mail, tiny_gpt2)}
    specs = specs_of(mail, tiny_gpt2, settings={"decision_threshold": "validation"}, primary_metric="f1_macro")
    assert {spec.task_settings["decision_threshold"] for spec in specs} == {"f1_macro"}, "the baseline has one, too"
    spec = next(spec for spec in specs if spec.method == method)
    assert spec.run_id != plain[method].run_id
    assert "decision_threshold" not in plain[method].task_settings
    before, result = run_one(plain[method]).record, run_one(spec)
    record, rows = result.record, result.predictions
    threshold = record.metrics.validation.threshold
    assert threshold is not None
    assert record.metrics.test.threshold == threshold
    logits = np.stack(list(rows["logits"]))
    assert (rows["prediction"] == (probabilities_of(logits) >= threshold)).all()
    (note,) = [note for note in record.notes if "is the answer from a probability" in note]
    assert "has the best macro F1 on validation" in note
    result.save(tmp_path)
    dataset = task_of(spec).load(spec.data)
    test = dataset.splits["test"]
    answer = proven(spec, record, tmp_path, known_answers(rows, dict(zip(test.ids, test.texts, strict=True))))
    of_test = rows[rows["split"] == "test"]
    assert [record.labels[place] for place in of_test["prediction"]] == list(answer(test.texts)["prediction"])
    assert record.metrics.validation.f1_macro >= before.metrics.validation.f1_macro
    assert record.metrics.test.loss == before.metrics.test.loss, "probabilities stay"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (0.3, "write whose probability is meant"),
        ("spam=1.5", "a probability above 0 and below 1"),
        ("sapm=0.3", "did you mean 'spam'"),
        ("f1_marco", "did you mean 'f1_macro'"),
    ],
)
def test_what_means_nothing_is_refused(mail: Path, tiny_gpt2: Path, given: Any, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        specs_of(mail, tiny_gpt2, settings={"decision_threshold": given})


def test_a_metric_without_answers_chooses_none(mail: Path, tiny_gpt2: Path) -> None:
    with pytest.raises(SettingError, match="does not follow from the answers"):
        specs_of(mail, tiny_gpt2, settings={"decision_threshold": "validation"}, primary_metric="auroc")
