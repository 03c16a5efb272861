"""A number for each text: losses against a plain loop, figures against scikit-learn and scipy, and the way from data to
predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional
from transformers import AutoTokenizer, GPT2Model

from command import inside
from made_numbers import BEST, made_numbers, numbers_file
from plain_loop import WIDTH, plain_losses, plain_spec
from whichtune.compare import compare, prepare
from whichtune.data.numbers import load_numbers
from whichtune.errors import DataError, SettingError
from whichtune.metrics import METRICS, metrics_of
from whichtune.runs.run import run_one
from whichtune.stats.answers import of_numbers
from whichtune.study.data_settings import DataSettings
from whichtune.study.load import parse_study
from whichtune.tasks.regression.evaluate import Scale, measure

QUICK = {"epochs": 1, "max_steps": 3, "batch_size": 8, "learning_rate": 2e-3}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbers_file(tmp_path_factory.mktemp("numbers"))


def study_value(data: Path, model: Path, **changes: object) -> dict[str, object]:
    return {
        "task": "regression",
        "data": {"source": str(data)},
        "model": str(model),
        "methods": ["head_only"],
        "seeds": [0],
        "settings": QUICK,
        **changes,
    }


# -- losses ----------------------------------------------------------------------------------------

LOSSES = {
    "mse": lambda found, wanted: functional.mse_loss(found, wanted),
    "mae": lambda found, wanted: (found - wanted).abs().mean(),
    "huber": lambda found, wanted: functional.huber_loss(found, wanted, delta=0.5),
}


@pytest.mark.parametrize(("loss", "method", "plan"), [("mse", "full", "off"), ("mse", "last_block", "auto")])
def test_equals_a_plain_loop(tiny_gpt2: Path, scores: Path, loss: str, method: str, plan: str) -> None:
    _equals_a_plain_loop(tiny_gpt2, scores, loss, method, plan)


@pytest.mark.parametrize("loss", ["mae", "huber"])
def test_other_losses_equal_a_plain_loop(tiny_gpt2: Path, scores: Path, loss: str) -> None:
    _equals_a_plain_loop(tiny_gpt2, scores, loss, "last_block", "auto")


def _equals_a_plain_loop(model_path: Path, data: Path, loss: str, method: str, plan: str) -> None:
    own = {"regression_loss": loss, **({"huber_delta": 0.5} if loss == "huber" else {})}
    spec = plain_spec("regression", own, data, model_path, method, plan)
    result = run_one(spec)
    train = load_numbers(spec.data).splits["train"]
    targets = torch.tensor((train.labels - train.labels.mean()) / train.labels.std(), dtype=torch.float32)
    expected = plain_losses(spec, train.texts, 1, lambda found, rows: LOSSES[loss](found[:, 0], targets[rows]))
    np.testing.assert_allclose([point["train_loss"] for point in result.curves], expected, atol=1e-5)


def test_the_linear_probe_is_ridge_regression(tiny_gpt2: Path, tmp_path: Path) -> None:
    """On the states of a plain model by scikit-learn, its penalty chosen by the validation loss."""
    spec = plain_spec(
        "regression", {"regression_loss": "mae"}, numbers_file(tmp_path, 60), tiny_gpt2, "linear_probe", "auto"
    )
    result = run_one(spec)
    splits = load_numbers(spec.data).splits
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_gpt2), GPT2Model.from_pretrained(tiny_gpt2).eval()
    with torch.no_grad():
        features = {
            name: torch.stack(
                [model(torch.tensor([ids])).last_hidden_state[0, -1] for ids in tokenizer(part.texts)["input_ids"]]
            )
            for name, part in splits.items()
        }
    errors, told = {}, {}
    for penalty in (10.0**power for power in range(-4, 5)):
        ridge = make_pipeline(StandardScaler(), Ridge(alpha=penalty * len(splits["train"])))
        ridge.fit(features["train"].double().numpy(), splits["train"].labels)
        errors[penalty] = float(((ridge.predict(features["validation"]) - splits["validation"].labels) ** 2).mean())
        told[penalty] = ridge.predict(features["test"])
    best = min(errors, key=lambda penalty: errors[penalty])
    notes = " ".join(result.record.notes)
    assert f"{best:g} had the lowest validation loss" in notes
    assert "regression_loss mae has no effect on linear_probe" in notes
    found = result.predictions[result.predictions["split"] == "test"]["prediction"]
    np.testing.assert_allclose(found, told[best], rtol=1e-4)
    assert (result.record.cost.optimiser_steps, result.record.cost.trainable_parameters) == (0, WIDTH + 1)


# -- figures ---------------------------------------------------------------------------------------


def drawn_answers(n: int, seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.gamma(2.0, 3.0, n)
    predictions = 0.7 * targets + random.normal(0, 2.0, n)
    return (predictions.round(), targets.round()) if ties else (predictions, targets)


@pytest.mark.parametrize("ties", [False, True])
def test_figures_are_those_of_scikit_learn_and_scipy(ties: bool) -> None:
    predictions, targets = drawn_answers(200, 1, ties)
    found = measure(predictions, targets, Scale(3.0, 2.0))
    assert found.r2 == pytest.approx(sklearn_metrics.r2_score(targets, predictions), abs=1e-12)
    assert found.mae == pytest.approx(sklearn_metrics.mean_absolute_error(targets, predictions), abs=1e-12)
    assert found.rmse == pytest.approx(sklearn_metrics.root_mean_squared_error(targets, predictions), abs=1e-12)
    assert found.pearson == pytest.approx(stats.pearsonr(predictions, targets)[0], abs=1e-12)
    assert found.spearman == pytest.approx(stats.spearmanr(predictions, targets)[0], abs=1e-12)
    assert found.loss == pytest.approx(sklearn_metrics.mean_squared_error(targets, predictions) / 4, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", [metric.name for metric in metrics_of("numbers")])
def test_influence_foretells_what_leaving_one_out_does(name: str, ties: bool) -> None:
    predictions, targets = drawn_answers(400, 2, ties)
    of = METRICS[name].of_numbers
    whole = of(predictions, targets)
    for left in range(0, 400, 37):
        keep = np.arange(400) != left
        moved = 399 * (whole.mean() - of(predictions[keep], targets[keep]).mean())
        influence = whole[left] - whole.mean()
        assert moved == pytest.approx(influence, abs=0.02 + 0.02 * abs(influence)), left


@pytest.mark.parametrize("name", [metric.name for metric in metrics_of("numbers")])
def test_spread_of_the_influence_is_the_noise_of_the_test_set(name: str) -> None:
    """Over simulated test sets the metric scatters as one test set's influences foretell."""
    of = METRICS[name].of_numbers
    made = [of(*drawn_answers(300, seed)) for seed in range(600)]
    scatter = np.std([values.mean() for values in made])
    foretold = np.mean([values.std(ddof=1) for values in made]) / 300**0.5
    assert foretold == pytest.approx(scatter, rel=0.12)
    truth = np.mean([values.mean() for values in made])
    inside_it = np.mean([abs(v.mean() - truth) <= 1.96 * v.std(ddof=1) / 300**0.5 for v in made])
    assert 0.90 <= inside_it <= 0.98


