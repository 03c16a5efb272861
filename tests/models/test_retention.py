"""The loss of the language model on a text of the user's, before and after training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from whichtune.compare import prepare
from whichtune.errors import DataError, SettingError
from whichtune.runs.run import run_one
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec

TEXT = "The library opens at nine on Saturday, and the meeting was moved from room 4 to room 12. " * 20


def spec_of(mail: Path, model: Path, method: str, sample: Path | None, **settings: Any) -> RunSpec:
    value = {
        "data": str(mail), "model": str(model), "seeds": [0], "baselines": [], "methods": [method],
        "settings": {
            "max_steps": 5, "batch_size": 4, "learning_rate": 1e-2, "context_length": 24,
            "retention_text": None if sample is None else str(sample), **settings,
        },
    }  # fmt: skip
    (spec,) = prepare(parse_study(value, "a test"))[0].specs
    return spec


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    (tmp_path / "sample.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path / "sample.txt"


def plain_loss(model: Path) -> float:
    """By transformers' own loss of each window of the model's 128 positions."""
    causal = AutoModelForCausalLM.from_pretrained(model).eval()
    ids = AutoTokenizer.from_pretrained(model)(TEXT)["input_ids"]
    total, count = 0.0, 0
    for start in range(0, len(ids), 128):
        window = torch.tensor([ids[start : start + 128]])
        with torch.no_grad():
            total += float(causal(window, labels=window).loss) * (window.shape[1] - 1)
        count += window.shape[1] - 1
    return total / count


@pytest.mark.slow
def test_before_is_transformers_loss_and_a_frozen_model_keeps_it(mail: Path, tiny_gpt2: Path, sample: Path) -> None:
    cost = run_one(spec_of(mail, tiny_gpt2, "head_only", sample)).record.cost
    assert cost.retention_loss_before == pytest.approx(plain_loss(tiny_gpt2), abs=1e-5)
    assert cost.retention_loss == pytest.approx(cost.retention_loss_before, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_changes_it(mail: Path, tiny_gpt2: Path, sample: Path, method: str) -> None:
    cost = run_one(spec_of(mail, tiny_gpt2, method, sample)).record.cost
    assert cost.retention_loss_before == pytest.approx(plain_loss(tiny_gpt2), abs=1e-5)
    assert abs(cost.retention_loss - cost.retention_loss_before) > 1e-3


def test_a_run_is_another_with_another_text_wherever_it_lies(mail: Path, tiny_gpt2: Path, sample: Path) -> None:
    first, plain = spec_of(mail, tiny_gpt2, "lora", sample), spec_of(mail, tiny_gpt2, "lora", None)
    moved = sample.with_name("moved.txt")
    moved.write_text(TEXT, encoding="utf-8")
    assert spec_of(mail, tiny_gpt2, "lora", moved).run_id == first.run_id != plain.run_id
    moved.write_text(TEXT + "more", encoding="utf-8")
    assert spec_of(mail, tiny_gpt2, "lora", moved).run_id != first.run_id


def test_what_cannot_be_told_is_refused(mail: Path, tiny_gpt2: Path, tiny_bert: Path, sample: Path) -> None:
    with pytest.raises(SettingError, match="retention_text is for decoders"):
        spec_of(mail, tiny_bert, "lora", sample)
    with pytest.raises(DataError, match="there is no file"):
        spec_of(mail, tiny_gpt2, "lora", sample.with_name("none.txt"))
