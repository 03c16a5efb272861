"""Rows on pairs of texts, and rows that foretell numbers or sets of labels, where whichtune is not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from handover.conftest import load_plainly
from made_labels import labels_file
from made_numbers import numbers_file
from made_pairs import made_pairs, save_bert
from serve.running import running
from whichtune.compare import compare
from whichtune.errors import ExportError
from whichtune.handover.export import FormName, export_row
from whichtune.handover.selftest import run_selftest
from whichtune.handover.serve.exported import load_exported
from whichtune.handover.serve.rows import load, pick
from whichtune.handover.told import read_told
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import find_run, open_run
from whichtune.study.fields import columns_of, fields_of
from whichtune.study.load import parse_study

SETTINGS = {"epochs": 1, "learning_rate": 3e-3, "context_length": 40}
Made = Callable[[str], StudyFolder]


@pytest.fixture(scope="module")
def made(tiny_gpt2: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A study of each kind, made when it is first asked for; texts of two fields in `pairs` and `words`."""
    place, studies = tmp_path_factory.mktemp("others"), {}
    pairs = made_pairs(60)
    pairs.to_csv(place / "pairs.csv", index=False)
    words = " ".join(pairs["premise"] + " " + pairs["hypothesis"]).split()
    two = {"data": {"source": str(place / "pairs.csv"), "text_column": ["premise", "hypothesis"]}, "baselines": []}
    scores = {"source": str(numbers_file(place, 60)), "label_column": "score"}
    native = [{"method": "lora", "label": "native", "head": "native"}]
    numbers = [{"method": "lora", "label": "lora head", "lora_head": True}, *native]
    values: Mapping[str, dict[str, Any]] = {
        "numbers": {"task": "regression", "data": scores, "runs": numbers, "baselines": ["ridge_word"]},
        "labels": {"task": "multilabel", "data": str(labels_file(place)), "baselines": ["labels_word"]},
        "words": {**two, "baselines": ["tfidf_word"]},
        "pairs": {**two, "model": str(save_bert(place / "bert", words)), "runs": native},
    }

    def study(kind: str) -> StudyFolder:
        if kind not in studies:
            value = {"model": str(tiny_gpt2), "methods": ["lora"], "seeds": [0], "settings": SETTINGS, **values[kind]}
            result = compare(parse_study(value, kind), place / f"study-{kind}", save="all", threads=1)
            assert {record.status for record in result.records} == {"completed"}, [r.error for r in result.records]
            studies[kind] = StudyFolder(result.folder)
        return studies[kind]

    return study


def asked(study: StudyFolder, row: str) -> tuple[list[str], pd.DataFrame]:
    """All test texts of a study, and what `predict` says of them."""
    examples = study.examples()
    texts = list(examples[examples["split"] == "test"]["text"])
    return texts, open_run(study, find_run(study, row)).answer(texts)


def assert_same_answers(made: Made, cases: list[tuple[str, str, FormName]], out: Path) -> None:
    """Each exported row answers in a process without whichtune, by its card's code, as it does with it."""
    folders = {out / f"{kind}-{row}-{form}": (kind, row, form) for kind, row, form in cases}
    known = {}
    for place, (kind, row, form) in folders.items():
        done = export_row(made(kind), row, place, form=form)
        assert done.form == form
        assert done.difference is not None
        assert done.difference <= read_told(place).tolerance
        assert run_selftest(place).equal
        known[place] = asked(made(kind), row)
    found = load_plainly({place: _as_given(texts) for place, (texts, _) in known.items()})
    for place, (texts, table) in known.items():
        answer = found[place]
        if "numbers" in answer:
            np.testing.assert_allclose(np.ravel(answer["numbers"]), table["prediction"], rtol=1e-5)
            continue
        names = [name for name in table if name.startswith("probability of ")]
        np.testing.assert_allclose(answer["probabilities"], table[names], atol=1e-5, err_msg=place.name)
        if "given" in answer:
            labels = [name.removeprefix("probability of ") for name in names]
            said = [";".join(np.array(labels)[row]) for row in np.array(answer["given"])]
            assert said == list(table["prediction"])
            np.testing.assert_allclose(answer["probabilities"], expit(answer["logits"]), atol=1e-6)
        assert len(texts) == len(answer["probabilities"])


