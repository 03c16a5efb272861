"""Sets of labels: losses against a plain loop, figures against scikit-learn, and the way from data to predictions."""

from __future__ import annotations

import csv
import itertools
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torch.nn import functional

from command import inside
from made_labels import MEANS, labels_file
from plain_loop import plain_losses, plain_spec
from whichtune.compare import compare, prepare
from whichtune.data.label_sets import load_label_sets
from whichtune.errors import SettingError
from whichtune.metrics import METRICS, metrics_of
from whichtune.metrics.labels import average_precision
from whichtune.report.view import View
from whichtune.result import open_study
from whichtune.runs.run import run_one
from whichtune.stats.answers import of_labels
from whichtune.study.data_settings import DataSettings
from whichtune.study.load import parse_study
from whichtune.tasks.multilabel.evaluate import measure, thresholds_by
from whichtune.tasks.multilabel.settings import MultilabelSettings
from whichtune.tasks.multilabel.thresholds import best_thresholds

NAMES = [metric.name for metric in metrics_of("labels")]


@pytest.fixture(scope="module")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labels_file(tmp_path_factory.mktemp("tickets"))


def study_value(data: Path | str, model: Path, **changes: object) -> dict[str, object]:
    return {
        "task": "multilabel",
        "data": {"source": str(data)},
        "model": str(model),
        "methods": ["head_only"],
        "seeds": [0],
        "settings": {"max_steps": 3, "batch_size": 8},
        **changes,
    }


# -- losses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "plan"), [("last_block", "auto"), pytest.param("full", "off", marks=pytest.mark.slow)]
)
def test_equals_a_plain_loop(tiny_gpt2: Path, tickets: Path, method: str, plan: str) -> None:
    spec = plain_spec("multilabel", {}, tickets, tiny_gpt2, method, plan)
    result = run_one(spec)
    train = load_label_sets(spec.data).splits["train"]
    targets = torch.tensor(train.labels, dtype=torch.float32)

    def loss_of(found: torch.Tensor, rows: list[int]) -> torch.Tensor:
        return functional.binary_cross_entropy(found.sigmoid(), targets[rows], reduction="none").mean(1).mean()

    expected = plain_losses(spec, train.texts, len(MEANS), loss_of)
    np.testing.assert_allclose([point["train_loss"] for point in result.curves], expected, atol=1e-5)


# -- figures ---------------------------------------------------------------------------------------


