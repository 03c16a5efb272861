"""whichtune's training equals a plain, separately written loop, step by step, for each kind of factor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, GPT2Model

import oracle
from whichtune.data.splits import load_dataset
from whichtune.runs.run import run_one
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec

STEPS, SEED, RATE = 20, 7, 2e-3
# name: (settings of whichtune, arguments of the oracle)
FACTORS = {
    "last non-padding": ({}, {}),
    "first": ({"token_position": "first"}, {"position": "first"}),
    "last of padded": (
        {"token_position": "last", "padding": "right", "attend_to_padding": True, "context_length": 100},
        {"position": "last", "width": 100, "attend_to_padding": True},
    ),
    "mean of padded": (
        {"token_position": "mean", "padding": "right", "context_length": 100},
        {"position": "mean", "width": 100},
    ),
    "mean of real": ({"token_position": "mean_nonpad"}, {"position": "mean_nonpad"}),
    "head only": ({"method": "head_only"}, {"trains": "head_only"}),
    "full": ({"method": "full"}, {"trains": "full"}),
    "lora": (
        {"method": "lora", "method_settings": {"lora_rank": 4, "lora_alpha": 8}},
        {"trains": "lora", "rank": 4, "alpha": 8.0},
    ),
    "no causal mask": (
        {"causal_mask": False, "token_position": "mean_nonpad"},
        {"causal": False, "position": "mean_nonpad"},
    ),
    "accumulation with a short tail": ({"batch_size": 4, "accumulation_steps": 3}, {"batch": 4, "accumulate": 3}),
    "no padding": ({"padding": "none"}, {}),
}


def spec_of(model: Path, data: Path, plan: str, **changes: object) -> RunSpec:
    settings = {
        "label": "run",
        "data": DataSettings(source=str(data)),
        "model": str(model),
        "method": "last_block",
        "token_position": "last_nonpad",
        "padding": "dynamic",
        "context_length": 128,
        "epochs": 50,
        "max_steps": STEPS,
        "batch_size": 8,
        "learning_rate": RATE,
        "schedule": "constant",
        "warmup_steps": 0,
        "gradient_clip": None,
        "evaluation_interval": 1,
        "evaluation_batches": 1,
        "seed": SEED,
        "plan": plan,
        **changes,
    }
    return RunSpec(**settings)


@pytest.mark.parametrize("plan", [pytest.param("off", marks=pytest.mark.slow), "auto"])
@pytest.mark.parametrize("factor", FACTORS)
def test_equals_the_plain_loop(
    factor: str, plan: str, tiny_gpt2: Path, mail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHTUNE_CACHE", str(tmp_path))
    settings, arguments = FACTORS[factor]
    spec = spec_of(tiny_gpt2, mail, plan, **settings)
    result = run_one(spec)
    ours = [point["train_loss"] for point in result.curves]

    dataset = load_dataset(spec.data)
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    train, test = dataset.splits["train"], dataset.splits["test"]
    # The oracle classifies the texts it is given; test texts ride along and are never drawn for training.
    model = GPT2Model.from_pretrained(tiny_gpt2, dtype=torch.float32, attn_implementation="eager")
    losses, predict = oracle.train(
        model,
        2,
        [tokenizer(text)["input_ids"] for text in train.texts],
        torch.tensor(train.labels),
        **{"seed": SEED, "steps": STEPS, "batch": 8, "lr": RATE, "trains": "last_block", **arguments},
    )
    np.testing.assert_allclose(ours, losses, atol=1e-5)
    logits = predict([tokenizer(text)["input_ids"] for text in test.texts]).numpy()
    stored = result.predictions[result.predictions["split"] == "test"]
    np.testing.assert_allclose(np.stack(stored["logits"]), logits, atol=1e-4)
    assert (stored["prediction"] == logits.argmax(1)).all()


def test_the_oracle_notices_a_wrong_learning_rate(tiny_gpt2: Path, mail: Path) -> None:
    """The check can fail: one percent of the learning rate shows in the losses."""
    result = run_one(spec_of(tiny_gpt2, mail, "off", learning_rate=RATE * 1.01))
    right = run_one(spec_of(tiny_gpt2, mail, "off"))
    gap = max(abs(a["train_loss"] - b["train_loss"]) for a, b in zip(result.curves, right.curves, strict=True))
    assert gap > 1e-4
