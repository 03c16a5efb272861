"""A model's files are whole, or the study says so before its first run: nothing is drawn at random in their place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from whichtune.compare import prepare
from whichtune.embedded import model_path
from whichtune.errors import ModelError
from whichtune.study.spec import Study

ROWS = "".join(f"{'good fine' if i % 2 else 'bad awful'} thing number {i},{i % 2}\n" for i in range(40))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the embedded model that a test may break."""
    (tmp_path / "d.csv").write_text("text,label\n" + ROWS, encoding="utf-8")
    return Path(shutil.copytree(model_path(), tmp_path / "m"))


def prepared(model: Path, task: str = "classification", **settings: object) -> list[str]:
    """The notes of a study that is ready to start."""
    columns = {} if task == "classification" else {"target_column": "label"}
    study = Study.model_validate(
        {
            "task": task,
            "data": {"source": str(model.parent / "d.csv"), **columns},
            "model": str(model),
            "methods": ["head_only"],
            "baselines": [],
            "device": "cpu",
            "settings": settings,
        }
    )
    return prepare(study)[0].notes


def refused(model: Path, task: str = "classification", **settings: object) -> str:
    with pytest.raises(ModelError) as error:
        prepared(model, task, **settings)
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def rename(model: Path, name: Callable[[str], str | None]) -> None:
    file = model / "model.safetensors"
    kept = {new: tensor for old, tensor in load_file(file).items() if (new := name(old)) is not None}
    save_file(kept, file, metadata={"format": "pt"})


def configure(model: Path, **values: object) -> None:
    file = model / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **values}), encoding="utf-8")


def test_whole_files_are_taken_without_a_word(model: Path) -> None:
    assert prepared(model) == []
    assert prepared(model, "text_to_text") == []


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module."])
@pytest.mark.parametrize("task", ["classification", "text_to_text"])
def test_a_prefix_before_every_name_is_named(model: Path, prefix: str, task: str) -> None:
    rename(model, lambda name: prefix + name)
    assert f"every name in them begins with '{prefix}'" in refused(model, task)


def test_missing_tensors_are_named_and_counted(model: Path) -> None:
    rename(model, lambda name: None if ".h.2." in name else name)
    text = refused(model)
    assert "lack 12 tensors of the model (h.2.attn.c_attn.bias, " in text
    assert "and 9 more" in text


def test_blocks_that_the_files_do_not_have_are_missing(model: Path) -> None:
    configure(model, n_layer=6)
    assert "lack 24 tensors" in refused(model)


def test_tensors_of_no_part_are_told(model: Path) -> None:
    file = model / "model.safetensors"
    save_file({**load_file(file), "transformer.extra.weight": torch.ones(2)}, file, metadata={"format": "pt"})
    (note,) = prepared(model)
    assert "transformer.extra.weight" in note


def test_a_head_that_comes_with_the_model_is_told_with_its_classes(model: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    names = {0: "NEGATIVE", 1: "POSITIVE"}
    own = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2, id2label=names)
    own.save_pretrained(model)
    (note,) = prepared(model)
    assert "brings a classification head of 2 classes (NEGATIVE and POSITIVE), which is not read" in note


def test_an_output_layer_that_is_missing_matters_where_it_is_read(model: Path) -> None:
    configure(model, tie_word_embeddings=False)
    assert prepared(model) == []
    assert "lm_head.weight" in refused(model, "text_to_text")


def break_header(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"\xff" * 64)


def cut(model: Path) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4000])


def lose_a_shard(model: Path) -> None:
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}), encoding="utf-8")


def spoil(model: Path) -> None:
    file = model / "model.safetensors"
    state = load_file(file)
    state["transformer.h.1.mlp.c_fc.weight"][3, 4] = float("nan")
    save_file(state, file, metadata={"format": "pt"})


def lose_the_tokenizer(model: Path) -> None:
    for file in model.glob("token*"):
        file.unlink()


def lose_half_the_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()


def make_an_adapter(model: Path) -> None:
    (model / "adapter_config.json").write_text('{"peft_type": "LORA"}', encoding="utf-8")


def rename_the_file(model: Path) -> None:
    (model / "model.safetensors").rename(model / "weights.safetensors")


@pytest.mark.parametrize(
    "harm, words",
    [
        (break_header, "model.safetensors of"),
        (cut, "model.safetensors of"),
        (lose_a_shard, "(model-00002-of-00002.safetensors)"),
        (spoil, "transformer.h.1.mlp.c_fc.weight"),
        (lose_the_tokenizer, "holds no tokenizer"),
        (lose_half_the_tokenizer, "holds no tokenizer"),
        (make_an_adapter, "adapter"),
        (rename_the_file, "weights.safetensors"),
        (lambda model: configure(model, n_layer="three"), "n_layer"),
        (lambda model: configure(model, n_layer=10**9), "1,000,000,000 blocks"),
        (lambda model: configure(model, n_head=7), "divisible"),
        (lambda model: configure(model, vocab_size=10**9), "other shapes"),
    ],
)
def test_a_broken_model_is_found_before_the_first_run(model: Path, harm: Callable[[Path], None], words: str) -> None:
    harm(model)
    assert words in refused(model)


@pytest.mark.parametrize("values", [{"n_layer": 10**9}, {"n_head": 7}, {"vocab_size": 10**12}])
def test_a_configuration_alone_is_looked_at_too(model: Path, values: dict[str, int]) -> None:
    configure(model, **values)
    refused(model, weights="random")