def test_what_does_not_vary_has_no_correlation() -> None:
    found = measure(np.full(9, 2.0), np.arange(9.0), Scale(0.0, 1.0))
    assert (found.pearson, found.spearman) == (0.0, 0.0)
    assert found.r2 < 0


def test_figures_of_a_part_are_computed_of_that_part() -> None:
    predictions, targets = drawn_answers(60, 4)
    answers, keep = of_numbers(np.stack([predictions, targets]), np.zeros(60)), np.arange(60) < 40
    expected = sklearn_metrics.r2_score(targets[:40], predictions[:40])
    assert answers.of(keep).figures["r2"].mean() == pytest.approx(expected)


# -- a study ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ridge_comes_near_the_best_there_is(tmp_path: Path, tiny_gpt2: Path) -> None:
    data = numbers_file(tmp_path, rows=2000)
    result = compare(
        parse_study(study_value(data, tiny_gpt2, methods=[]), "test"), tmp_path / "s", threads=1, save="all"
    )
    found = {record.label: record.metrics.test for record in result.records}
    assert found["mean"].r2 == pytest.approx(0, abs=0.02)
    assert BEST - 0.05 < found["ridge_word"].r2 < BEST + 0.03
    assert found["ridge_char"].r2 < BEST + 0.03
    assert result.summary.verdict.recommended in ("ridge_word", "ridge_char")
    (pair,) = [c for c in result.summary.comparisons if {c.a, c.b} == {"mean", "ridge_word"}][:1]
    assert (pair.unit, pair.metric) == ("points", "r2")
    assert pair.p < 1e-6
    frame = made_numbers(20, seed=9)
    answers = result.predictor("ridge_word").predict(list(frame["text"]))
    assert np.corrcoef(answers["prediction"], frame["score"])[0, 1] > 0.8


