"""Virtual tokens: what they compute, checked against the model's own tokens and against PEFT."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models.tiny_families import DECODERS, FAMILIES, VOCABULARY, pad_token, tiny_model
from whichtune.errors import ModelError, SettingError
from whichtune.models.prompts import new_prefix, new_soft_prompt, prompted_hidden_states

COUNT = 5
TEXT = [11, 12, 13, 14, 15]  # as many tokens as virtual ones


def draw() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def texts(model: nn.Module, lengths: tuple[int, ...] = (9, 4, 1)) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids (B, T) and their mask."""
    made = torch.randint(20, VOCABULARY, (len(lengths), max(lengths)), generator=draw())
    mask = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()
    return made.where(mask.bool(), torch.tensor(pad_token(model))), mask


def model_without_dropout(family: str) -> nn.Module:
    return tiny_model(family).eval()


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_soft_prompt_of_real_tokens_is_these_tokens(family: str) -> None:
    """Virtual tokens that begin as a text's are that text: the model's states behind it, positions and all."""
    model = model_without_dropout(family)
    prompt = new_soft_prompt(model, COUNT, "text", draw(), TEXT)
    ids, mask = texts(model)
    before = torch.tensor(TEXT).expand(len(ids), -1)
    expected = model(
        input_ids=torch.cat([before, ids], dim=1),
        attention_mask=torch.cat([torch.ones_like(before), mask], dim=1),
    ).last_hidden_state[:, COUNT:]
    found = prompted_hidden_states(model, prompt, ids, mask)
    assert found.shape == (*ids.shape, expected.shape[-1])
    real = mask.bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-5)
    without = model(input_ids=ids, attention_mask=mask).last_hidden_state
    assert (without - found)[real].abs().max() > 1e-2  # the prompt is seen


@pytest.mark.parametrize("family", DECODERS)
@torch.no_grad()
def test_a_prefix_of_real_tokens_is_these_tokens(family: str) -> None:
    model = model_without_dropout(family)
    prompt = new_prefix(model, COUNT, "text", draw(), TEXT)
    ids, mask = texts(model)
    before = torch.tensor(TEXT).expand(len(ids), -1)
    expected = model(
        input_ids=torch.cat([before, ids], dim=1),
        attention_mask=torch.cat([torch.ones_like(before), mask], dim=1),
    ).last_hidden_state[:, COUNT:]
    found = prompted_hidden_states(model, prompt, ids, mask, use_cache=False)
    real = mask.bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "llama", "opt", "bert"])
@pytest.mark.parametrize("kind", ["soft", "prefix"])
@torch.no_grad()
def test_padding_that_is_attended_to(family: str, kind: str) -> None:
    """Without a mask every token is seen, padding too: the same as a text that ends in these tokens."""
    if (family, kind) == ("bert", "prefix"):
        pytest.skip("an encoder has no prefix")
    model = model_without_dropout(family)
    make: Any = new_soft_prompt if kind == "soft" else new_prefix
    prompt = make(model, COUNT, "text", draw(), TEXT)
    ids, _ = texts(model)
    whole = torch.cat([torch.tensor(TEXT).expand(len(ids), -1), ids], dim=1)
    expected = model(input_ids=whole, attention_mask=torch.ones_like(whole)).last_hidden_state[:, COUNT:]
    torch.testing.assert_close(prompted_hidden_states(model, prompt, ids, None), expected, atol=1e-5, rtol=1e-5)


PEFT_FAMILIES = ["gpt2", "gpt_neo", "llama", "bert"]


