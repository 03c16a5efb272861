"""Calibration: figures against plain computations, and which rows are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from report.conftest import by_id, text_of
from report.made_studies import MadeStudy
from report.made_texts import made_texts
from report.varied_studies import random_weights
from whichtune.errors import StoreError
from whichtune.report.calibration import calibration_figure
from whichtune.report.figures import all_figures
from whichtune.report.write import load_view
from whichtune.stats.calibration import LEAST_TEXTS, confidences, reliability, wilson_share
from whichtune.stats.intervals import wilson


def lot(n: int, seed: int = 0, off: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Answers that are right as often as they are sure, or `off` less often."""
    random = np.random.default_rng(seed)
    sure = random.uniform(0.5, 1.0, n)
    return sure, random.random(n) < sure - off


def test_error_is_that_of_its_definition():
    sure, right = lot(300, off=0.1)
    found = reliability([(sure, right)])
    order = np.argsort(sure)
    gaps = [abs(right[part].mean() - sure[part].mean()) for part in np.array_split(order, 10)]
    assert found.error == pytest.approx(np.mean(gaps))
    assert [bin_.answers for bin_ in found.bins] == [30] * 10
    assert found.accuracy == pytest.approx(right.mean())


def test_bins_are_those_of_sklearn():
    from sklearn.calibration import calibration_curve

    sure, right = lot(500)
    share, mean = calibration_curve(right, sure, n_bins=10, strategy="quantile")
    found = reliability([(sure, right)])
    np.testing.assert_allclose([bin_.accuracy for bin_ in found.bins], share)
    np.testing.assert_allclose([bin_.confidence for bin_ in found.bins], mean)


def test_answers_as_often_right_as_sure_have_the_error_of_chance():
    """And others more; the error of several seeds is that of one model, whatever their number."""
    fair = [reliability([lot(300, seed)]) for seed in range(20)]
    assert np.mean([one.error for one in fair]) == pytest.approx(np.mean([one.by_chance for one in fair]), rel=0.15)
    off = reliability([lot(300, off=0.15)])
    assert off.error > 2 * off.by_chance
    many = reliability([lot(300, seed) for seed in range(20)])
    assert many.error == pytest.approx(np.mean([one.error for one in fair]))
    assert many.bins[0].interval == pytest.approx(wilson_share(many.bins[0].accuracy, 30))


def test_fewer_texts_have_fewer_bins_and_too_few_none():
    assert len(reliability([lot(LEAST_TEXTS)]).bins) == 5
    assert len(reliability([lot(10_000)]).bins) == 10
    assert reliability([lot(LEAST_TEXTS - 1)] * 3) is None
    assert reliability([]) is None


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (20, 20), (7, 33), (500, 999)])
def test_intervals_are_those_of_the_statistics(hits, n):
    assert wilson_share(hits / n, n) == pytest.approx(wilson(hits, n), abs=1e-9)


def test_confidence_is_the_likeliest_class_and_never_overflows():
    from scipy.special import softmax

    logits = np.random.default_rng(1).normal(0, 5, (50, 7))
    np.testing.assert_allclose(confidences(logits), softmax(logits, axis=1).max(axis=1))
    assert confidences(np.array([[1e4, 0.0], [0.0, 0.0]])).tolist() == [1.0, 0.5]


def test_figure_is_that_of_the_stored_predictions(made):
    folder = made("ordinary")
    view = load_view(folder)
    figure = calibration_figure(view, folder)
    run = next(run for run in view.done if run.label == "tfidf_char")
    stored = folder.predictions(run.run_id)
    sure = confidences(np.stack(stored["logits"]).astype(float))
    right = (stored["prediction"] == stored["label"]).to_numpy()
    row = next(row for row in figure.errors.rows if row[0] == "tfidf_char")
    assert row[1] == f"{100 * reliability([(sure, right)]).error:.2f}"
    assert row[3:] == [f"{100 * sure.mean():.2f}", f"{100 * right.mean():.2f}", "120"]
    assert [panel.title for panel in figure.panels] == [row.label for row in view.scored]
    assert len(figure.data.rows) == 6 * len(figure.panels)  # six bins of twenty texts


def test_random_weights_and_the_majority_class_are_left_out_and_named(tmp_path):
    folder = random_weights(tmp_path)
    figure = calibration_figure(load_view(folder), folder)
    assert [panel.title for panel in figure.panels] == ["lora"]
    assert figure.caption.endswith("the majority class are: lora, random weights and majority.")


def test_no_figure_without_texts_enough_or_logits(tmp_path):
    small = MadeStudy(tmp_path / "small", n=LEAST_TEXTS - 1)
    small.add("lora", seeds=(0,))
    folder = small.finish(verdict=False)
    assert calibration_figure(load_view(folder), folder) is None
    texts = made_texts(tmp_path / "texts")
    assert "calibration" not in [figure.kind for figure in all_figures(load_view(texts), texts)]


@pytest.mark.parametrize("how", ["none", "ragged", "not finite"])
def test_logits_that_are_no_numbers_are_left_out(tmp_path, how):
    study = MadeStudy(tmp_path)
    study.add("lora", seeds=(0, 1))
    folder = study.finish(verdict=False)
    path = folder.run_folder(study.records[0].run_id) / "predictions.parquet"
    table = folder.predictions(study.records[0].run_id)
    rows = [row.tolist() for row in table["logits"]]
    if how == "none":
        table["logits"] = None
    elif how == "ragged":
        table["logits"] = [row[: 1 + i % 2] for i, row in enumerate(rows)]
    else:
        table["logits"] = [[float("nan"), 1.0], *rows[1:]]
    table.to_parquet(path)
    figure = calibration_figure(load_view(folder), folder)
    assert figure.errors.rows[0][-1] == "120"  # of the other seed


def test_predictions_that_cannot_be_read_are_one_sentence(tmp_path):
    study = MadeStudy(tmp_path)
    study.add("lora", seeds=(0,))
    folder = study.finish(verdict=False)
    (folder.run_folder(study.records[0].run_id) / "predictions.parquet").write_bytes(b"no table")
    with pytest.raises(StoreError, match=r"predictions\.parquet' cannot be read"):
        calibration_figure(load_view(folder), folder)


def test_page_has_the_error_of_each_row_and_a_drawing(parsed):
    section = by_id(parsed("ordinary"), "calibration")
    shown = text_of(section)
    assert "expected calibration error (ECE)" in shown
    assert [text_of(row[0]) for row in section.find(".//table").iter("tr")][1:] == [
        "lora", "full", "tfidf_char", "last_block", "head_only",
    ]  # fmt: skip
    drawings = list(section.iter("svg"))
    assert len(drawings) == 5
    assert all("expected calibration error" in drawing.get("aria-label") for drawing in drawings)
    assert "answers, " in text_of(next(drawings[0].iter("title")))
