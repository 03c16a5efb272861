"""Cross-entropy in chunks equals torch's own, losses and gradients; operations and memory are counted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from whichtune.measure.cost import count_flops
from whichtune.models.chunked_loss import CHUNK_LOGITS, chunked_cross_entropy, chunked_token_losses

TOKENS, WIDTH, WORDS = 37, 16, 101


def made_up(dtype: torch.dtype = torch.float32, tokens: int = TOKENS) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, weight, bias and labels; large enough that some words are nearly certain."""
    draw = torch.Generator().manual_seed(0)
    hidden, weight, bias = (
        torch.randn(*shape, generator=draw, dtype=dtype).requires_grad_()
        for shape in ((tokens, WIDTH), (WORDS, WIDTH), (WORDS,))
    )
    return hidden, weight, bias, torch.randint(WORDS, (tokens,), generator=draw)


def plain(hidden: Tensor, weight: Tensor, labels: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), labels, reduction="sum")


@pytest.mark.parametrize("chunk", [1, 5, 37, 1000, None])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_torch(chunk: int | None, with_bias: bool) -> None:
    hidden, weight, bias, labels = made_up()
    given = [hidden, weight, bias] if with_bias else [hidden, weight]
    expected = plain(hidden, weight, labels, bias if with_bias else None)
    found = chunked_cross_entropy(hidden, weight, labels, bias if with_bias else None, chunk)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    # Divided as a training step divides, so that the outer gradient is not one.
    for ours, theirs in zip(
        torch.autograd.grad(found / TOKENS, given), torch.autograd.grad(expected / TOKENS, given), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_gradients_in_double_precision() -> None:
    hidden, weight, bias, labels = made_up(torch.float64, tokens=5)
    assert torch.autograd.gradcheck(lambda h, w, b: chunked_cross_entropy(h, w, labels, b, 2), (hidden, weight, bias))


@pytest.mark.parametrize("trains", ["hidden", "weight", "bias"])
def test_only_what_trains_gets_a_gradient(trains: str) -> None:
    hidden, weight, bias, labels = made_up()
    given = {"hidden": hidden, "weight": weight, "bias": bias}
    for name, tensor in given.items():
        tensor.requires_grad_(name == trains)
    chunked_cross_entropy(hidden, weight, labels, bias, 10).backward()
    expected = torch.autograd.grad(plain(hidden, weight, labels, bias), given[trains])[0]
    torch.testing.assert_close(given[trains].grad, expected, rtol=1e-5, atol=1e-5)
    assert all(tensor.grad is None for name, tensor in given.items() if name != trains)


def test_a_kept_graph_can_be_used_again() -> None:
    hidden, weight, bias, labels = made_up()
    loss = chunked_cross_entropy(hidden, weight, labels, bias, 10)
    first = torch.autograd.grad(loss, (hidden, weight, bias), retain_graph=True)
    again = torch.autograd.grad(2 * loss, (hidden, weight, bias))
    for one, two in zip(first, again, strict=True):
        torch.testing.assert_close(2 * one, two)


def test_losses_of_tokens() -> None:
    hidden, weight, bias, labels = made_up()
    expected = F.cross_entropy(F.linear(hidden, weight, bias), labels, reduction="none")
    found = chunked_token_losses(hidden, weight, labels, bias, 10)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)
    assert not found.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(chunked_cross_entropy(hidden, weight, labels, bias, 10), expected.sum())


def test_no_tokens() -> None:
    hidden, weight, bias, labels = made_up(tokens=0)
    loss = chunked_cross_entropy(hidden, weight, labels, bias)
    loss.backward()
    assert loss.item() == 0
    assert all(t.grad is not None and t.grad.shape == t.shape and not t.grad.any() for t in (hidden, weight, bias))
    assert chunked_token_losses(hidden, weight, labels).shape == (0,)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_autocast(precision: torch.dtype) -> None:
    """Losses are those of a linear layer under autocast; gradients are no further from float32's than its are."""
    hidden, weight, bias, labels = made_up()
    given = (hidden, weight, bias)
    exact = torch.autograd.grad(plain(hidden, weight, labels, bias), given)
    with torch.autocast("cpu", precision):
        expected = plain(hidden, weight, labels, bias)
        found = chunked_cross_entropy(hidden, weight, labels, bias, 10)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    usual, ours = torch.autograd.grad(expected, given), torch.autograd.grad(found, given)
    for gradient, theirs, right in zip(ours, usual, exact, strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient - right).abs().max() <= 1.5 * (theirs - right).abs().max()


@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model(tied: bool) -> None:
    """A GPT-2's loss and every gradient, by transformers' own `labels=` and by the chunks; tied weights get the
    sum of what the embeddings and the head contribute."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=WORDS, n_embd=WIDTH, n_layer=2, n_head=2, n_positions=20, tie_word_embeddings=tied)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    ids = torch.randint(WORDS, (3, 12))
    names, parameters = zip(*model.named_parameters(), strict=True)
    assert ("lm_head.weight" in names) is not tied
    usual = model(input_ids=ids, labels=ids).loss
    hidden = model.transformer(ids).last_hidden_state[:, :-1].flatten(0, 1)
    labels = ids[:, 1:].flatten()
    ours = chunked_cross_entropy(hidden, model.lm_head.weight, labels, chunk=7) / len(labels)
    torch.testing.assert_close(ours, usual, rtol=1e-6, atol=0)
    expected, found = torch.autograd.grad(usual, parameters), torch.autograd.grad(ours, parameters)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def test_operations_are_those_of_the_plain_way() -> None:
    hidden, weight, _, labels = made_up()
    products = 2 * TOKENS * WIDTH * WORDS
    assert count_flops(lambda: chunked_cross_entropy(hidden, weight, labels, None, 10)) == 3 * products
    assert count_flops(lambda: chunked_cross_entropy(hidden.detach(), weight, labels, None, 10)) == 2 * products
    assert count_flops(lambda: chunked_token_losses(hidden, weight, labels)) == products


def test_no_tensor_is_larger_than_a_chunk_or_the_weight() -> None:
    """Every tensor that torch makes on the way, forward and backward, in float32 and under autocast."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            made = func(*args, **(kwargs or {}))
            for tensor in made if isinstance(made, (tuple, list)) else [made]:
                if isinstance(tensor, Tensor):
                    self.numbers = max(self.numbers, tensor.numel())
            return made

    tokens, words, width, chunk = 400, 3000, 8, 20
    hidden, weight = nn.Parameter(torch.randn(tokens, width)), nn.Parameter(torch.randn(words, width))
    labels = torch.randint(words, (tokens,))
    for precision in (None, torch.bfloat16):
        with Largest() as largest, torch.autocast("cpu", precision, enabled=precision is not None):
            chunked_cross_entropy(hidden, weight, labels, None, chunk).backward()
        assert largest.numbers == chunk * words
        with Largest() as largest, torch.autocast("cpu", precision, enabled=precision is not None):
            plain(hidden, weight, labels).backward()
        assert largest.numbers == tokens * words  # the check sees what the plain way holds
    assert CHUNK_LOGITS * 4 == 64 * 2**20