def _as_given(texts: list[str]) -> list[Any]:
    return [fields if len(fields := fields_of(text)) > 1 else text for text in texts]


@pytest.mark.slow
def test_numbers_and_labels_run_without_whichtune(made: Made, tmp_path: Path) -> None:
    cases: list[tuple[str, str, FormName]] = [
        ("numbers", "lora", "transformers"),
        ("numbers", "lora", "onnx"),
        ("numbers", "lora head", "transformers"),
        ("numbers", "native", "transformers"),
        ("numbers", "native", "onnx"),
        ("numbers", "ridge_word", "onnx"),
        ("labels", "lora", "peft"),
        ("labels", "lora", "onnx"),
        ("labels", "labels_word", "onnx"),
    ]
    assert_same_answers(made, cases, tmp_path)
    config = json.loads((tmp_path / "numbers-lora-transformers" / "config.json").read_text(encoding="utf-8"))
    assert (config["problem_type"], config["id2label"]) == ("regression", {"0": "score"})
    config = json.loads((tmp_path / "labels-lora-peft" / "config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "multi_label_classification"
    assert config["label_thresholds"] == find_run(made("labels"), "lora").metrics.validation.thresholds


@pytest.mark.slow
def test_pairs_run_without_whichtune(made: Made, tmp_path: Path) -> None:
    cases: list[tuple[str, str, FormName]] = [
        ("words", "lora", "transformers"),
        ("pairs", "lora", "onnx"),
        ("pairs", "native", "transformers"),
    ]
    assert_same_answers(made, cases, tmp_path)
    told = read_told(tmp_path / "pairs-lora-onnx")
    assert (told.fields, told.inputs[2:]) == (["premise", "hypothesis"], ["token_type_ids"])
    with pytest.raises(ExportError, match="which words its text columns share"):
        export_row(made("words"), "tfidf_word", tmp_path / "refused")
    export_row(made("pairs"), "lora", tmp_path / "invented", texts=False)
    assert run_selftest(tmp_path / "invented").equal


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["numbers", "labels", "pairs"])
def test_what_is_served_is_what_predict_says(made: Made, kind: str, tmp_path: Path) -> None:
    """Of the study and of its exported row: by name in JSON, and in a file's columns."""
    texts, table = asked(made(kind), "lora")
    names = ("premise", "hypothesis") if kind == "pairs" else ("text",)
    file = pd.DataFrame(columns_of(texts, names)).to_csv(index=False)
    export_row(made(kind), "lora", tmp_path / "out", form="onnx")
    for served in (load(pick(made(kind), "lora", None, None), remote_code=False), load_exported(tmp_path / "out")):
        given = [dict(zip(names, fields_of(text), strict=True)) if kind == "pairs" else text for text in texts]
        with running(served) as server:
            found = server.predict(given).json["predictions"]
            sent = server.ask("POST", "/batch", file.encode(), {"Content-Type": "text/csv"})
            about = server.ask("GET", "/metadata").json
            refused = server.predict(["a text" if kind == "pairs" else {"premise": "a"}])
        back = pd.read_csv(io.StringIO(sent.body.decode()), keep_default_na=False)
        assert list(back.columns) == list(table.columns)
        assert (refused.status, about["fields"]) == (422, list(names) if kind == "pairs" else [])
        if kind == "numbers":
            np.testing.assert_allclose([each["number"] for each in found], table["prediction"], rtol=1e-4)
            np.testing.assert_allclose(back["prediction"], table["prediction"], rtol=1e-4)
        elif kind == "labels":
            assert [";".join(each["labels"]) for each in found] == list(table["prediction"])
            assert list(back["prediction"]) == list(table["prediction"])
        else:
            assert [each["label"] for each in found] == list(table["prediction"])
            assert list(back["hypothesis"]) == list(table["hypothesis"])
