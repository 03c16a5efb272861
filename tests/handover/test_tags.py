"""Rows that tag words, where whichtune is not: in a fresh process by the code of the card, and served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from handover.conftest import load_plainly
from made_tags import tags_file
from whichtune.compare import compare
from whichtune.data.tag_encoding import placed
from whichtune.errors import ExportError
from whichtune.handover.export import FormName, export_row
from whichtune.handover.selftest import run_selftest
from whichtune.handover.told import read_told
from whichtune.models.loading import load_tokenizer, locate
from whichtune.records.store import StudyFolder
from whichtune.records.verify import spec_of
from whichtune.runs.predict import find_run, saved_in
from whichtune.study.load import parse_study
from whichtune.tasks.tagging.predict import loaded_run

Made = Callable[[str], StudyFolder]
LAST = {"method": "full", "label": "last token", "tag_token": "last"}
SEES_ALL = {"method": "last_block", "label": "sees all", "causal_mask": False}
PROMPT = {"method": "soft_prompt", "virtual_tokens": 3}
ROWS = {"gpt2": ["lora", "bitfit", LAST, PROMPT, SEES_ALL], "bert": ["lora", "full", PROMPT], "llama": ["lora"]}


@pytest.fixture(scope="module")
def made(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A family's study, made when it is first asked for. A few of its test sentences are cut."""
    place, studies = tmp_path_factory.mktemp("tags"), {}
    data = tags_file(place, 60)

    def study(family: str) -> StudyFolder:
        if family not in studies:
            value = {
                "task": "tagging",
                "data": str(data),
                "model": str(models[family]),
                "runs": [{"method": row} if isinstance(row, str) else row for row in ROWS[family]],
                "baselines": ["word_tag", "all_outside"],
                "seeds": [0],
                "settings": {"epochs": 1, "learning_rate": 3e-3, "context_length": 20},
            }
            result = compare(parse_study(value, family), place / f"study-{family}", save="all", threads=1)
            assert {record.status for record in result.records} == {"completed"}, [r.error for r in result.records]
            studies[family] = StudyFolder(result.folder)
        return studies[family]

    return study


def words_of(study: StudyFolder, row: str) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
    """The test sentences that are not cut, and those that are; whichtune's own logits (W, C) of the first."""
    record = find_run(study, row)
    spec = spec_of(record)
    examples = study.examples()
    texts = list(examples[examples["split"] == "test"]["text"])
    tokenizer = load_tokenizer(locate(spec.model, spec.revision, spec.weights), spec.remote_code)
    lengths = [len(sentence.tokens) for sentence in placed(texts, tokenizer, "first")]
    texts = [text for text, length in zip(texts, lengths, strict=True) if length <= record.context_length]
    return texts, loaded_run(spec, record, saved_in(study, record))(texts), record.labels


@pytest.mark.slow
def test_tags_run_without_whichtune(made: Made, tmp_path: Path) -> None:
    cases: list[tuple[str, str, FormName]] = [
        ("gpt2", "lora", "transformers"),
        ("gpt2", "lora", "peft"),
        ("gpt2", "lora", "onnx"),
        ("gpt2", "bitfit", "transformers"),
        ("gpt2", "last token", "transformers"),
        ("gpt2", "last token", "onnx"),
        ("gpt2", "soft_prompt", "peft"),
        ("gpt2", "soft_prompt", "onnx"),
        ("gpt2", "sees all", "onnx"),
        ("bert", "lora", "transformers"),
        ("bert", "lora", "peft"),
        ("bert", "full", "onnx"),
        ("bert", "soft_prompt", "peft"),
        ("llama", "lora", "transformers"),
        ("llama", "lora", "peft"),
        ("llama", "lora", "onnx"),
    ]
    known = {}
    for family, row, form in cases:
        place = tmp_path / f"{family}-{row}-{form}"
        done = export_row(made(family), row, place, form=form)
        assert (done.form, done.difference is not None and done.difference < 1e-5) == (form, True), place.name
        assert run_selftest(place).equal
        told = read_told(place)
        assert (told.answers, told.version, told.tag_token) == ("tags", 3, "last" if row == "last token" else "first")
        known[place] = words_of(made(family), row)
    found = load_plainly({place: texts for place, (texts, _, _) in known.items()})
    for place, (texts, logits, labels) in known.items():
        answer, at = found[place], -1 if "last" in place.name else 0
        assert len(texts) > 3
        for row, words, tags, own in zip(answer["logits"], answer["tokens"], answer["tags"], logits, strict=True):
            read = np.array([row[word[at]] for word in words])
            np.testing.assert_allclose(read, own, atol=1e-5 * max(1.0, np.abs(own).max()), err_msg=place.name)
            assert tags == [labels[tag] for tag in own.argmax(axis=1)]
    config = json.loads((tmp_path / "bert-lora-transformers" / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["BertForTokenClassification"]
    assert list(config["id2label"].values()) == labels


@pytest.mark.slow
def test_what_no_form_computes_is_refused(made: Made, tmp_path: Path) -> None:
    for row, form, sentence in (
        ("sees all", "transformers", "see later ones .causal_mask false."),
        ("soft_prompt", "transformers", "virtual tokens stand before every text"),
        ("bitfit", "peft", "bitfit has no adapter"),
        ("word_tag", "auto", "a table of words and their tags"),
        ("all_outside", "auto", "no trained weights"),
    ):
        with pytest.raises(ExportError, match=sentence):
            export_row(made("gpt2"), row, tmp_path / "out", form=form)  # type: ignore[arg-type]
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_texts_that_are_not_the_studys_are_invented(made: Made, tmp_path: Path) -> None:
    export_row(made("bert"), "lora", tmp_path / "out", texts=False)
    told = read_told(tmp_path / "out")
    assert told.texts_from == "invented"
    assert sum(len(text.split()) for text in told.asked) == len(told.logits)
    assert [len(said.split()) for said in told.predictions] == [len(text.split()) for text in told.asked]
    assert run_selftest(tmp_path / "out").equal