def drawn_labels(n: int, seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Logits and true labels (n, 4), the last label in few texts."""
    random = np.random.default_rng(seed)
    true = random.random((n, 4)) < (0.5, 0.3, 0.2, 0.08)
    logits = 2.0 * true - 1.2 + random.normal(0, 1.0, true.shape)
    return (logits.round() if ties else logits), true


def parts_of(logits: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    probabilities = 1 / (1 + np.exp(-logits))
    return probabilities >= 0.4, probabilities, true


@pytest.mark.parametrize("ties", [False, True])
def test_figures_are_those_of_scikit_learn(ties: bool) -> None:
    logits, true = drawn_labels(150, 1, ties)
    found = measure(logits, true, np.full(4, 0.4))
    chosen, probabilities, _ = parts_of(logits, true)
    for name, average in (("labels_f1_micro", "micro"), ("labels_f1_macro", "macro"), ("f1_samples", "samples")):
        expected = sklearn_metrics.f1_score(true, chosen, average=average, zero_division=1.0)
        assert found.value(name) == pytest.approx(expected, abs=1e-12), name
    assert found.subset_accuracy == pytest.approx(sklearn_metrics.accuracy_score(true, chosen))
    assert found.hamming_loss == pytest.approx(sklearn_metrics.hamming_loss(true, chosen))
    ranked = sklearn_metrics.average_precision_score(true, probabilities, average=None)
    assert found.mean_average_precision == pytest.approx(ranked.mean(), abs=1e-9)
    assert found.average_precision == pytest.approx(list(ranked), abs=1e-9)
    each = [sklearn_metrics.log_loss(true[:, label], probabilities[:, label]) for label in range(4)]
    assert found.loss == pytest.approx(np.mean(each), abs=1e-6)
    right = [(chosen & true)[:, label].sum() for label in range(4)]
    assert [counts[0] for counts in found.label_counts] == right


def test_a_label_of_which_a_split_says_nothing_is_left_out() -> None:
    chosen = np.array([[1, 0, 0], [0, 1, 0]], dtype=bool)
    true = np.array([[1, 0, 0], [1, 0, 0]], dtype=bool)
    macro = METRICS["labels_f1_macro"].of_labels(chosen, chosen.astype(float), true).mean()
    assert macro == pytest.approx(
        sklearn_metrics.f1_score(true, chosen, average="macro", labels=[0, 1], zero_division=0)
    )
    ranked = METRICS["mean_average_precision"].of_labels(chosen, chosen.astype(float), true).mean()
    assert ranked == pytest.approx(1.0)  # of the first label alone


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_influence_foretells_what_leaving_one_out_does(name: str, ties: bool) -> None:
    parts = parts_of(*drawn_labels(400, 2, ties))
    of = METRICS[name].of_labels
    whole = of(*parts)
    for left in range(0, 400, 37):
        keep = np.arange(400) != left
        moved = 399 * (whole.mean() - of(*(part[keep] for part in parts)).mean())
        influence = whole[left] - whole.mean()
        assert moved == pytest.approx(influence, abs=0.05 + 0.05 * abs(influence)), left


@pytest.mark.parametrize("name", NAMES)
def test_spread_of_the_influence_is_the_noise_of_the_test_set(name: str) -> None:
    """Over simulated test sets the metric scatters as one test set's influences foretell."""
    of = METRICS[name].of_labels
    made = [of(*parts_of(*drawn_labels(200, seed))) for seed in range(250)]
    scatter = np.std([values.mean() for values in made])
    assert np.mean([values.std(ddof=1) for values in made]) / 200**0.5 == pytest.approx(scatter, rel=0.15)
    truth = np.mean([values.mean() for values in made])
    inside_it = np.mean([abs(v.mean() - truth) <= 1.96 * v.std(ddof=1) / 200**0.5 for v in made])
    assert 0.88 <= inside_it <= 0.99


def test_average_precision_moves_with_its_texts() -> None:
    """The influence is the derivative by each text's weight, found here by doubling the texts over and over."""
    scores, true = np.array([0.9, 0.8, 0.8, 0.4, 0.2]), np.array([1, 0, 1, 1, 0], dtype=bool)
    whole = average_precision(scores, true)
    for text, influence in enumerate(whole - whole.mean()):
        copies = 2_000
        more = np.r_[np.tile(np.arange(5), copies), text]
        moved = average_precision(scores[more], true[more]).mean() - whole.mean()
        assert moved * len(more) == pytest.approx(influence, abs=2e-3), text


def test_figures_of_a_part_are_computed_of_that_part() -> None:
    logits, true = drawn_labels(80, 4)
    chosen, _, _ = parts_of(logits, true)
    answers = of_labels(logits, [np.flatnonzero(row).tolist() for row in chosen], true, np.zeros(80))
    part = answers.of(np.arange(80) < 50).figures["labels_f1_macro"]
    assert part.mean() == pytest.approx(sklearn_metrics.f1_score(true[:50], chosen[:50], average="macro"))


@pytest.mark.parametrize("ties", [False, True])
def test_no_other_threshold_has_a_better_f1(ties: bool) -> None:
    logits, true = drawn_labels(60, 5, ties)
    probabilities = 1 / (1 + np.exp(-logits))
    found = best_thresholds(probabilities, true)
    for label, threshold in enumerate(found):
        scores, wanted = probabilities[:, label], true[:, label]
        every = [sklearn_metrics.f1_score(wanted, scores >= t) for t in (*np.unique(scores), 0.0)]
        assert sklearn_metrics.f1_score(wanted, scores >= threshold) == pytest.approx(max(every))
        assert not (np.abs(scores - threshold) < 1e-12).any()  # stands between two texts
    assert best_thresholds(probabilities, np.zeros_like(true)).tolist() == [0.5] * 4


# -- data ------------------------------------------------------------------------------------------


def as_forms(folder: Path, source: Path) -> dict[str, DataSettings]:
    """One data set in every form that is read."""
    frame = pd.read_json(source, lines=True)
    frame.to_parquet(folder / "lists.parquet")
    frame.assign(labels=[";".join(labels) for labels in frame["labels"]]).to_csv(folder / "signs.csv", index=False)
    frame.assign(labels=[str(labels) for labels in frame["labels"]]).to_csv(folder / "written.csv", index=False)
    wide = {name: [int(name in labels) for labels in frame["labels"]] for name in MEANS.values()}
    pd.DataFrame({"text": frame["text"], **wide}).to_csv(folder / "columns.csv", index=False)
    truth = {name: [str(bool(cell)) for cell in cells] for name, cells in wide.items()}
    pd.DataFrame({"text": frame["text"], **truth}).to_csv(folder / "truth.tsv", index=False, sep="\t")
    columns = ",".join(wide)
    return {
        "lists.parquet": DataSettings(source=str(folder / "lists.parquet")),
        "signs.csv": DataSettings(source=str(folder / "signs.csv"), label_separator=";"),
        "written.csv": DataSettings(source=str(folder / "written.csv")),
        "columns.csv": DataSettings(source=str(folder / "columns.csv"), label_column=columns),
        "truth.tsv": DataSettings(source=str(folder / "truth.tsv"), label_column=list(wide)),
    }


def test_every_form_of_the_labels_is_read_alike(tickets: Path, tmp_path: Path) -> None:
    whole = load_label_sets(DataSettings(source=str(tickets)))
    assert whole.labels == sorted(MEANS.values())
    assert sum(int((~part.labels.any(axis=1)).sum()) for part in whole.splits.values()) > 0  # texts without a label
    for name, settings in as_forms(tmp_path, tickets).items():
        found = load_label_sets(settings)
        assert found.labels == whole.labels, name
        for split, part in whole.splits.items():
            assert found.splits[split].texts == part.texts, name
            np.testing.assert_array_equal(found.splits[split].labels, part.labels, err_msg=name)


def test_drawn_splits_keep_shares_and_have_every_label_in_train(tmp_path: Path) -> None:
    data = labels_file(tmp_path, rows=300)
    extra = '{"text": "one of its kind", "labels": ["rare", "goods"]}\n'
    data.write_text(data.read_text(encoding="utf-8") + extra, encoding="utf-8")
    settings = DataSettings(source=str(data))
    for seed in range(4):
        found = load_label_sets(settings.model_copy(update={"split_seed": seed}))
        assert found.splits["train"].labels.any(axis=0).all()
        train, test = found.splits["train"], found.splits["test"]
        assert len(test) == pytest.approx(60, abs=4)
        assert np.abs(train.labels.mean(axis=0) - test.labels.mean(axis=0)).max() < 0.04
        small = load_label_sets(settings.model_copy(update={"split_seed": seed, "train_limit": 6}))
        assert small.splits["train"].labels.any(axis=0).all()
    folds = [load_label_sets(DataSettings(source=str(tmp_path / "tickets.jsonl"), folds=2, fold=f)) for f in range(1)]
    assert len(folds[0].splits["test"]) in (150, 151)


TEXT = "text,labels\n"
TWENTY = [(f"text {row}", "a;b" if row % 3 else "b") for row in range(20)]


def lines_of(rows: list[tuple[str, str]], header: str = TEXT) -> str:
    return header + "".join(f'{text},"{labels}"\n' for text, labels in rows)


COLUMNS = "text,a,b\n" + "".join(f"text {row},{row % 2},{int(row % 3 == 0)}\n" for row in range(20))
ODD = {
    "one label": (lines_of([(text, "a") for text, _ in TWENTY]), ["--label-separator", ";"], "have one label only"),
    "no label": (lines_of([("x", "")] * 9 + [("y", " ")] * 9), ["--label-separator", ";"], "No training text of"),
    "no separator": (lines_of(TWENTY), [], "say what stands between labels, such as --label-separator ';'"),
    "one-hot 2": (COLUMNS.replace("7,1,0", "7,2,0"), ["--label-column", "a,b"], "Row 8 of a.csv has '2' in the label"),
    "one-hot empty": (COLUMNS.replace("7,1,0", "7,,0"), ["--label-column", "a,b"], "has an empty cell in the label"),
    "one-hot unknown": (COLUMNS, ["--label-column", "a,c"], "no column 'c'"),
    "one-hot never": (COLUMNS.replace(",1,", ",0,"), ["--label-column", "a,b"], "'a' has no 1 in train"),
    "marks in a list": (lines_of([("x", "[0, 1, 0]")] * 20), [], "a list of 3 zeros and ones"),
    "a text and labels": (lines_of(TWENTY), ["--text-column", "labels"], "both text and labels"),
    "too few": (lines_of(TWENTY[:5]), ["--label-separator", ";"], "5 rows are too few"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_labels_are_one_sentence(tmp_path: Path, case: str) -> None:
    content, options, sentence = ODD[case]
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    words = ["compare", "--task", "multilabel", "--data", "a.csv", *options, "--dry-run"]
    said = inside(*words, cwd=tmp_path, code=2).stderr
    assert sentence in said
    assert said.count("\n") == 1


def test_a_label_that_train_lacks_is_refused(tmp_path: Path) -> None:
    for split, last in (("train", "a;b"), ("validation", "a"), ("test", "c")):
        rows = lines_of([*TWENTY[:6], (f"last of {split}", last)])
        (tmp_path / f"{split}.csv").write_text(rows, encoding="utf-8")
    words = ["compare", "--task", "multilabel", "--data", str(tmp_path), "--label-separator", ";", "--dry-run"]
    assert "The label 'c' occurs in test but not in train" in inside(*words, code=2).stderr


def test_a_separator_that_never_occurs_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(lines_of([(t, "a b" if row % 2 else "b") for row, (t, _) in enumerate(TWENTY)]))
    notes = load_label_sets(DataSettings(source=str(tmp_path / "a.csv"), label_separator="|")).notes
    assert any("No text of a.csv has more than one label: is '|' what stands between labels?" in n for n in notes)


def test_it_is_asked_which_task_is_meant(tickets: Path, tmp_path: Path) -> None:
    meant = "say what is meant, several labels for one text (--task multilabel)"
    assert meant in inside("compare", "--data", str(tickets), "--dry-run", code=2).stderr
    (tmp_path / "a.csv").write_text(COLUMNS, encoding="utf-8")
    words = ["compare", "--data", str(tmp_path / "a.csv"), "--label-column", "a,b", "--dry-run"]
    assert meant in inside(*words, code=2).stderr
    (tmp_path / "b.csv").write_text(lines_of(TWENTY), encoding="utf-8")
    words = ["compare", "--data", str(tmp_path / "b.csv"), "--label-separator", ";", "--dry-run"]
    assert "say --task multilabel" in inside(*words, code=2).stderr
    assert "several labels" in inside("compare", "--data", "open_matters", "--dry-run", code=2).stderr
    words = ["compare", "--task", "multilabel", "--data", "messages", "--dry-run"]
    assert "has labels, for classification" in inside(*words, code=2).stderr


# -- a study ---------------------------------------------------------------------------------------


def words_for(data: Path, model: Path) -> list[str]:
    words = ["compare", "--task", "multilabel", "--data", str(data), "--model", str(model), "--no-figures"]
    more = ["--methods", "head_only,labels_word,label_shares", "--seeds", "0", "--set", "max_steps=3", "--save", "all"]
    more += ["--set", "early_stopping=labels_f1_micro"]
    return words + more


@pytest.fixture(scope="module")
def made(tiny_gpt2: Path, tickets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "study"
    said = inside(*words_for(tickets, tiny_gpt2), "--out", str(folder)).stdout
    assert "test micro F1" in said
    return folder


def test_page_and_tables_tell_of_labels(made: Path) -> None:
    page = (made / "report.html").read_text(encoding="utf-8")
    assert "Results by label" in page
    assert "A label is chosen from the probability on that gives it its best F1 on validation" in page
    assert "test mAP % | test subset accuracy % | test Hamming loss %" in (made / "table.md").read_text(
        encoding="utf-8"
    )
    with (made / "table.csv").open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert {f"test_{name}" for name in NAMES} <= set(header)


def test_predictions_have_labels_and_a_probability_each(made: Path, tickets: Path, tmp_path: Path) -> None:
    for run in ("head_only:0", "labels_word"):
        out = tmp_path / f"{run[:4]}.csv"
        inside("predict", str(made), run, str(tickets), "--out", str(out))
        found = pd.read_csv(out, keep_default_na=False)
        names = sorted(MEANS.values())
        assert list(found.columns) == ["text", "prediction", *(f"probability of {name}" for name in names)]
        record = next(r for r in open_study(made).records if run in (r.label, f"{r.label}:{r.seed}"))
        least = np.array(record.metrics.validation.thresholds)
        chosen = found[[f"probability of {name}" for name in names]].to_numpy() >= least
        told = [";".join(itertools.compress(names, row)) for row in chosen]
        assert told == list(found["prediction"])
        # What is told of the test texts is what was recorded of them.
        recorded = pd.read_parquet(made / "runs" / record.run_id / "predictions.parquet")
        test = recorded[recorded["split"] == "test"]
        again = [found["prediction"][int(row)] for row in test["example_id"]]
        assert again == [";".join(names[place] for place in row) for row in test["prediction"]]


def test_labels_are_handed_on_with_their_thresholds(made: Path, tickets: Path, tmp_path: Path) -> None:
    import json

    from whichtune import export_row

    assert export_row(made, "head_only", tmp_path / "out", form="transformers").form == "transformers"
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "multi_label_classification"
    assert len(config["label_thresholds"]) == len(MEANS)
    said = inside("predict", str(made), "head_only:0", str(tickets), "--threshold", "money=0.5", code=2).stderr
    assert "has a threshold for each label" in said


def test_changed_labels_and_figures_are_noticed(made: Path) -> None:
    from whichtune.records.verify import run_fault

    record = next(record for record in open_study(made).records if record.label == "labels_word")
    run = made / "runs" / record.run_id
    kept = {name: (run / name).read_bytes() for name in ("run.json", "predictions.parquet", "checksums.json")}
    assert run_fault(run) is None
    (run / "checksums.json").unlink()
    assert run_fault(run) is None  # figures follow from what was chosen
    table = pd.read_parquet(run / "predictions.parquet")
    table.assign(prediction=[[0]] * len(table)).to_parquet(run / "predictions.parquet")
    assert "do not follow" in str(run_fault(run))
    (run / "predictions.parquet").write_bytes(kept["predictions.parquet"])
    score = repr(record.metrics.test.hamming_loss)
    (run / "run.json").write_text(kept["run.json"].decode().replace(f'"hamming_loss": {score}', '"hamming_loss": 0.01'))
    assert "do not follow" in str(run_fault(run))
    for name, content in kept.items():
        (run / name).write_bytes(content)


SELDOM = [pytest.param(name, marks=pytest.mark.slow) for name in ("subset_accuracy", "labels_f1_macro")]


@pytest.mark.parametrize("metric", ["hamming_loss", *SELDOM])
def test_any_of_its_metrics_can_decide(made: Path, tiny_gpt2: Path, tickets: Path, tmp_path: Path, metric: str) -> None:
    """The same runs, judged anew."""
    shutil.copytree(made, folder := tmp_path / "study")
    words = [*words_for(tickets, tiny_gpt2), "--set", f"primary_metric={metric}", "--out", str(folder)]
    assert "0 to make" in inside(*words).stdout
    result = open_study(folder)
    assert next(row.label for row in View(result.summary).scored) == "labels_word"
    assert result.summary.verdict.recommended == "labels_word"
    (pair,) = [pair for pair in result.summary.comparisons if {pair.a, pair.b} == {"label_shares", "labels_word"}][:1]
    assert (pair.metric, pair.verdict) == (metric, {"labels_word": "better", "label_shares": "worse"}[pair.a])
    assert pair.test == ("mid-p McNemar with Tango's interval" if metric == "subset_accuracy" else pair.test)
    low, high = next(row for row in result.summary.intervals.methods if row.label == "label_shares").interval
    assert 0 <= low <= high <= 1
    small = next(check for check in result.summary.checks if check.code == "small_class")
    assert small.status == ("warned" if metric == "labels_f1_macro" else "not_applicable")


def test_one_threshold_for_all_labels() -> None:
    logits, true = drawn_labels(40, 6)
    assert thresholds_by(MultilabelSettings(label_thresholds=0.5), logits, true).tolist() == [0.5] * 4
    assert thresholds_by(MultilabelSettings(), logits, true).tolist() != [0.5] * 4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": ["linear_probe"]}, "'linear_probe' is for classification and regression, not for multilabel"),
        ({"methods": ["lp_ft"]}, "'lp_ft' is for classification, not for multilabel"),
        ({"baselines": ["majority"]}, "'majority' is for classification, not for multilabel"),
        ({"primary_metric": "accuracy"}, "multilabel has no accuracy"),
        ({"settings": {"class_weight": "balanced"}}, "'class_weight' is for classification"),
        ({"settings": {"ignore_index": 1}}, "ignore_index means nothing for multilabel"),
        ({"settings": {"random_streams": "reference"}}, "random_streams reference is for classification"),
        ({"settings": {"label_thresholds": 1.5}}, "label_thresholds"),
        ({"settings": {"label_thresholds": "test"}}, "label_thresholds"),
    ],
)
def test_settings_of_other_tasks_are_refused(
    tiny_gpt2: Path, tickets: Path, changes: dict[str, object], sentence: str
) -> None:
    study = parse_study(study_value(tickets, tiny_gpt2, **changes), "test")
    with pytest.raises(SettingError, match=sentence):
        prepare(study)


@pytest.mark.slow
def test_words_find_most_of_the_generated_matters(tiny_gpt2: Path, tmp_path: Path) -> None:
    result = compare(parse_study(study_value("open_matters", tiny_gpt2, methods=[]), "test"), tmp_path / "s", threads=1)
    found = {record.label: record.metrics.test for record in result.records}
    assert 0.02 < found["labels_word"].hamming_loss < 0.16 < found["label_shares"].hamming_loss
    assert found["labels_word"].labels_f1_micro > 0.7 > 0.5 > found["label_shares"].labels_f1_micro
    assert result.summary.verdict.recommended in ("labels_word", "labels_char")


@pytest.mark.slow
@pytest.mark.parametrize("varied", [{"folds": 3}, {"resplit": True}])
def test_each_seed_can_have_a_split_of_its_own(
    tiny_gpt2: Path, tickets: Path, tmp_path: Path, varied: dict[str, object]
) -> None:
    value = study_value(tickets, tiny_gpt2, seeds=[0, 1, 2], baselines=["labels_word"])
    study = parse_study({**value, "data": {"source": str(tickets), **varied}}, "test")
    result = compare(study, tmp_path / "s", threads=1)
    assert {record.status for record in result.records} == {"completed"}
    assert {pair.holds_for for pair in result.summary.comparisons} == {"splits"}
