"""Tagged words: the way from data to predictions, pages and what is handed on."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from command import inside
from made_tags import tag_spec
from method_matrix import SMALL
from serve.running import running
from whichtune.compare import compare, prepare
from whichtune.errors import ExportError, SettingError
from whichtune.handover.export import export_row
from whichtune.handover.selftest import run_selftest
from whichtune.handover.serve.exported import load_exported
from whichtune.handover.serve.rows import load, pick
from whichtune.methods import METHODS
from whichtune.metrics import metrics_of
from whichtune.records.store import StudyFolder
from whichtune.report.view import View
from whichtune.result import open_study
from whichtune.runs.run import run_one
from whichtune.study.load import parse_study

NAMES = [metric.name for metric in metrics_of("tags")]


def words_for(data: Path, model: Path) -> list[str]:
    words = ["compare", "--task", "tagging", "--data", str(data), "--model", str(model), "--no-figures"]
    more = ["--methods", "head_only,word_tag,all_outside", "--seeds", "0", "--set", "max_steps=3", "--save", "all"]
    return [*words, *more, "--set", "early_stopping=entity_f1"]


@pytest.fixture(scope="module")
def made(tiny_gpt2: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "study"
    assert "test entity F1" in inside(*words_for(people, tiny_gpt2), "--out", str(folder)).stdout
    return folder


def test_page_and_tables_tell_of_types(made: Path) -> None:
    page = (made / "report.html").read_text(encoding="utf-8")
    assert "Results by type" in page
    assert "An entity is right where its words and its type are exactly those of a true one" in page
    with (made / "table.csv").open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert {f"test_{name}" for name in NAMES} <= set(header)
    result = open_study(made)
    assert next(row.label for row in View(result.summary).scored) == "word_tag"
    assert result.summary.verdict.recommended == "word_tag"
    low, high = next(row for row in result.summary.intervals.methods if row.label == "word_tag").interval
    assert 0 <= low <= high <= 1
    outside = next(record.metrics.test for record in result.records if record.label == "all_outside")
    assert (outside.entity_f1, outside.entity_recall) == (0, 0)
    assert "right, " in inside("show", str(made), "word_tag").stdout


def test_predictions_are_those_that_were_recorded(made: Path, people: Path, tmp_path: Path) -> None:
    for run in ("head_only:0", "word_tag"):
        out = tmp_path / f"{run[:4]}.csv"
        inside("predict", str(made), run, str(people), "--out", str(out))
        found = pd.read_csv(out, keep_default_na=False)
        assert list(found.columns) == ["text", "prediction", "entities", "probability"]
        record = next(r for r in open_study(made).records if run in (r.label, f"{r.label}:{r.seed}"))
        recorded = pd.read_parquet(made / "runs" / record.run_id / "predictions.parquet")
        test = recorded[recorded["split"] == "test"]
        again = [found["prediction"][int(row)] for row in test["example_id"]]
        assert again == [" ".join(record.labels[tag] for tag in tags) for tags in test["prediction"]]
    (tmp_path / "new.txt").write_text("Anna Lee  lives in\tNew York .\nnobody\n", encoding="utf-8")
    inside("predict", str(made), "word_tag", str(tmp_path / "new.txt"), "--out", str(tmp_path / "new.csv"))
    found = pd.read_csv(tmp_path / "new.csv", keep_default_na=False)
    assert found["prediction"][0] == "B-PER I-PER O O B-LOC I-LOC O"
    assert found["entities"].tolist() == ["Anna Lee (PER); New York (LOC)", ""]


def test_rows_are_handed_on(made: Path, tmp_path: Path) -> None:
    """Exported, and served from the study and from the export: the same tags, and entities by where they stand."""
    done = export_row(made, "head_only", tmp_path / "out")
    assert (done.form, done.difference < 1e-5, run_selftest(tmp_path / "out").equal) == ("transformers", True, True)
    with pytest.raises(ExportError, match="a table of words and their tags"):
        export_row(made, "word_tag", tmp_path / "refused")
    text = "\U0001f642  Anna Lee\tlives in New York ."
    with running(load(pick(StudyFolder(made), "head_only", None, "word_tag"), remote_code=False)) as server:
        answer = server.predict([text, ["Anna", "Lee"]]).json
        sent = server.ask("POST", "/batch", f'tokens\n"{text}"\n'.encode(), {"Content-Type": "text/csv"}).body.decode()
        refused = [server.predict([given]).status for given in (["Anna", 3], [], {"text": "a"})]
        about = server.ask("GET", "/metadata").json
    found = answer["compared"]["predictions"][0]
    assert found["words"] == text.split()
    assert found["tags"] == ["O", "B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"]
    spans = [(one["type"], one["text"], text[one["start"] : one["end"]]) for one in found["entities"]]
    assert spans == [("PER", "Anna Lee", "Anna Lee"), ("LOC", "New York", "New York")]
    assert found["entities"][0]["probability"] == min(found["probabilities"][1:3])
    table = pd.read_csv(io.StringIO(sent), keep_default_na=False)
    assert table["entities by word_tag"].tolist() == ["Anna Lee (PER); New York (LOC)"]
    assert (refused, about["answers"], about["classes"][:2]) == ([422] * 3, "tags", ["O", "B-LOC"])
    with running(load_exported(tmp_path / "out")) as server:
        again = server.predict([text]).json["predictions"][0]
    assert again["tags"] == answer["predictions"][0]["tags"]
    np.testing.assert_allclose(again["probabilities"], answer["predictions"][0]["probabilities"], atol=1e-3)


def test_changed_tags_and_figures_are_noticed(made: Path, tmp_path: Path) -> None:
    from whichtune.records.verify import run_fault

    record = next(record for record in open_study(made).records if record.label == "word_tag")
    run = tmp_path / record.run_id
    shutil.copytree(made / "runs" / record.run_id, run)
    assert run_fault(run) is None
    (run / "checksums.json").unlink()
    assert run_fault(run) is None  # figures follow from the tags
    table = pd.read_parquet(run / "predictions.parquet")
    table.assign(prediction=[[0] * len(tags) for tags in table["target"]]).to_parquet(run / "predictions.parquet")
    assert "do not follow" in str(run_fault(run))
    table.assign(prediction=[[0]] * len(table)).to_parquet(run / "predictions.parquet")
    assert "do not follow" in str(run_fault(run))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": ["linear_probe"]}, "'linear_probe' is for classification and regression, not for tagging"),
        ({"methods": ["knn"]}, "'knn' is for classification, not for tagging"),
        ({"baselines": ["majority"]}, "'majority' is for classification, not for tagging"),
        ({"primary_metric": "accuracy"}, "tagging has no accuracy"),
        ({"settings": {"class_weight": "balanced"}}, "'class_weight' is for classification"),
        ({"settings": {"token_position": "mean"}}, "token_position means nothing for tagging"),
        ({"settings": {"head": "native"}}, "head means nothing for tagging"),
        ({"settings": {"tag_token": "middle"}}, "tag_token"),
    ],
)
def test_settings_of_other_tasks_are_refused(
    tiny_gpt2: Path, people: Path, changes: dict[str, object], sentence: str
) -> None:
    value = {
        "task": "tagging",
        "data": {"source": str(people)},
        "model": str(tiny_gpt2),
        "methods": ["head_only"],
        "seeds": [0],
        **changes,
    }
    with pytest.raises(SettingError, match=sentence):
        prepare(parse_study(value, "test"))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_every_method_that_trains_by_steps_goes(
    request: pytest.FixtureRequest, people: Path, tmp_path: Path, family: str
) -> None:
    """Each by its plan and without, to the same losses; and what it saved answers as it did."""
    model = request.getfixturevalue(f"tiny_{family}")
    left = {"peft"} | ({"prefix_tuning"} if family == "bert" else set())  # any type of PEFT's; for decoders
    names = [name for name, method in METHODS.items() if "tagging" in method.tasks and name not in left]
    losses = {}
    for plan in ("auto", "off"):
        value = {
            "task": "tagging",
            "data": {"source": str(people)},
            "model": str(model),
            "methods": [{"method": name, **SMALL.get(name, {})} for name in names],
            "seeds": [0],
            "plan": plan,
            "baselines": [],
            "settings": {"max_steps": 3, "batch_size": 8, "evaluation_interval": 1, "evaluation_batches": 1},
        }
        expansion, _ = prepare(parse_study(value, "test"))
        for spec in expansion.specs:
            result = run_one(spec)
            losses[spec.label, plan] = [point["train_loss"] for point in result.curves if "train_loss" in point]
            assert result.save is not None
            (folder := tmp_path / f"{spec.label}-{plan}").mkdir()
            result.save(folder)  # which has it answer again
    for name in names:
        np.testing.assert_allclose(losses[name, "auto"], losses[name, "off"], atol=2e-5, err_msg=name)


@pytest.mark.slow
def test_a_decoder_that_sees_the_whole_sentence(tiny_gpt2: Path, people: Path) -> None:
    losses = []
    for causal, plan in ((False, "auto"), (False, "off"), (True, "auto")):
        changes = {"causal_mask": causal, "max_steps": 6}
        result = run_one(tag_spec(people, tiny_gpt2, "last_block", plan).model_copy(update=changes))
        losses.append([point["train_loss"] for point in result.curves])
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    assert np.abs(np.array(losses[0]) - losses[2]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("varied", [{"folds": 3}, {"resplit": True}])
def test_each_seed_can_have_a_split_of_its_own(
    tiny_gpt2: Path, people: Path, tmp_path: Path, varied: dict[str, object]
) -> None:
    value = {
        "task": "tagging",
        "data": {"source": str(people), **varied},
        "model": str(tiny_gpt2),
        "methods": ["head_only"],
        "baselines": ["word_tag"],
        "seeds": [0, 1, 2],
        "settings": {"max_steps": 3},
    }
    result = compare(parse_study(value, "test"), tmp_path / "s", threads=1)
    assert {record.status for record in result.records} == {"completed"}
    assert {pair.holds_for for pair in result.summary.comparisons} == {"splits"}


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["entity_f1_macro", "tag_accuracy", "entity_recall"])
def test_any_of_its_metrics_can_decide(made: Path, tiny_gpt2: Path, people: Path, tmp_path: Path, metric: str) -> None:
    """The same runs, judged anew."""
    shutil.copytree(made, folder := tmp_path / "study")
    words = [*words_for(people, tiny_gpt2), "--set", f"primary_metric={metric}", "--out", str(folder)]
    assert "0 to make" in inside(*words).stdout
    summary = open_study(folder).summary
    assert summary.verdict.recommended == "word_tag"
    pair = next(pair for pair in summary.comparisons if {pair.a, pair.b} == {"all_outside", "word_tag"})
    assert (pair.metric, pair.verdict) == (metric, {"word_tag": "better", "all_outside": "worse"}[pair.a])
    small = next(check for check in summary.checks if check.code == "small_class")
    assert small.status == ("passed" if metric == "entity_f1_macro" else "not_applicable")
