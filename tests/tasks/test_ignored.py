"""`ignore_index`: one rule for everything that reads texts: what has that label is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whichtune.compare import prepare
from whichtune.errors import SettingError
from whichtune.methods.fitting import for_all_classes
from whichtune.runs.run import RunResult, run_one
from whichtune.study.spec import RunSpec, Study
from whichtune.tasks.classification.predict import new_logits

WORDS = {"1": "invoice payment refund", "2": "parcel delivery courier", "3": "return exchange size"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [f"number {i} {WORDS[label]},{label}" for i in range(30) for label in WORDS]
    file = tmp_path / "d.csv"
    file.write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    return file


def specs(data: Path, *methods: str, **settings: Any) -> list[RunSpec]:
    study = {
        "data": {"source": str(data)},
        "methods": list(methods),
        "seeds": [0],
        "device": "cpu",
        "settings": {"epochs": 1, "batch_size": 8, "context_length": 16, **settings},
    }
    return prepare(Study.model_validate(study))[0].specs


def made(data: Path, *methods: str, **settings: Any) -> dict[str, RunResult]:
    return {spec.method: run_one(spec) for spec in specs(data, *methods, **settings)}


@pytest.mark.slow
def test_nothing_is_trained_fitted_or_judged_on_the_ignored_label(data: Path, tmp_path: Path) -> None:
    results = made(data, "head_only", "linear_probe", ignore_index=1, early_stopping="accuracy")
    assert set(results) == {"head_only", "linear_probe", "majority", "tfidf_char", "tfidf_word"}
    ids = set()
    for method, result in results.items():
        record, table = result.record, result.predictions
        assert table is not None
        assert record.labels == ["1", "2", "3"]
        assert set(table["label"]) == {1, 2}
        if method != "head_only":  # whose head has a row for the class as all heads have
            assert set(table["prediction"]) <= {1, 2}
        for split, n in (("train", 42), ("validation", 6), ("test", 12)):
            figures, rows = record.metrics.of(split), table[table["split"] == split]
            assert figures is not None
            assert figures.n == len(rows) == n
            assert figures.loss == pytest.approx(rows["loss"].mean())
            assert figures.accuracy == pytest.approx((rows["prediction"] == rows["label"]).mean())
        ids.add(tuple(table["example_id"]))
        assert "Texts with the label '1' are left out of all splits (ignore_index)." in record.notes
    assert len(ids) == 1  # all rows of the study are judged on the same texts
    assert results["tfidf_word"].record.metrics.test.f1_macro == 1.0  # type: ignore[union-attr]
    assert results["head_only"].record.cost.examples_seen == 42
    (point,) = results["head_only"].curves
    validation = results["head_only"].predictions
    assert validation is not None
    rows = validation[validation["split"] == "validation"]
    assert point["validation_loss"] == pytest.approx(rows["loss"].mean(), rel=1e-5)
    baseline = results["tfidf_word"]
    assert baseline.save is not None
    baseline.save(tmp_path)
    (spec,) = [spec for spec in specs(data, "head_only", ignore_index=1) if spec.method == "tfidf_word"]
    logits = new_logits(spec, baseline.record, tmp_path, ["parcel delivery", "return size"])
    assert logits.argmax(axis=1).tolist() == [1, 2]


def test_the_value_is_a_label_of_the_data(data: Path) -> None:
    with pytest.raises(
        SettingError, match="ignore_index is '7', which is no label of the data: there are '1', '2' and"
    ):
        specs(data, "head_only", ignore_index=7)
    named = data.read_text("utf-8").replace(",1", ",bills").replace(",2", ",post").replace(",3", ",shop")
    data.write_text(named, encoding="utf-8")
    assert {spec.ignored_label for spec in specs(data, "head_only", ignore_index="post")} == {"post"}
    with pytest.raises(SettingError, match="there are 'bills', 'post' and 'shop'"):
        specs(data, "head_only", ignore_index=0)


def test_what_would_leave_one_class_is_refused(data: Path) -> None:
    two = [row for row in data.read_text("utf-8").splitlines() if not row.endswith(",3")]
    data.write_text("\n".join(two), encoding="utf-8")
    with pytest.raises(SettingError, match=r"without the label '1'.* train has one class only"):
        specs(data, "head_only", ignore_index=1)


def test_lines_that_ignore_other_labels_would_be_judged_on_other_texts(data: Path) -> None:
    study = Study.model_validate(
        {
            "data": {"source": str(data)},
            "runs": [{"method": "head_only", "label": "a"}, {"method": "head_only", "label": "b", "ignore_index": 2}],
            "device": "cpu",
        }
    )
    with pytest.raises(
        SettingError, match="'b' has ignore_index 2 and 'a' null, so they would be judged on different texts"
    ):
        prepare(study)


def test_a_baseline_that_leaves_out_texts_is_another_run(data: Path) -> None:
    plain, without = (
        {s.method: s.run_id for s in specs(data, "head_only", **own)} for own in ({}, {"ignore_index": 2})
    )
    assert all(plain[method] != without[method] for method in plain)


@pytest.mark.slow
def test_the_published_script_takes_it_and_does_nothing(data: Path) -> None:
    common = {"random_streams": "reference", "max_steps": 1, "evaluation_interval": 5}
    plain = made(data, "head_only", **common)["head_only"]
    given = made(data, "head_only", ignore_index=50256, **common)["head_only"]
    assert given.record.metrics == plain.record.metrics
    assert any("has no effect" in note for note in given.record.notes)


def test_a_linear_model_of_some_classes_never_says_another() -> None:
    weight, bias = for_all_classes(np.array([[1.0, -1.0]]), np.array([0.5]), [0, 2], 3)
    scores = np.array([[3.0, 1.0], [-3.0, 1.0]]) @ weight.T + bias
    assert scores.argmax(axis=1).tolist() == [2, 0]
