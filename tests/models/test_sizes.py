"""Sizes and layers that families name or build in their own ways: read right, or told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers

from saved_models import save_with_embedded_tokenizer
from whichtune.compare import prepare
from whichtune.errors import ModelError, SettingError
from whichtune.models.sizes import AFTER_PADDING, feature_width, max_length_of
from whichtune.runs.run import RunResult, run_one
from whichtune.study.load import parse_study

_SMALL = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "num_hidden_layers": 2}
_DECODER = {**_SMALL, "num_key_value_heads": 2, "max_position_embeddings": 64}
_OPT = {**_SMALL, "ffn_dim": 64, "word_embed_proj_dim": 16, "do_layer_norm_before": False}
MAMBA = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}


def saved(family: str, folder: Path, **settings: Any) -> Path:
    """A tiny model of a family with a language model's head, and the embedded tokenizer."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, vocab_size=4096, **settings)
    folder.mkdir()
    return save_with_embedded_tokenizer(transformers.AutoModelForCausalLM.from_config(config), folder)


def made(model: Path, mail: Path, method: str, plan: str = "auto", **settings: Any) -> RunResult:
    study = {
        "data": {"source": str(mail), "train_limit": 40},
        "model": str(model),
        "methods": [method],
        "baselines": [],
        "seeds": [0],
        "plan": plan,
        "settings": {"epochs": 1, "context_length": 12, **settings},
    }
    (spec,) = prepare(parse_study(study, "test"))[0].specs
    return run_one(spec)


def config_of(family: str, **settings: Any) -> Any:
    return transformers.AutoConfig.for_model(family, **settings)


def test_the_longest_text_of_every_name() -> None:
    assert max_length_of(config_of("mpt", max_seq_len=16)) == 16
    assert max_length_of(config_of("gpt2", n_positions=17)) == 17
    assert max_length_of(config_of("llama", max_position_embeddings=18)) == 18
    for family in ("bloom", "mamba", "xlnet"):  # the last says -1
        assert max_length_of(config_of(family)) is None
    for family in ("roberta", "roberta-prelayernorm", "data2vec-text", "camembert"):
        assert max_length_of(config_of(family, max_position_embeddings=16, pad_token_id=1)) == 14


def test_families_that_count_positions_from_the_padding_token_are_known() -> None:
    """All encoders of this transformers whose code has the function that does so."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    place = Path(transformers.__file__).parent / "models"
    counting = set()
    for family in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        folder = place / transformers.models.auto.configuration_auto.model_type_to_module_name(family)
        code = "".join(file.read_text(encoding="utf-8") for file in folder.glob("modeling_*.py"))
        if "create_position_ids_from_input_ids" in code:
            counting.add(family)
    assert counting <= set(AFTER_PADDING), counting - set(AFTER_PADDING)
    assert "roberta" in counting


@pytest.mark.parametrize("method", ["head_only", "lora", "full", "linear_probe"])
def test_states_that_are_narrower_than_the_blocks(method: str, mail: Path, tmp_path: Path) -> None:
    """As OPT 350M's: the head is as wide as what it reads, with every shortcut and without."""
    model = saved("opt", tmp_path / "m", **_OPT, max_position_embeddings=64)
    found = made(model, mail, method)
    plain = made(model, mail, method, plan="off")
    assert found.record.status == "completed", found.record.error
    test, expected = found.record.metrics.test, plain.record.metrics.test
    assert test.loss == pytest.approx(expected.loss, rel=1e-4)
    assert test.accuracy == expected.accuracy
    if method == "head_only":
        assert found.record.cost.trainable_parameters == (feature_width(config_of("opt", **_OPT)) + 1) * 2


def test_a_padding_token_without_a_row(mail: Path, tmp_path: Path) -> None:
    model = saved("llama", tmp_path / "m", **_DECODER)
    right = made(model, mail, "head_only", plan="off").record
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id == 4096
    tokenizer.save_pretrained(model)
    found = made(model, mail, "head_only", plan="off").record
    assert found.error is None
    assert found.metrics == right.metrics  # padding is masked, whichever row it is


def test_another_token_without_a_row_is_named(mail: Path, tmp_path: Path) -> None:
    model = saved("llama", tmp_path / "m", **_DECODER)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    words = {word for text in pd.read_csv(mail)["text"] for word in text.split()[:3]} - set(tokenizer.get_vocab())
    assert tokenizer.add_tokens(sorted(words)) > 9
    tokenizer.save_pretrained(model)
    with pytest.raises(ModelError, match=r"the token 4[0-9]+ of the \w+ text .* have 4,096 rows: .*resize_token"):
        made(model, mail, "head_only")


def test_texts_longer_than_the_model_are_cut_and_longer_settings_refused(mail: Path, tmp_path: Path) -> None:
    model = saved("mpt", tmp_path / "m", d_model=32, n_layers=2, n_heads=4, max_seq_len=16)
    assert made(model, mail, "head_only", context_length="longest").record.context_length == 16
    assert made(model, mail, "head_only", context_length="model").record.context_length == 16
    with pytest.raises(SettingError, match="context_length 17 is more than the 16 tokens"):
        made(model, mail, "head_only", context_length=17)


def test_lora_adapts_a_model_without_attention(mail: Path, tmp_path: Path) -> None:
    model = saved("mamba", tmp_path / "m", **MAMBA)
    record = made(model, mail, "lora", lora_rank=2).record
    assert record.status == "completed", record.error
    assert any("does not adapt out_proj" in note for note in record.notes)
    named = made(model, mail, "lora", lora_rank=2, lora_targets=["in_proj", "x_proj", "dt_proj"]).record
    assert named.cost.trainable_parameters == record.cost.trainable_parameters
    with pytest.raises(SettingError, match="no linear layer 'out_proj'"):
        made(model, mail, "lora", lora_targets=["out_proj"])
    with pytest.raises(SettingError, match="lora_targets: this model has no layers of 'attention'"):
        made(model, mail, "lora", lora_targets="attention")


def test_experts_that_no_adapter_reaches_are_told(mail: Path, tmp_path: Path) -> None:
    model = saved("mixtral", tmp_path / "m", **_DECODER, num_local_experts=4)
    record = made(model, mail, "lora", lora_rank=2).record
    assert record.status == "completed", record.error
    (note,) = [note for note in record.notes if "experts" in note]
    assert "down_proj and gate_up_proj, 88 % of the blocks' frozen parameters" in note
    assert not [note for note in made(model, mail, "full").record.notes if "experts" in note]
