"""What stands in an exported folder, how it tests itself, and what is refused with nothing half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from command import inside
from handover.conftest import Study
from whichtune.errors import ExportError
from whichtune.handover.export import export_row
from whichtune.handover.push import push_folder
from whichtune.handover.texts import INVENTED
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import find_run


@pytest.fixture(scope="module")
def folder(few_of: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_row(few_of("gpt2"), "lora", tmp_path_factory.mktemp("out") / "lora").folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def told(folder: Path) -> dict:
    return json.loads((folder / "selftest.json").read_text(encoding="utf-8"))


def test_the_card_tells_of_the_study_and_not_its_texts(few_of: Study, folder: Path, mail: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    record = find_run(few_of("gpt2"), "lora")
    for words in (record.run_id, record.fingerprints["data"], "| tfidf_word (baseline) |", "## Cost", "not spam"):
        assert words in card
    assert not [text for text in pd.read_csv(mail)["text"] if text in card]
    needed = (folder / "requirements.txt").read_text(encoding="utf-8")
    assert "transformers==" in needed
    assert "whichtune" not in needed
    assert sorted(path.name for path in folder.parent.iterdir()) == ["lora"]


def test_the_tokenizer_cuts_as_the_study_did(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.model_max_length, tokenizer.truncation_side, tokenizer.padding_side) == (30, "right", "right")
    assert len(tokenizer("word " * 100, truncation=True)["input_ids"]) == 30


def test_the_selftest_finds_changed_weights(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    assert len(told(copy)["texts"]) == 10
    assert told(copy)["answers_from"] == "record"
    assert "Equal: 10 texts" in inside("selftest", str(copy)).stdout
    weights = load_file(copy / "model.safetensors")
    weights["score.weight"] = weights["score.weight"] + 1e-3
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert "NOT equal" in inside("selftest", str(copy), code=1).stdout


def test_a_study_without_texts_is_tested_with_invented_ones(few_of: Study, tmp_path: Path) -> None:
    study = Path(shutil.copytree(few_of("gpt2").path, tmp_path / "study"))
    examples = pd.read_parquet(study / "examples.parquet")
    examples.drop(columns="text").to_parquet(study / "examples.parquet", index=False)
    export_row(study, "lora", tmp_path / "one")
    (study / "examples.parquet").unlink()
    inside("export", str(study), "lora", str(tmp_path / "two"))
    inside("export", str(few_of("gpt2").path), "lora", str(tmp_path / "three"), "--no-texts")
    for name in ("one", "two", "three"):
        assert told(tmp_path / name)["texts"] == list(INVENTED)
        assert told(tmp_path / name)["answers_from"] == "again"
    assert "Equal" in inside("selftest", str(tmp_path / "one")).stdout


def test_a_run_that_was_not_saved_is_made_again(few_of: Study, mail: Path, tmp_path: Path) -> None:
    study = StudyFolder(shutil.copytree(few_of("gpt2").path, tmp_path / "study"))
    record = find_run(study, "lora")
    for file in study.weight_files(record.run_id):
        file.unlink()
    before = {file.name: file.read_bytes() for file in study.run_folder(record.run_id).iterdir()}
    said: list[str] = []
    done = export_row(study, "lora", tmp_path / "out", threads=1, tell=said.append)
    assert len(said) == 1
    assert "made again, which takes about" in said[0]
    assert done.difference is not None
    assert done.difference <= 1e-5
    assert {file.name: file.read_bytes() for file in study.run_folder(record.run_id).iterdir()} == before


BAD = {
    "an unknown row": (["lra"], "did you mean 'lora'"),
    "a seed that is none": (["lora", "--seed", "9"], "has no seed 9"),
    "a form that is none": (["lora", "--format", "gguf"], "--format gguf is none"),
    "a form that the row cannot have": (["prefix_tuning", "--format", "transformers"], "use --format peft"),
    "character n-grams": (["tfidf_char"], "ONNX has no operator"),
    "a baseline for peft": (["tfidf_word", "--format", "peft"], "use --format onnx"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_exported_is_one_sentence(few_of: Study, case: str, tmp_path: Path) -> None:
    (row, *more), words = BAD[case]
    said = inside("export", str(few_of("gpt2").path), row, str(tmp_path / "out"), *more, code=2)
    assert words in said.stderr
    assert said.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_left_alone(few_of: Study, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine", encoding="utf-8")
    said = inside("export", str(few_of("gpt2").path), "lora", str(tmp_path / "out"), code=2)
    assert "not an empty folder" in said.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine.txt"]


def test_neither_weights_nor_data_any_more(few_of: Study, mail: Path, tmp_path: Path) -> None:
    study = StudyFolder(shutil.copytree(few_of("gpt2").path, tmp_path / "study"))
    for file in study.weight_files(find_run(study, "lora").run_id):
        file.unlink()
    hidden = mail.with_suffix(".hidden")
    mail.rename(hidden)
    try:
        said = inside("export", str(study.path), "lora", str(tmp_path / "out"), code=2)
    finally:
        hidden.rename(mail)
    assert "were not saved, and it cannot be made again: There is no data file" in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


@pytest.mark.parametrize("command", [("selftest",), ("push", "owner/name")])
def test_folders_that_are_no_exported_row(copy: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    name, *more = command
    assert "There is no folder" in inside(name, str(tmp_path / "none"), *more, code=2).stderr
    found = told(copy)
    (copy / "selftest.json").write_text(json.dumps({**found, "version": 99}), encoding="utf-8")
    assert "has version 99" in inside(name, str(copy), *more, code=2).stderr
    (copy / "selftest.json").write_text(json.dumps({**found, "texts": 3}), encoding="utf-8")
    assert "'texts' is wrong" in inside(name, str(copy), *more, code=2).stderr
    (copy / "selftest.json").write_text(json.dumps({**found, "base_class": "pipeline"}), encoding="utf-8")
    assert "'base_class' is wrong" in inside(name, str(copy), *more, code=2).stderr
    (copy / "selftest.json").unlink()
    assert "holds no selftest.json" in inside(name, str(copy), *more, code=2).stderr


class Recorder:
    """Takes what the Hub's client would be asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict]] = []

    def create_repo(self, repo_id: str, **more: object) -> None:
        self.asked.append((repo_id, more))

    def upload_folder(self, **more: object) -> None:
        self.asked.append(("upload", more))


