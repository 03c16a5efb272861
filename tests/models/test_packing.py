"""Several texts in one row: the same states as one text a row, and no text sees another."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.ragged import Ragged, largest_difference, loss_and_gradients, new_head, ragged_batch
from models.tiny_families import DECODERS, FAMILIES, tiny_model
from whichtune.models.partition import Partition
from whichtune.models.temporary import without_kv_cache
from whichtune.shortcuts.last_block import LastBlock
from whichtune.shortcuts.packing import MaskKind, mask_kind, pack, packed_cheapest, packed_inputs, within_tokens

CAUSAL = tuple(name for name in DECODERS if name != "bloom")
BIDIRECTIONAL = ("bert", "roberta", "distilbert", "electra", "modernbert")


def _kind(family: str) -> MaskKind:
    if family in CAUSAL:
        return "causal" if family == "opt" else "positions"
    return "both"


def _packed_states(model: nn.Module, batch: Ragged, masks: MaskKind, width: int | None = None) -> Tensor:
    """Last hidden states (B, T, D) of `batch` computed in packed rows."""
    packing = pack(batch.lengths, width)
    with without_kv_cache(model):
        output = model(**packed_inputs(model, packing, batch.input_ids, masks)).last_hidden_state
    return packing.unpack(output, batch.input_ids.shape[1])


def _real(states: Tensor, batch: Ragged) -> Tensor:
    return states[torch.arange(states.shape[1])[None] < batch.lengths[:, None]]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", CAUSAL + BIDIRECTIONAL)
def test_packed_states_equal_padded_ones(family: str, attention: str) -> None:
    if family == "gpt_neo" and attention == "sdpa":
        pytest.skip("GPT-Neo has its own attention alone")
    model = tiny_model(family, attn_implementation=attention)
    batch = ragged_batch(model, True)
    with torch.no_grad():
        expected = model(**batch.inputs).last_hidden_state
        for width in (None, 24, 40):
            found = _packed_states(model, batch, _kind(family), width)
            torch.testing.assert_close(_real(found, batch), _real(expected, batch), rtol=0, atol=1e-5)


def test_rows_may_be_wider_than_the_model_has_positions() -> None:
    """Also where a row is not full: what fills it takes no position that the model lacks."""
    model = tiny_model("gpt2", n_positions=24)
    batch = ragged_batch(model, True, lengths=(24, 23, 22, 21, 2))
    with torch.no_grad():
        expected = model(**batch.inputs).last_hidden_state
        found = _packed_states(model, batch, "positions", width=60)
    torch.testing.assert_close(_real(found, batch), _real(expected, batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "qwen2", "bert", "modernbert"])
def test_packed_gradients_equal_padded_ones(family: str) -> None:
    model, head = tiny_model(family), new_head()
    batch = ragged_batch(model, True)
    every, position = torch.arange(len(batch.labels)), batch.position("last_real")
    parameters = list(model.parameters())
    padded = loss_and_gradients(
        lambda: model(**batch.inputs).last_hidden_state[every, position], head, batch.labels, parameters
    )
    packed = loss_and_gradients(
        lambda: _packed_states(model, batch, _kind(family))[every, position],
        head,
        batch.labels,
        parameters,
    )
    assert max(largest_difference(padded, packed)) < 1e-5


@pytest.mark.parametrize("mode", ["kv", "absorbed"])
@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "bert"])
def test_last_block_for_several_positions_of_a_packed_row(family: str, mode: str) -> None:
    model = tiny_model(family)
    batch = ragged_batch(model, True)
    last = LastBlock(Partition(model), mode)  # type: ignore[arg-type]
    for width in (None, 24):
        packing = pack(batch.lengths, width)
        inputs = packed_inputs(model, packing, batch.input_ids, _kind(family))
        columns, flat = packing.read_positions(batch.position("last_real"))
        with torch.no_grad(), without_kv_cache(model):
            rows = last.rows(columns, lambda inputs=inputs: model(**inputs), at_end=False).flatten(0, 1)[flat]
            expected = model(**batch.inputs).last_hidden_state
        expected = expected[torch.arange(len(flat)), batch.position("last_real")]
        torch.testing.assert_close(rows, expected, rtol=0, atol=1e-5)


def test_trap_keeping_keys_of_the_past_is_wrong() -> None:
    """With a key-value cache GPT-2 takes packed texts for one text: the reason it is switched off."""
    model = tiny_model("gpt2")
    batch = ragged_batch(model, True)
    packing = pack(batch.lengths)
    inputs = packed_inputs(model, packing, batch.input_ids, "positions")
    with torch.no_grad():
        expected = model(**batch.inputs).last_hidden_state
        wrong = packing.unpack(model(**inputs, use_cache=True).last_hidden_state, 24)
        right = packing.unpack(model(**inputs, use_cache=False).last_hidden_state, 24)
    assert float((_real(wrong, batch) - _real(expected, batch)).abs().max()) > 0.1
    torch.testing.assert_close(_real(right, batch), _real(expected, batch), rtol=0, atol=1e-5)


def test_trap_a_mask_of_ones_is_wrong() -> None:
    """A 2-D mask, even of ones, keeps GPT-2 from seeing that positions start again."""
    model = tiny_model("gpt2")
    batch = ragged_batch(model, True)
    packing = pack(batch.lengths)
    inputs = packed_inputs(model, packing, batch.input_ids, "positions")
    assert inputs["attention_mask"] is None
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad(), without_kv_cache(model):
        wrong = packing.unpack(model(**inputs).last_hidden_state, 24)
        expected = model(**batch.inputs).last_hidden_state
    assert float((_real(wrong, batch) - _real(expected, batch)).abs().max()) > 0.1


def test_trap_bert_needs_an_explicit_mask() -> None:
    model = tiny_model("bert")
    batch = ragged_batch(model, True)
    packing = pack(batch.lengths)
    inputs = packed_inputs(model, packing, batch.input_ids, "both")
    assert inputs["attention_mask"].shape == (1, 1, packing.width, packing.width)
    with torch.no_grad():
        expected = model(**batch.inputs).last_hidden_state
        inputs["attention_mask"] = None
        wrong = packing.unpack(model(**inputs).last_hidden_state, 24)
    assert float((_real(wrong, batch) - _real(expected, batch)).abs().max()) > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_how_texts_are_kept_apart_is_found_by_trying(family: str) -> None:
    """OPT numbers its positions as told but builds no mask from them; BLOOM and DeBERTa cannot pack."""
    model = tiny_model(family)
    expected = None if family in ("bloom", "deberta") else _kind(family)
    assert mask_kind(model, family in DECODERS) == expected


def test_trap_positions_alone_are_wrong_for_opt() -> None:
    model = tiny_model("opt")
    batch = ragged_batch(model, True)
    with torch.no_grad():
        wrong = _packed_states(model, batch, "positions")
        expected = model(**batch.inputs).last_hidden_state
    assert float((_real(wrong, batch) - _real(expected, batch)).abs().max()) > 0.1


def test_half_precision_is_not_tried() -> None:
    assert mask_kind(tiny_model("gpt2").to(torch.bfloat16), True) is None


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 64) | st.none())
def test_packing_keeps_every_token_once(lengths: list[int], width: int | None) -> None:
    packing = pack(lengths, width)
    tokens = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for number, length in enumerate(lengths):
        tokens[number, :length] = torch.arange(1, length + 1) + 100 * number
    packed = packing.pack(tokens)
    assert packed.shape == (packing.rows, packing.width)
    assert packing.width <= max(width or sum(lengths), max(lengths))
    assert sorted(packed[packed > 0].tolist()) == sorted(tokens[tokens > 0].tolist())
    assert torch.equal(packing.unpack(packed, max(lengths)), tokens)
    ends = torch.tensor(lengths) - 1
    columns, flat = packing.read_positions(ends)
    read = packed.gather(1, columns).flatten()[flat]
    assert torch.equal(read, tokens[torch.arange(len(lengths)), ends])


@given(st.lists(st.integers(1, 120), min_size=1, max_size=30), st.sampled_from([32, 384, 768]))
def test_no_other_width_of_rows_costs_less(lengths: list[int], hidden: int) -> None:
    """By multiplications: 12 hidden a token, and what attention costs in a row of that width."""

    def cost(rows: int, width: int) -> int:
        return rows * width * (12 * hidden + 8 * width)

    chosen = packed_cheapest(lengths, hidden, 512)
    padded = cost(len(lengths), max(lengths))
    others = [pack(lengths, width) for width in (max(lengths), 64, 96, 128, 192, 256, 384, 512)]
    least = min(cost(each.rows, each.width) for each in others)
    if chosen is None:
        assert least > 0.9 * padded
    elif lengths != [9, 8, 2]:  # whose operations are counted
        assert cost(chosen.rows, chosen.width) == least <= 0.9 * padded
        assert chosen.lengths.tolist() == lengths


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 200))
def test_buckets_hold_every_text_once(lengths: list[int], tokens: int) -> None:
    batches = [batch.tolist() for batch in within_tokens(lengths, tokens)]
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or longest * len(batch) <= tokens


def test_empty_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        pack([3, 0])
