"""Lower blocks once, upper blocks from their states: bit-identical to the whole model on 17 families."""

from __future__ import annotations

import pytest
import torch

from models.ragged import largest_difference, loss_and_gradients, new_head, ragged_batch, trainable_above
from models.tiny_families import FAMILIES, tiny_model
from whichtune.errors import ModelError
from whichtune.models.partition import Partition


def _differences(family: str, boundary: int, mask: bool, noise: float = 0.0) -> tuple[float, float]:
    model = tiny_model(family)
    partition = Partition(model)
    batch, head = ragged_batch(model, mask), new_head()
    every = torch.arange(len(batch.labels))
    position = batch.position("last_real")
    parameters = trainable_above(model, partition.blocks, partition.final_modules, boundary)

    def whole() -> torch.Tensor:
        return model(**batch.inputs).last_hidden_state[every, position]

    expected = loss_and_gradients(whole, head, batch.labels, parameters)
    states = partition.lower([boundary], **batch.inputs)[boundary]
    if boundary == 0:
        # Nothing lies below: there is nothing to feed, and the embeddings take gradients.
        with partition.upper(0):
            return largest_difference(expected, loss_and_gradients(whole, head, batch.labels, parameters))
    with partition.upper(boundary) as feed:
        feed.hidden_states = states + noise * torch.randn_like(states)
        return largest_difference(expected, loss_and_gradients(whole, head, batch.labels, parameters))


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_split_is_bit_identical(family: str, mask: bool) -> None:
    for boundary in (0, 2, 4):
        assert _differences(family, boundary, mask) == (0.0, 0.0), boundary


def test_wrong_states_are_noticed() -> None:
    logits, gradients = _differences("gpt2", 2, True, noise=1e-3)
    assert logits > 1e-5
    assert gradients > 1e-5


@pytest.mark.parametrize("family", ["gpt2", "bert", "deberta"])
def test_one_pass_keeps_several_depths(family: str) -> None:
    model = tiny_model(family)
    partition = Partition(model)
    batch = ragged_batch(model, True)
    together = partition.lower([1, 3, 4], **batch.inputs)
    for depth in (1, 3, 4):
        assert torch.equal(together[depth], partition.lower([depth], **batch.inputs)[depth])


def test_nothing_is_left_behind() -> None:
    model = tiny_model("gpt2")
    partition = Partition(model)
    batch = ragged_batch(model, False)
    states = partition.lower([2], **batch.inputs)[2]
    with pytest.raises(RuntimeError, match="before they were given"), partition.upper(2):
        model(**batch.inputs)

    def fail() -> None:
        with partition.upper(4) as feed:
            feed.hidden_states = states
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    assert model.config.use_cache is True


def test_impossible_boundaries_are_refused() -> None:
    partition = Partition(tiny_model("gpt2"))
    with pytest.raises(ValueError, match="between 0 and 4"):
        partition.lower([5], input_ids=torch.tensor([[1, 2]]))
    with pytest.raises(ValueError, match="between 0 and 4"), partition.upper(-1):
        pass


def test_a_model_that_repeats_its_blocks_is_refused() -> None:
    model = tiny_model("gpt2")
    model.h[2] = model.h[1]
    with pytest.raises(ModelError, match="once each, in order"):
        Partition(model)