def test_push_asks_for_a_private_repository_and_sends_the_folder(folder: Path) -> None:
    hub = Recorder()
    address = push_folder(folder, "me/mine", texts=True, hub=hub)
    assert address == "https://huggingface.co/me/mine"
    (first, made), (_, sent) = hub.asked
    assert (first, made) == ("me/mine", {"private": True, "exist_ok": True})
    assert (sent["repo_id"], sent["folder_path"]) == ("me/mine", str(folder))


def test_what_push_refuses(few_of: Study, folder: Path, tmp_path: Path) -> None:
    """Texts of the study leave by their owner's word alone; the real client, offline, answers in a sentence."""
    assert "--with-texts" in inside("push", str(folder), "me/mine", code=2).stderr
    assert "no name of a repository" in inside("push", str(folder), "a/b/c", "--with-texts", code=2).stderr
    adapter = export_row(few_of("gpt2"), "lora", tmp_path / "adapter", form="peft").folder
    assert "a folder of this machine" in inside("push", str(adapter), "me/mine", "--with-texts", code=2).stderr
    assert "could not be sent" in inside("push", str(folder), "me/mine", "--with-texts", code=2).stderr


@pytest.mark.network
def test_the_hub_refuses_who_has_no_token(folder: Path) -> None:
    from huggingface_hub import HfApi

    with pytest.raises(ExportError, match=r"could not be sent|no token"):
        push_folder(folder, "whichtune-nobody/nothing", texts=True, hub=HfApi(token=False))
