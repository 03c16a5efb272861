"""A head tied to the embeddings: what trains, what is counted, what is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from whichtune.measure.cost import count_parameters
from whichtune.models.chunked_loss import chunked_cross_entropy
from whichtune.models.heads import Classifier
from whichtune.models.saving import load_trained_state, trained_state
from whichtune.models.tying import Tied, apply_tying, is_tied

WORDS, WIDTH = 101, 16


def language_model(tied: Tied, in_config: bool = True) -> Classifier:
    """A backbone with its language-model head, whose head alone is set to train."""
    torch.manual_seed(0)
    config = GPTNeoConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        num_layers=2,
        num_heads=2,
        attention_types=[[["global", "local"], 1]],
        max_position_embeddings=32,
        tie_word_embeddings=in_config,
    )
    model = GPTNeoForCausalLM(config).eval()
    classifier = Classifier(model.transformer, model.lm_head, "last")
    assert apply_tying(classifier.backbone, classifier.head, tied) is (in_config and tied == "train_both")
    classifier.requires_grad_(False)
    classifier.head.requires_grad_(True)
    return classifier


def loss_of(model: Classifier) -> torch.Tensor:
    ids = torch.arange(12).view(1, -1) % WORDS
    hidden = model.backbone(ids).last_hidden_state[0]
    return chunked_cross_entropy(hidden[:-1], model.head.weight, ids[0, 1:])


@pytest.mark.parametrize("tied", ["train_both", "untie"])
def test_what_trains_is_counted_once(tied: Tied) -> None:
    model = language_model(tied)
    trainable, total = count_parameters(model)
    assert trainable == WORDS * WIDTH
    without = sum(p.numel() for p in model.backbone.parameters())
    assert total == (without if tied == "train_both" else without + WORDS * WIDTH)
    assert is_tied(model.backbone, model.head) is (tied == "train_both")


def test_both_begin_alike_and_part_after_a_step() -> None:
    models = [language_model("train_both"), language_model("untie")]
    losses = [loss_of(model) for model in models]
    torch.testing.assert_close(losses[0], losses[1])
    both, alone = (
        torch.autograd.grad(loss, [model.head.weight])[0] for model, loss in zip(models, losses, strict=True)
    )
    assert (both - alone).abs().max() > 1e-4  # the embeddings' part of the gradient
    assert not models[1].backbone.get_input_embeddings().weight.requires_grad


@pytest.mark.parametrize("tied", ["train_both", "untie"])
def test_saved_and_loaded(tied: Tied, tmp_path: Path) -> None:
    model = language_model(tied)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    loss_of(model).backward()
    optimiser.step()
    state = trained_state(model)
    assert len(state) == 1
    assert sum(t.numel() for t in state.values()) == WORDS * WIDTH
    save_file(state, tmp_path / "weights.safetensors")
    again = language_model(tied)
    assert not torch.equal(loss_of(again), loss_of(model))
    load_trained_state(again, tmp_path / "weights.safetensors")
    assert torch.equal(loss_of(again), loss_of(model))
    assert is_tied(again.backbone, again.head) is (tied == "train_both")


@pytest.mark.parametrize("tied", ["train_both", "untie"])
def test_a_head_of_its_own_is_left_alone(tied: Tied) -> None:
    model = language_model(tied, in_config=False)
    assert not is_tied(model.backbone, model.head)
    assert count_parameters(model)[0] == WORDS * WIDTH


def test_the_published_head() -> None:
    """GPT-Neo 125M's head has 38,597,376 parameters, either way."""
    config = GPTNeoConfig(num_layers=12, attention_types=[[["global", "local"], 6]], hidden_size=768, num_heads=12)
    for tied, twice in (("train_both", 0), ("untie", 1)):
        with torch.device("meta"):
            model = GPTNeoForCausalLM(config)
            shared: nn.Module = model.lm_head
            shared.weight = model.transformer.wte.weight  # on the meta device nothing is tied by loading
            classifier = Classifier(model.transformer, model.lm_head, "last")
            apply_tying(classifier.backbone, classifier.head, tied)  # type: ignore[arg-type]
        classifier.requires_grad_(False)
        classifier.head.requires_grad_(True)
        assert count_parameters(classifier) == (38_597_376, 125_198_592 + twice * 38_597_376)
