"""Training with virtual tokens equals a plain loop over single texts, and padding changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, GPT2Model

import prompt_oracle
from planned_runs import Cell, is_encoder, run
from test_oracle import RATE, SEED, spec_of
from whichtune.data.splits import load_dataset
from whichtune.errors import SettingError
from whichtune.runs.run import RunResult, run_one

STEPS, COUNT = 10, 6
METHODS = {"soft_prompt": "soft", "prefix_tuning": "prefix"}
# name: (settings of whichtune, arguments of the oracle)
FACTORS = {
    "last real": ({}, {}),
    "first": ({"token_position": "first"}, {"position": "first"}),
    "mean of real, padded": (
        {"token_position": "mean_nonpad", "padding": "right"},
        {"position": "mean_nonpad"},
    ),
    "no causal mask": (
        {"causal_mask": False, "token_position": "mean_nonpad"},
        {"causal": False, "position": "mean_nonpad"},
    ),
}


@pytest.mark.parametrize("plan", [pytest.param("off", marks=pytest.mark.slow), "auto"])
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("method", METHODS)
def test_equals_the_plain_loop(method: str, factor: str, plan: str, tiny_gpt2: Path, mail: Path) -> None:
    settings, arguments = FACTORS[factor]
    own = {"virtual_tokens": COUNT}
    spec = spec_of(
        tiny_gpt2,
        mail,
        plan,
        method=method,
        method_settings=own,
        max_steps=STEPS,
        **{"context_length": 100, **settings},
    )
    result = run_one(spec)
    dataset = load_dataset(spec.data)
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    train, test = dataset.splits["train"], dataset.splits["test"]
    losses, predict = prompt_oracle.train(
        GPT2Model.from_pretrained(tiny_gpt2, dtype=torch.float32),
        2,
        [tokenizer(text)["input_ids"] for text in train.texts],
        torch.tensor(train.labels),
        kind=METHODS[method],
        count=COUNT,
        **{"seed": SEED, "steps": STEPS, "batch": 8, "lr": RATE, **arguments},
    )
    np.testing.assert_allclose([point["train_loss"] for point in result.curves], losses, atol=1e-5)
    logits = predict([tokenizer(text)["input_ids"] for text in test.texts]).numpy()
    stored = result.predictions[result.predictions["split"] == "test"]
    np.testing.assert_allclose(np.stack(stored["logits"]), logits, atol=1e-4)
    if plan == "auto":
        assert result.record.notes == []
        decisions = result.record.shortcuts["decisions"]
        assert decisions["boundary"] == "block 0 of 3: the prompt stands before the first block"
        assert decisions["cache"] == "nothing: the prompt stands before the first block"
        assert decisions["packing"] == "none: each text needs the prompt before it"


def test_texts_leave_room_for_the_prompt(tiny_gpt2: Path, mail: Path) -> None:
    """The model has 128 positions: with 120 virtual tokens, texts are cut to 8; with 128 there is no room."""

    def result(tokens: int) -> RunResult:
        spec = spec_of(tiny_gpt2, mail, "auto", method="soft_prompt", method_settings={"virtual_tokens": tokens})
        return run_one(spec.model_copy(update={"context_length": "model", "max_steps": 1}))

    record = result(120).record
    assert record.context_length == 8
    assert record.notes[0].startswith("Texts cut to 8 tokens")
    with pytest.raises(SettingError, match="128 leave no room for a text"):
        result(128)


@pytest.mark.parametrize("method", METHODS)
def test_operations(method: str, tmp_path: Path) -> None:
    """Virtual tokens are counted, the same by the plan and the plain way, and more of them are more."""
    cell = Cell("gpt2", method, "last_nonpad", "dynamic", False)
    planned, plain = run(cell, "auto", tmp_path), run(cell, "off", tmp_path)
    without = run(Cell("gpt2", "head_only", "last_nonpad", "dynamic", False), "off", tmp_path)
    assert planned.flops == plain.flops > 2 * without.flops


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "family", ["gpt2", "bert", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gpt_neo", "llama"))]
)
@pytest.mark.parametrize("position", ["first", "last_nonpad", "mean_nonpad"])
def test_padding_changes_nothing(family: str, method: str, position: str, tmp_path: Path) -> None:
    """Ten steps over ragged texts, padded to a fixed width and each by itself: the same losses and logits."""
    if method == "prefix_tuning" and is_encoder(family):
        pytest.skip("an encoder has no prefix")
    padded, alone = (
        run(Cell(family, method, position, padding, False), "off", tmp_path) for padding in ("right", "none")
    )
    assert padded.difference(alone) < 1e-5
    assert padded.losses[-1] != padded.losses[0]
