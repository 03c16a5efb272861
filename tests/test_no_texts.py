"""`texts: false` and `--no-texts`: no text of an example is in any file of a study, made so or changed so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from command import inside
from report.carried import carried
from whichtune.compare import Save, compare
from whichtune.errors import SettingError
from whichtune.evidence.stored import doubts, read_summary
from whichtune.records.store import StudyFolder
from whichtune.records.verify import CHECKSUMS
from whichtune.records.wordless import LEFT_OUT, without_messages
from whichtune.runs.predict import find_run, predict_file
from whichtune.study.load import parse_study
from whichtune.study.spec import Study
from written_texts import study_of

BREAKS = '''
from whichtune.methods.base import register
from whichtune.methods.head_only import HeadOnly


@register
class Breaks(HeadOnly):
    """Fails with a message that quotes a text, as a library may."""

    name = "breaks"

    def remarks(self, model):
        raise ValueError("cannot read {text!r}")
'''


def test_messages_of_libraries_are_left_out_wherever_they_stand():
    record = {
        "spec": {"prompt_text": "ValueError: mine"},
        "notes": ["Self-check: computed plainly (KeyError: 'a text (of mine)').", "Texts cut: 3 in train."],
        "error": "IndexError: no 'text'",
        "shortcuts": {"used": {"cached": "lower blocks"}, "refused": ["packing: OSError: text: more"]},
    }
    told = without_messages(record)
    assert told == {
        "spec": {"prompt_text": "ValueError: mine"},
        "notes": [f"Self-check: computed plainly (KeyError, {LEFT_OUT}).", "Texts cut: 3 in train."],
        "error": f"IndexError, {LEFT_OUT}.",
        "shortcuts": {"used": {"cached": "lower blocks"}, "refused": [f"packing: OSError, {LEFT_OUT}."]},
    }
    assert without_messages(told) == told


def texts_of(folder: Path) -> set[str]:
    """Every string of the data that is a text, of all splits: those of fewer than four words stand in vocabularies."""
    files = [folder] if folder.is_file() else sorted(folder.iterdir())
    tables = [pd.read_csv(f) if f.suffix == ".csv" else pd.read_json(f, lines=True) for f in files]
    cells = [cell for table in tables for name in table for cell in table[name] if name != "label"]
    return {cell for cell in cells if len(cell.split()) >= 4}


def everything(folder: Path) -> Iterator[tuple[Path, str]]:
    """All words of every file, those of tables and of what pages carry among them."""
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        raw = file.read_bytes().decode("utf-8", "replace")
        yield file, raw
        if file.suffix == ".parquet":
            table = pyarrow.parquet.read_table(file)
            yield file, json.dumps(table.to_pylist(), ensure_ascii=False, default=str)
        if file.suffix == ".html":
            yield file, " ".join(data.decode("utf-8", "replace") for data in carried(raw))


def found_in(folder: Path, texts: set[str]) -> set[str]:
    """The files that hold a text, as JSON writes it or as it is."""
    written = texts | {json.dumps(text, ensure_ascii=False)[1:-1] for text in texts}
    return {file.name for file, words in everything(folder) if any(text in words for text in written)}


SAVED: dict[str, Save] = {"classes": "all", "writing": "none"}  # one kind has weights, too


@pytest.fixture(scope="module")
def classes(tiny_gpt2: Path, mail: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Study]:
    """A classification study with a run that fails over a text."""
    place = tmp_path_factory.mktemp("plugin") / "breaks.py"
    place.write_text(BREAKS.replace("{text!r}", sorted(texts_of(mail))[0].replace('"', "'")), encoding="utf-8")

    def get(**changes: Any) -> Study:
        value = {
            "data": str(mail),
            "model": str(tiny_gpt2),
            "methods": ["head_only", "breaks"],
            "baselines": ["tfidf_word"],
            "seeds": [0],
            "settings": {"max_steps": 1},
            "plugins": [str(place)],
            **changes,
        }
        return parse_study(value, "test")

    return get


@pytest.fixture(scope="module")
def writing(tiny_gpt2: Path, notes: Path) -> Callable[..., Study]:
    return lambda **changes: study_of(tiny_gpt2, notes, ["head_only"], baselines=["lead_1"], **changes)


@pytest.fixture(scope="module")
def with_texts(classes: Any, writing: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both kinds of studies, made with their texts."""
    found = {}
    for name, study in (("classes", classes), ("writing", writing)):
        found[name] = tmp_path_factory.mktemp(name) / "s"
        compare(study(), found[name], threads=1, save=SAVED[name])
    return found


@pytest.fixture(scope="module")
def data(mail: Path, notes: Path) -> dict[str, set[str]]:
    return {"classes": texts_of(mail), "writing": texts_of(notes)}


def test_the_search_finds_texts_where_they_are(with_texts, data):
    """What the tests below rest on."""
    found = found_in(with_texts["classes"], data["classes"])
    assert found == {
        "examples.parquet",
        "report.html",
        "run.json",
        "summary.json",
        "table.md",
        "table.csv",
        "table.tex",
    }
    assert found_in(with_texts["writing"], data["writing"]) == {
        "examples.parquet",
        "report.html",
        "predictions.parquet",
    }


