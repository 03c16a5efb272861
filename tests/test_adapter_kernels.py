"""LoRA's layers in one step of autograd: PEFT's outputs, gradients and operations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from whichtune.measure.cost import count_flops
from whichtune.shortcuts.adapter_kernels import AdapterKernels

TINY = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "gpt2": lambda: GPT2Model(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2)),
    "llama": lambda: LlamaModel(LlamaConfig(**TINY, num_attention_heads=4, num_key_value_heads=2)),
}
TARGETS = {"gpt2": ["c_attn", "c_fc", "c_proj"], "llama": ["q_proj", "v_proj", "down_proj"]}


def adapted(family: str, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS[family]().eval()
    config = LoraConfig(r=3, lora_alpha=5, target_modules=TARGETS[family], **settings)
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.3)  # B is zero to begin with, and A would have no gradient
    return model


def loss_of(model: nn.Module) -> Tensor:
    ids = torch.arange(14).view(2, 7)
    states = model(input_ids=ids, use_cache=False).last_hidden_state
    return (states * torch.linspace(-1, 1, states.numel()).sin().view_as(states)).sum()


def gradients(model: nn.Module) -> tuple[float, dict[str, Tensor]]:
    model.zero_grad()
    loss = loss_of(model)
    loss.backward()
    return float(loss.detach()), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}], ids=["lora", "rslora"])
@pytest.mark.parametrize("family", MODELS)
def test_losses_gradients_and_operations_are_those_of_peft(family: str, settings: dict) -> None:
    model = adapted(family, **settings)
    loss, expected = gradients(model)
    operations = count_flops(lambda: loss_of(model))
    kernels = AdapterKernels(model)
    assert len(kernels) == 2 * len(TARGETS[family]) + (2 if family == "gpt2" else 0)  # c_proj: attention's and MLP's
    with kernels.in_place():
        found, gradient = gradients(model)
        assert count_flops(lambda: loss_of(model)) == operations
    assert found == pytest.approx(loss, rel=1e-5)
    assert gradient.keys() == expected.keys()
    assert len(expected) == 2 * len(kernels)
    for name, value in expected.items():
        assert torch.allclose(gradient[name], value, rtol=1e-5, atol=1e-5 * float(value.abs().max())), name
    assert gradients(model)[0] == loss  # PEFT's own again, to the last bit


@pytest.mark.parametrize(
    "settings", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}, {"bias": "all"}], ids=str
)
def test_layers_that_compute_something_else_are_left_alone(settings: dict) -> None:
    """Where the bias of the adapted layers trains, those without one stay plain."""
    model = adapted("gpt2", **settings)
    if settings.get("bias") == "all":  # what `inject_adapter_in_model` leaves to its caller
        for name, parameter in model.named_parameters():
            if name.endswith("base_layer.bias"):
                parameter.requires_grad_(True)
    assert len(AdapterKernels(model)) == 0
    half = adapted("gpt2").to(torch.bfloat16)
    assert len(AdapterKernels(half)) == 0