def test_from_data_to_predictions(tiny_gpt2: Path, scores: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    arguments = [
        "--task",
        "regression",
        "--data",
        str(scores),
        "--model",
        str(tiny_gpt2),
        "--methods",
        "head_only,last_block",
    ]
    more = ["--seeds", "0-1", "--set", "max_steps=3", "--set", "early_stopping=primary", "--save", "all"]
    assert "ridge_word" in inside("compare", *arguments, *more, "--dry-run").stdout
    said = inside("compare", *arguments, *more, "--out", str(study)).stdout
    assert "test R²" in said
    assert "0 to make" in inside("compare", *arguments, *more, "--out", str(study)).stdout
    page = (study / "report.html").read_text(encoding="utf-8")
    assert "RMSE and MAE are in the same unit" in page
    assert "test RMSE" in (study / "table.md").read_text(encoding="utf-8")
    inside("predict", str(study), "last_block:1", str(scores), "--out", str(tmp_path / "out.csv"))
    answers = pd.read_csv(tmp_path / "out.csv")
    assert list(answers.columns) == ["text", "prediction"]
    assert 0 < answers["prediction"].mean() < 100  # in the targets' own unit
    refused = inside("predict", str(study), "last_block:1", str(scores), "--threshold", "a=0.5", code=2)
    assert "--threshold is for two classes" in refused.stderr
    from whichtune import export_row

    done = export_row(study, "head_only", tmp_path / "exported", form="transformers")
    assert done.difference is not None
    assert done.difference < 1e-3  # of numbers about 50, in their own unit
    assert "nothing is left to turn back" in (tmp_path / "exported" / "README.md").read_text(encoding="utf-8")


def test_changed_figures_are_noticed(tiny_gpt2: Path, scores: Path, tmp_path: Path) -> None:
    value = study_value(scores, tiny_gpt2, methods=[], baselines=["mean"])
    result = compare(parse_study(value, "test"), tmp_path / "s", threads=1)
    (file,) = (tmp_path / "s" / "runs").glob("*/run.json")
    text = file.read_text(encoding="utf-8")
    mae = repr(result.records[0].metrics.test.mae)
    assert mae in text
    file.write_text(text.replace(mae, "1.25"), encoding="utf-8")
    assert compare(parse_study(value, "test"), tmp_path / "s", threads=1).started == 1


@pytest.mark.slow
def test_pairs_of_texts_have_numbers_too(tiny_gpt2: Path, tmp_path: Path) -> None:
    frame = made_numbers(90)
    frame.assign(other=frame["text"].iloc[::-1].to_list()).to_csv(tmp_path / "two.csv", index=False)
    value = study_value(tmp_path / "two.csv", tiny_gpt2, baselines=["ridge_word"])
    value["data"] = {"source": str(tmp_path / "two.csv"), "text_column": ["text", "other"]}
    result = compare(parse_study(value, "test"), tmp_path / "s", threads=1)
    assert {record.status for record in result.records} == {"completed"}


def test_an_error_decides_and_the_lower_is_better(tiny_gpt2: Path, scores: Path, tmp_path: Path) -> None:
    pairs = [{"a": "ridge_word", "b": "mean", "metric": "rmse"}]
    rows = ["mean", "ridge_word", "ridge_char"]
    value = study_value(scores, tiny_gpt2, methods=[], baselines=rows, pairs=pairs, primary_metric="rmse", margin=0.01)
    result = compare(parse_study(value, "test"), tmp_path / "s", threads=1)
    (found,) = [c for c in result.summary.comparisons if c.metric == "rmse" and {c.a, c.b} == {"ridge_word", "mean"}]
    assert (found.unit, found.verdict) == ("units", "better")  # the lower is ahead
    assert found.difference < 0
    verdict, errors = result.summary.verdict, {r.label: r.metrics.test.rmse for r in result.records}
    best = min(errors, key=lambda label: errors[label])
    assert (verdict.metric, verdict.leader) == ("rmse", best)
    assert errors[best] < errors["mean"]
    assert found.margin == pytest.approx(0.0001 * errors[best])  # percent of the best baseline's
    chosen = next(row for row in verdict.candidates if row.label == verdict.recommended)
    assert chosen.expected_regret > found.margin
    page = (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    assert "would hardly change the choice" not in page
    assert "units" in page


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": ["logistic_probe"]}, "'logistic_probe' is for classification, not for regression"),
        ({"baselines": ["tfidf_word"]}, "'tfidf_word' is for classification, not for regression"),
        ({"primary_metric": "accuracy"}, "regression has no accuracy"),
        ({"settings": {"class_weight": "balanced"}}, "'class_weight' is for classification"),
        ({"settings": {"ignore_index": 1}}, "ignore_index means nothing for regression"),
        ({"settings": {"random_streams": "reference"}}, "random_streams reference is for classification"),
        ({"settings": {"regression_loss": "l3"}}, "regression_loss"),
    ],
)
def test_settings_of_other_tasks_are_refused(
    tiny_gpt2: Path, scores: Path, changes: dict[str, object], sentence: str
) -> None:
    study = parse_study(study_value(scores, tiny_gpt2, **changes), "test")
    with pytest.raises(SettingError, match=sentence):
        prepare(study)


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (["many"], "Row 1 of odd.csv has 'many' for a number"),
        (["inf"], "Row 1 of odd.csv has 'inf' for a number"),
        ([""], "Row 1 of odd.csv has an empty label"),
        (["1"] * 60, "All numbers of train in odd.csv are the same"),
    ],
)
def test_what_is_no_number_is_refused(tmp_path: Path, cells: list[str], sentence: str) -> None:
    frame = made_numbers(60).astype({"score": str})
    frame["score"] = [*cells, *frame["score"][len(cells) :]]
    frame.to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(DataError, match=sentence):
        load_numbers(DataSettings(source=str(tmp_path / "odd.csv")))