@pytest.mark.parametrize("kind", SAVED)
def test_a_study_made_without_texts_holds_none(kind, request, with_texts, data, tmp_path):
    """Nor does it differ otherwise: the same runs, figures and verdict."""
    study = request.getfixturevalue(kind)
    result = compare(study(texts=False), tmp_path / "s", threads=1, save=SAVED[kind])
    assert found_in(result.folder, data[kind]) == set()
    other = read_summary(StudyFolder(with_texts[kind])).summary
    assert [run.run_id for run in result.records] == [run.run_id for run in other.runs]
    assert [run.metrics for run in result.records] == [run.metrics for run in other.runs]
    assert result.summary.study.texts is False
    assert doubts(StudyFolder(result.folder), read_summary(StudyFolder(result.folder))) == []
    assert compare(study(), result.folder, threads=1, save=SAVED[kind]).started == (kind == "classes")
    assert found_in(result.folder, data[kind]) == set()  # and so it stays where a study says nothing of texts


@pytest.mark.parametrize("kind", SAVED)
@pytest.mark.parametrize("how", ["compare", "report"])
def test_a_study_that_had_texts_has_none_afterwards(kind, how, request, with_texts, data, tmp_path):
    """Nothing is made again for it but what failed; runs set aside, and pages that a logger keeps, lose theirs, too."""
    study = request.getfixturevalue(kind)
    folder = StudyFolder(shutil.copytree(with_texts[kind], tmp_path / "s"))
    (folder.path / "mlflow-artifacts" / "1").mkdir(parents=True)
    shutil.copy(folder.path / "report.html", folder.path / "mlflow-artifacts" / "1")
    done = [run for run in read_summary(folder).summary.runs if run.status == "completed"]
    shutil.copytree(folder.run_folder(done[0].run_id), folder.path / "set-aside" / done[0].run_id)
    scores = [str(folder.predictions(run.run_id)["loss"].tolist()) for run in done]
    if how == "compare":
        again = compare(study(texts=False), folder.path, threads=1, save=SAVED[kind])
        assert again.started == (kind == "classes")  # what failed is tried again
    else:
        inside("report", str(folder.path), "--no-texts", "--no-figures")
    assert found_in(folder.path, data[kind]) == set()
    assert doubts(folder, read_summary(folder)) == []
    assert [folder.fault(run.run_id, weights=True) for run in done] == [None] * len(done)
    assert all((folder.run_folder(run.run_id) / CHECKSUMS).is_file() for run in done)
    assert [str(folder.predictions(run.run_id)["loss"].tolist()) for run in done] == scores
    assert {"text", "target"}.isdisjoint(folder.examples().columns)


def test_a_saved_run_answers_without_the_texts_that_it_was_tested_on(with_texts, tmp_path):
    folder = StudyFolder(shutil.copytree(with_texts["classes"], tmp_path / "s"))
    (tmp_path / "new.txt").write_text("call now to win\nsee you at noon\n", encoding="utf-8")
    before = predict_file(folder, find_run(folder, "head_only:0"), tmp_path / "new.txt", None)
    inside("report", str(folder.path), "--no-texts", "--no-figures")
    after = predict_file(folder, find_run(folder, "head_only:0"), tmp_path / "new.txt", None)
    assert list(after["prediction"]) == list(before["prediction"])
    np.testing.assert_allclose(after.iloc[:, 2:], before.iloc[:, 2:], atol=1e-5)


def test_what_was_changed_stays_changed(with_texts, tmp_path):
    """Leaving texts out puts no right checksum on what had a wrong one."""
    folder = StudyFolder(shutil.copytree(with_texts["writing"], tmp_path / "s"))
    run = read_summary(folder).summary.runs[0]
    file = folder.run_folder(run.run_id) / "predictions.parquet"
    table = pd.read_parquet(file)
    table["tokens"] += 1
    table.to_parquet(file, index=False)
    summary = folder.read_json("summary.json")
    folder.write_json("summary.json", {**summary, "runs": summary["runs"][:-1]})
    inside("report", str(folder.path), "--no-texts", "--no-figures")
    told = doubts(folder, read_summary(folder))
    assert any("summary.json was changed" in sentence for sentence in told)
    assert any("its predictions.parquet was changed" in sentence for sentence in told)


def test_texts_of_the_data_come_back_and_written_ones_are_refused(request, with_texts, data, tmp_path):
    for kind in SAVED:
        folder = StudyFolder(shutil.copytree(with_texts[kind], tmp_path / kind))
        inside("report", str(folder.path), "--no-texts", "--no-figures")
        study = request.getfixturevalue(kind)(texts=True)
        if kind == "writing":
            with pytest.raises(
                SettingError, match="kept without what they wrote, which 'texts: true' cannot bring back"
            ):
                compare(study, folder.path, threads=1)
            assert found_in(folder.path, data[kind]) == set()
        else:
            compare(study, folder.path, threads=1, save=SAVED[kind])
            assert "examples.parquet" in found_in(folder.path, data[kind])


@pytest.mark.slow
def test_the_option_says_the_same_as_the_key(mail, tiny_gpt2, data, tmp_path):
    words = ["compare", "--data", str(mail), "--model", str(tiny_gpt2), "--methods", "head_only", "--seeds", "0"]
    words += ["--set", "max_steps=1", "--threads", "1", "--no-figures", "--out", str(tmp_path / "s")]
    told = inside(*words, "--no-texts", "--set", "texts=true", code=2)
    assert told.stderr == (
        "Error: --no-texts leaves texts out, and --set texts=true keeps them: give one of the two.\n"
    )
    assert not (tmp_path / "s").exists()
    inside(*words, "--no-texts")
    assert json.loads((tmp_path / "s" / "study.json").read_text())["texts"] is False
    assert found_in(tmp_path / "s", data["classes"]) == set()
    assert inside("report", str(tmp_path), "--no-texts", code=2).stderr.count("\n") == 1
