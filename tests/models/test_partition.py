"""The block list and the modules after it, on 17 families."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.tiny_families import FAMILIES, VOCABULARY, tiny_model
from whichtune.errors import ModelError
from whichtune.models.partition import blocks_of, final_modules, probe

FINAL = {
    "gpt2": ["ln_f"],
    "gpt_neo": ["ln_f"],
    "opt": ["decoder.final_layer_norm"],
    "pythia": ["final_layer_norm"],
    "phi": ["final_layernorm"],
    "bloom": ["ln_f"],
    "modernbert": ["final_norm"],
    **{key: ["norm"] for key in ["llama", "qwen2", "qwen3", "mistral", "gemma3"]},
    **{key: [] for key in ["bert", "roberta", "distilbert", "electra", "deberta"]},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_and_final_modules(family: str) -> None:
    model = tiny_model(family)
    names = {id(module): name for name, module in model.named_modules()}
    assert len(blocks_of(model)) == 4
    assert [names[id(module)] for module in final_modules(model)] == FINAL[family]
    assert probe(model).in_order


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_without_storage_gives_the_same(family: str) -> None:
    """The dry run and the sharing of passes look at a model on the meta device."""
    configuration, kind, settings = FAMILIES[family]
    with torch.device("meta"):
        model = kind(configuration(vocab_size=VOCABULARY, **settings))
        model.pooler = None
    attention = model.config._attn_implementation
    names = {id(module): name for name, module in model.named_modules()}
    assert [names[id(module)] for module in final_modules(model)] == FINAL[family]
    assert probe(model).in_order
    assert model.config._attn_implementation == attention


def test_probe_leaves_the_model_as_it_was() -> None:
    model = tiny_model("gpt2").train()
    model.h[1].eval()
    model.wte.weight.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    modes = [module.training for module in model.modules()]
    flags = [p.requires_grad for p in model.parameters()]
    state = torch.random.get_rng_state()
    final_modules(model)
    assert modes == [module.training for module in model.modules()]
    assert flags == [p.requires_grad for p in model.parameters()]
    assert model.config.use_cache is True
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_wrapped_model_gives_the_same_modules() -> None:
    class Wrapper(nn.Module):
        def __init__(self, backbone: nn.Module) -> None:
            super().__init__()
            self.backbone = backbone
            self.head = nn.Linear(64, 2)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.head(self.backbone(input_ids=input_ids).last_hidden_state[:, -1])

    model = tiny_model("gpt2")
    wrapped = Wrapper(model)
    assert blocks_of(wrapped) is model.h
    assert final_modules(wrapped) == [model.ln_f]


def test_a_tied_language_model_head_is_not_a_final_module() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=100, n_layer=2, n_embd=32, n_head=2, n_positions=32))
    assert final_modules(model) == [model.transformer.ln_f]


def test_a_model_without_blocks_is_refused() -> None:
    with pytest.raises(ModelError, match="no list of transformer blocks"):
        blocks_of(nn.Linear(2, 2))
    from transformers import T5Config, T5Model

    with pytest.raises(ModelError, match="2 lists of 2 blocks"):
        blocks_of(T5Model(T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)))
