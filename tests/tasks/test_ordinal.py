"""Ordered classes, learned as numbers: their figures, what is told of them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from made_numbers import made_numbers
from whichtune.compare import compare, prepare
from whichtune.data.numbers import load_numbers
from whichtune.errors import DataError, SettingError
from whichtune.metrics import METRICS
from whichtune.report.tables import metric_title
from whichtune.study.data_settings import DataSettings
from whichtune.study.load import parse_study

CLASSES = ["bad", "fair", "good", "great"]


@pytest.fixture(scope="module")
def stars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frame = made_numbers(150)
    frame["stars"] = pd.qcut(frame.pop("score"), 4, labels=CLASSES)
    path = tmp_path_factory.mktemp("stars") / "stars.csv"
    frame.to_csv(path, index=False)
    return path


def settings(file: Path, **more: object) -> dict[str, object]:
    return {"source": str(file), "label_column": "stars", "ordinal": CLASSES, **more}


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    true = random.integers(0, 5, n).astype(float)
    return np.clip(true + random.normal(0, 1, n), 0, 4), true


def test_figures_are_those_of_scikit_learn() -> None:
    found, true = drawn(300, 1)
    whole = np.floor(found + 0.5)
    expected = {
        "quadratic_kappa": sklearn_metrics.cohen_kappa_score(true, whole, weights="quadratic"),
        "rounded_accuracy": sklearn_metrics.accuracy_score(true, whole),
        "rounded_mae": sklearn_metrics.mean_absolute_error(true, whole),
    }
    for name, value in expected.items():
        assert METRICS[name].of_numbers(found, true).mean() == pytest.approx(value, abs=1e-12)


def test_influence_on_kappa_foretells_what_leaving_one_out_does() -> None:
    found, true = drawn(400, 2)
    of = METRICS["quadratic_kappa"].of_numbers
    whole = of(found, true)
    for left in range(0, 400, 37):
        keep = np.arange(400) != left
        moved = 399 * (whole.mean() - of(found[keep], true[keep]).mean())
        assert moved == pytest.approx(whole[left] - whole.mean(), abs=0.02)


def test_classes_are_read_in_their_order_and_told_by_name(stars: Path, tmp_path: Path) -> None:
    value = {"task": "regression", "data": settings(stars), "methods": []}
    value["baselines"] = ["mean", "ridge_word"]
    result = compare(parse_study({**value, "seeds": [0]}, "test"), tmp_path / "s", threads=1, save="all")
    assert result.summary.verdict.metric == "quadratic_kappa"
    assert set(load_numbers(DataSettings(**settings(stars))).splits["train"].labels) == {0, 1, 2, 3}
    table = (tmp_path / "s" / "table.md").read_text(encoding="utf-8")
    for name in ("quadratic_kappa", "rounded_accuracy", "rounded_mae"):
        assert f"test {metric_title(name)}" in table
    row = next(record for record in result.records if record.label == "ridge_word")
    told = result.predictor("ridge_word").predict(list(made_numbers(40, seed=3)["text"]))
    assert list(told["prediction"]) == [CLASSES[int(number + 0.5)] for number in told["number"]]
    assert told["number"].between(0, 3).all()
    assert row.metrics.test.quadratic_kappa > 0.4
    recorded = pd.read_parquet(tmp_path / "s" / "runs" / row.run_id / "predictions.parquet")
    assert recorded["prediction"].between(0, 3).all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ordinal": ["bad", "fair", "good"]}, "has the class 'great' .* which data.ordinal does not name"),
        ({"ordinal": ["bad", "fair", "good", "graet"]}, "did you mean 'graet'"),
    ],
)
def test_a_class_that_is_not_named_is_refused(stars: Path, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        load_numbers(DataSettings(**settings(stars, **changes)))


def test_an_order_of_one_and_for_another_task_is_refused(stars: Path) -> None:
    with pytest.raises(SettingError, match="must be two classes or more"):
        parse_study({"data": settings(stars, ordinal=["bad", "bad"])}, "test")
    study = parse_study({"data": settings(stars), "methods": ["head_only"]}, "test")
    with pytest.raises(SettingError, match=r"data\.ordinal is for task regression"):
        prepare(study)