@pytest.mark.parametrize("family", PEFT_FAMILIES)
@torch.no_grad()
def test_soft_prompts_are_pefts(family: str) -> None:
    from peft import PromptTuningConfig, get_peft_model

    model = model_without_dropout(family)
    ids = texts(model, (7, 7))[0]
    torch.manual_seed(5)
    ours = new_soft_prompt(model, COUNT, "random", draw())
    torch.manual_seed(5)
    theirs = get_peft_model(model, PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=COUNT)).eval()
    expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, COUNT:]
    torch.testing.assert_close(prompted_hidden_states(model, ours, ids, None), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("projection", [True, False])
@pytest.mark.parametrize("family", PEFT_FAMILIES[:3])
@torch.no_grad()
def test_prefixes_are_pefts(family: str, projection: bool) -> None:
    from peft import PrefixTuningConfig, get_peft_model

    model = model_without_dropout(family)
    ids = texts(model, (7, 7))[0]
    torch.manual_seed(5)
    ours = new_prefix(model, COUNT, "random", draw(), None, projection, 24 if projection else None)
    torch.manual_seed(5)
    config = PrefixTuningConfig(
        task_type="FEATURE_EXTRACTION",
        num_virtual_tokens=COUNT,
        prefix_projection=projection,
        encoder_hidden_size=24 if projection else None,
    )
    theirs = get_peft_model(model, config).eval()
    expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    torch.testing.assert_close(prompted_hidden_states(model, ours, ids, None), expected, atol=1e-6, rtol=1e-6)


def test_first_values() -> None:
    """Vocabulary: embeddings of tokens of the stream, repeatable. A text is repeated or cut to the count."""
    model = model_without_dropout("gpt2")
    words = model.get_input_embeddings().weight

    def first(count: int, kind: Any, text: list[int] | None = None) -> torch.Tensor:
        return new_soft_prompt(model, count, kind, draw(), text).encoder.embedding.weight.detach()

    ids = torch.randint(len(words), (COUNT,), generator=draw())
    assert torch.equal(first(COUNT, "vocabulary"), words[ids])
    assert torch.equal(first(3, "text", [4, 5]), words[[4, 5, 4]])
    assert torch.equal(first(1, "text", [4, 5]), words[[4]])
    assert not torch.equal(first(COUNT, "random"), first(COUNT, "random"))  # from torch's global generator
    with pytest.raises(SettingError, match="no token"):
        first(2, "text", [])


def test_scaled_embeddings_are_scaled() -> None:
    """Gemma multiplies embeddings on the way: a virtual token begins as what a block would get."""
    model = model_without_dropout("gemma3")
    prompt = new_soft_prompt(model, 2, "text", draw(), [4, 5])
    expected = model.get_input_embeddings()(torch.tensor([4, 5]))
    assert torch.equal(prompt.encoder.embedding.weight, expected)
    assert not torch.equal(expected, model.get_input_embeddings().weight[[4, 5]])


@pytest.mark.parametrize("kind", ["soft", "prefix"])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_autocast(kind: str, precision: torch.dtype) -> None:
    make: Any = new_soft_prompt if kind == "soft" else new_prefix
    for family in ("gpt2", "gpt_neo", "llama"):
        model = model_without_dropout(family)
        prompt = make(model, COUNT, "vocabulary", draw())
        ids, mask = texts(model)
        exact = prompted_hidden_states(model, prompt, ids, mask)[mask.bool()]
        with torch.autocast("cpu", precision):
            found = prompted_hidden_states(model, prompt, ids, mask)[mask.bool()]
        torch.testing.assert_close(found.float(), exact, atol=0.1, rtol=0.1)


def test_a_prefix_is_refused_where_it_would_be_lost() -> None:
    with pytest.raises(ModelError, match="choose a decoder, or soft_prompt"):
        new_prefix(model_without_dropout("bert"), COUNT, "random", draw())
    model = model_without_dropout("gpt2")
    prompt = new_prefix(model, COUNT, "random", draw())
    model.gradient_checkpointing_enable()
    with pytest.raises(SettingError, match="turn it off for prefix_tuning"):
        prompted_hidden_states(model, prompt, *texts(model))


def test_gradient_checkpointing_with_a_soft_prompt() -> None:
    model = model_without_dropout("gpt2").requires_grad_(False).train()
    prompt = new_soft_prompt(model, COUNT, "vocabulary", draw())
    ids, mask = texts(model)

    def gradient() -> torch.Tensor:
        torch.manual_seed(0)
        loss = prompted_hidden_states(model, prompt, ids, mask, use_cache=False)[mask.bool()].square().mean()
        return torch.autograd.grad(loss, list(prompt.parameters()))[0]

    plain = gradient()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    torch.testing.assert_close(gradient(), plain)


def test_shapes_without_storage() -> None:
    """On torch's meta device, where nothing can be looked up, the numbers of parameters are the real ones."""
    for family in ("gpt2", "llama", "qwen3"):
        config_class, model_class, settings = FAMILIES[family]
        with torch.device("meta"):
            model = model_class(config_class(vocab_size=VOCABULARY, **settings))
        real = model_without_dropout(family)
        for make in (new_soft_prompt, new_prefix):
            sizes = [sum(p.numel() for p in make(m, COUNT, "text", draw(), TEXT).parameters()) for m in (model, real)]
            assert sizes[0] == sizes[1]


def test_the_published_prompt() -> None:
    """Twelve virtual tokens before GPT-Neo 125M are 9,216 numbers."""
    from transformers import GPTNeoConfig, GPTNeoModel

    config = GPTNeoConfig(num_layers=12, attention_types=[[["global", "local"], 6]], hidden_size=768, num_heads=12)
    with torch.device("meta"):
        model = GPTNeoModel(config)
        prompt = new_soft_prompt(model, 12, "random", draw())
        prefix = new_prefix(model, 12, "random", draw())
    assert sum(p.numel() for p in prompt.parameters()) == 9_216
    assert sum(p.numel() for p in prefix.parameters()) == 9_216 * 2 * 12
