"""The last block for the read positions alone: the whole block's logits and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.ragged import (
    POSITIONS,
    Ragged,
    largest_difference,
    loss_and_gradients,
    new_head,
    ragged_batch,
    trainable_above,
)
from models.tiny_families import FAMILIES, tiny_model
from whichtune.models.partition import Partition
from whichtune.shortcuts.last_block import CannotPrune, LastBlock, Mode

ABSORBED = ("gpt2", "gpt_neo", "opt", "bert", "roberta", "distilbert", "electra")
NEVER = ("bloom", "deberta")
KV = tuple(name for name in FAMILIES if name not in NEVER)


def _pruned_rows(last: LastBlock, model: nn.Module, batch: Ragged, position: Tensor) -> Tensor:
    at_end = bool((position == batch.input_ids.shape[1] - 1).all())
    return last.rows(position[:, None], lambda: model(**batch.inputs), at_end)[:, 0]


def _differences(
    model: nn.Module, mode: Mode, boundary: int, mask: bool, kind: str, wrong: int = 0
) -> tuple[float, float]:
    partition = Partition(model)
    last = LastBlock(partition, mode)
    batch, head = ragged_batch(model, mask), new_head()
    every, position = torch.arange(len(batch.labels)), batch.position(kind)
    parameters = trainable_above(model, partition.blocks, partition.final_modules, boundary)
    expected = loss_and_gradients(
        lambda: model(**batch.inputs).last_hidden_state[every, position], head, batch.labels, parameters
    )
    read = (position - wrong).clamp(min=0)
    found = loss_and_gradients(lambda: _pruned_rows(last, model, batch, read), head, batch.labels, parameters)
    return largest_difference(expected, found)


@pytest.mark.parametrize("mode,family", [("kv", f) for f in KV] + [("absorbed", f) for f in ABSORBED])
def test_pruned_equals_whole(mode: Mode, family: str) -> None:
    for boundary in (2, 3):
        for mask in (False, True):
            for kind in POSITIONS:
                if mask and kind == "last":
                    continue  # a position that the mask hides
                logits, gradients = _differences(tiny_model(family), mode, boundary, mask, kind)
                assert logits < 1e-5, (boundary, mask, kind)
                assert gradients < 1e-5, (boundary, mask, kind)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "llama", "bert", "modernbert"])
def test_pruned_equals_whole_with_eager_attention(family: str) -> None:
    for mask in (False, True):
        model = tiny_model(family, attn_implementation="eager")
        mode: Mode = "absorbed" if family in ABSORBED else "kv"
        assert max(_differences(model, mode, 3, mask, "last_real")) < 1e-5


@pytest.mark.parametrize("mode", ["kv", "absorbed"])
def test_wrong_position_is_noticed(mode: Mode) -> None:
    assert min(_differences(tiny_model("gpt2"), mode, 3, True, "last_real", wrong=1)) > 1e-3


@pytest.mark.parametrize("family", NEVER)
def test_blocks_that_are_not_understood_are_refused(family: str) -> None:
    with pytest.raises(CannotPrune):
        _differences(tiny_model(family), "kv", 3, True, "last_real")


@pytest.mark.parametrize("family", ["llama", "qwen3", "modernbert"])
def test_rotary_keys_are_not_absorbed(family: str) -> None:
    with pytest.raises(CannotPrune, match="not plain linear maps"):
        _differences(tiny_model(family), "absorbed", 3, True, "last_real")


def test_absorption_refuses_adapters() -> None:
    """A fresh adapter adds nothing, so keys look linear; absorbing its base layer would ignore it later."""
    from peft import LoraConfig, get_peft_model

    for family, targets in (("gpt2", ["c_attn"]), ("bert", ["key", "value"])):
        model = tiny_model(family)
        get_peft_model(model, LoraConfig(r=4, target_modules=targets))
        with pytest.raises(CannotPrune, match="not plain linear maps"):
            _differences(model, "absorbed", 3, True, "last_real")


def test_adapters_are_exact_with_grabbed_keys() -> None:
    from peft import LoraConfig, get_peft_model

    model = tiny_model("gpt2")
    get_peft_model(model, LoraConfig(r=4, target_modules=r"h\.3\.(attn\.c_attn|mlp\.c_fc)"))
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.2)
    assert max(_differences(model, "kv", 3, True, "last_real")) < 1e-5


def test_dropout_in_the_last_block_is_refused() -> None:
    model = tiny_model("gpt2").train()
    with pytest.raises(CannotPrune, match="dropout"):
        _differences(model, "kv", 3, True, "last_real")


@pytest.mark.parametrize("family", ["opt", "bert"])
def test_key_bias_gets_a_zero_gradient(family: str) -> None:
    """Without a gradient the optimiser would skip it, weight decay included."""
    model = tiny_model(family)
    partition = Partition(model)
    batch = ragged_batch(model, True)
    rows = _pruned_rows(LastBlock(partition, "absorbed"), model, batch, batch.position("last_real"))
    rows.sum().backward()
    biases = [p for name, p in partition.blocks[-1].named_parameters() if "k" in name and "key.bias" in name]
    biases += [p for name, p in partition.blocks[-1].named_parameters() if "k_proj.bias" in name]
    assert len(biases) == 1
    assert torch.equal(biases[0].grad, torch.zeros_like(biases[0]))


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "bert"])
def test_nothing_is_left_behind(family: str) -> None:
    model = tiny_model(family, **({"resid_dropout": 0.1} if family == "gpt_neo" else {}))
    partition = Partition(model)
    batch = ragged_batch(model, True)
    implementation = model.config._attn_implementation
    last = LastBlock(partition, "absorbed")
    _pruned_rows(last, model, batch, batch.position("first"))
    model.train()
    with pytest.raises(CannotPrune):
        _pruned_rows(last, model, batch, batch.position("first"))
    assert model.config._attn_implementation == implementation
    assert not any({"forward", "_attn"} & set(module.__dict__) for module in model.modules())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    assert last._grabbed is None
    assert last._attention_input is None