def test_it_is_asked_which_task_is_meant(tiny_gpt2: Path, tmp_path: Path) -> None:
    numbers_file(tmp_path).rename(tmp_path / "prices.csv")
    stars = made_numbers(150).assign(score=[1 + row % 5 for row in range(150)])
    stars.to_csv(tmp_path / "stars.csv", index=False)
    codes = made_numbers(150).assign(score=[row % 40 for row in range(150)])
    codes.to_csv(tmp_path / "codes.csv", index=False)

    def study(name: str, **changes: object) -> dict[str, object]:
        value = study_value(tmp_path / name, tiny_gpt2, **changes)
        value["data"] = {"source": str(tmp_path / name), "label_column": "score"}
        return {key: each for key, each in value.items() if each is not None}

    for name, values in (("prices.csv", 150), ("codes.csv", 40)):
        with pytest.raises(DataError, match=f"numbers with {values} values: say what is meant"):
            prepare(parse_study(study(name, task=None), "test"))
    assert len(prepare(parse_study(study("stars.csv", task=None), "test"))[1].labels) == 5
    assert len(prepare(parse_study(study("codes.csv", task="classification"), "test"))[1].labels) == 40
    assert prepare(parse_study(study("codes.csv"), "test"))[1].labels == []


def test_groups_and_folds_keep_their_rows(tmp_path: Path) -> None:
    frame = made_numbers(60).assign(shop=[f"shop {row % 12}" for row in range(60)])
    frame.to_csv(tmp_path / "shops.csv", index=False)
    settings = DataSettings(source=str(tmp_path / "shops.csv"), label_column="score")
    grouped = load_numbers(settings.model_copy(update={"group_column": "shop"}))
    shops = [{frame["shop"][int(row)] for row in part.ids} for part in grouped.splits.values()]
    assert grouped.split_rule == "grouped"
    assert not shops[0] & shops[1] and not shops[0] & shops[2] and not shops[1] & shops[2]  # noqa: PT018
    tested = [
        load_numbers(settings.model_copy(update={"folds": 3, "fold": fold})).splits["test"].ids for fold in range(3)
    ]
    assert sorted(int(row) for ids in tested for row in ids) == list(range(60))
