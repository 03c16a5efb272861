"""Models whose matrices are kept in four or eight bits: what is computed, counted, refused and kept."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertModel

from made_tags import tags_file
from saved_models import save_with_embedded_tokenizer
from whichtune.compare import prepare
from whichtune.errors import ExportError, SettingError
from whichtune.handover.choose import refuse_formless
from whichtune.models import low_precision
from whichtune.models.low_precision import quantise
from whichtune.runs.run import RunResult, run_one
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec

needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")


def specs_of(mail: Path, model: Path, *methods: Any, task: str = "classification", **settings: Any) -> list[RunSpec]:
    value = {
        "data": str(mail), "task": task, "model": str(model), "seeds": [1], "baselines": [], "plan": "off",
        "methods": list(methods),
        "settings": {
            "max_steps": 6, "batch_size": 4, "learning_rate": 5e-3, "evaluation_interval": 1, "schedule": "constant",
            "warmup_steps": 0, "gradient_clip": None, "context_length": 24, **settings,
        },
    }  # fmt: skip
    return prepare(parse_study(value, "a test"))[0].specs


@pytest.fixture(scope="module")
def dequantised(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same BERT with the numbers in float32 that its matrices have in four bits."""
    import bitsandbytes as bnb

    four, model = (BertModel.from_pretrained(tiny_bert, add_pooling_layer=False) for _ in range(2))
    quantise(four, "nf4")
    with torch.no_grad():
        for name, layer in four.named_modules():
            if isinstance(layer, bnb.nn.Linear4bit):
                values = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
                assert (model.get_submodule(name).weight - values).abs().max() > 0
                model.get_submodule(name).weight.copy_(values)
    assert AutoTokenizer.from_pretrained(tiny_bert)
    return save_with_embedded_tokenizer(model, tmp_path_factory.mktemp("dequantised"))


@needs_bitsandbytes
@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "dora", "head_only", "soft_prompt", "norm_only"])
def test_four_bits_compute_what_their_numbers_do(mail: Path, tiny_bert: Path, dequantised: Path, method: str) -> None:
    (spec,) = specs_of(mail, tiny_bert, method, base_precision="nf4")
    (plain,) = specs_of(mail, dequantised, method)
    four, exact = run_one(spec), run_one(plain)
    losses = [[point["train_loss"] for point in result.curves] for result in (four, exact)]
    np.testing.assert_allclose(*losses, atol=1e-5)
    logits = [np.stack(list(result.predictions["logits"])) for result in (four, exact)]
    np.testing.assert_allclose(*logits, atol=1e-4)
    costs = [result.record.cost for result in (four, exact)]
    assert costs[0].flops == costs[1].flops
    assert costs[0].total_parameters == costs[1].total_parameters
    assert costs[0].trainable_parameters == costs[1].trainable_parameters
    assert costs[0].inference_ms_merged is None
    assert any("kept in nf4 (bitsandbytes" in note for note in four.record.notes)


@needs_bitsandbytes
@pytest.mark.slow
def test_tags_are_learnt_in_four_bits_too(tiny_bert: Path, dequantised: Path, tmp_path: Path) -> None:
    """A row of another task that sets it is made so, and no float32 row under its name."""
    people = tags_file(tmp_path)
    (spec,) = specs_of(people, tiny_bert, "lora", task="tagging", base_precision="nf4")
    (plain,) = specs_of(people, dequantised, "lora", task="tagging")
    (other,) = specs_of(people, tiny_bert, "lora", task="tagging")
    found, expected, full = (losses_of(run_one(each)) for each in (spec, plain, other))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(np.array(found) - full).max() > 1e-4


def losses_of(result: RunResult) -> list[float]:
    return [point["train_loss"] for point in result.curves]


@needs_bitsandbytes
@pytest.mark.slow
@pytest.mark.parametrize(("model", "precision"), [("tiny_bert", "int8"), ("tiny_gpt2", "nf4"), ("tiny_gpt2", "int8")])
def test_what_is_saved_gives_the_same_answers(
    mail: Path, model: str, precision: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """And one seed gives one result, near that of float32."""
    path = request.getfixturevalue(model)
    spec, plain = (specs_of(mail, path, "lora", base_precision=each)[0] for each in (precision, "float32"))
    result, again, exact = run_one(spec), run_one(spec), run_one(plain)
    assert result.save is not None
    result.save(tmp_path)  # asks
    found, same, near = (np.stack(list(each.predictions["logits"])) for each in (result, again, exact))
    np.testing.assert_allclose(found, same, atol=1e-6)
    assert 0 < np.abs(found - near).mean() < 1.0
    assert result.record.cost.flops == exact.record.cost.flops


@needs_bitsandbytes
@pytest.mark.slow
def test_the_weights_take_fewer_bytes_and_the_forecast_says_so(mail: Path, tiny_bert: Path) -> None:
    from whichtune.models.loading import load_config
    from whichtune.tasks import task_of

    precisions = ("float32", "int8", "nf4")
    saved = [low_precision.bytes_saved(load_config(tiny_bert), each) for each in precisions]
    weights = 2 * (4 * 32 * 32 + 2 * 32 * 64)
    assert saved[0] == 0
    assert saved[1] == 3 * weights
    assert 3.4 * weights < saved[2] < 3.5 * weights
    specs = [specs_of(mail, tiny_bert, "lora", base_precision=each)[0] for each in precisions]
    memory = [task_of(spec).estimate(spec, task_of(spec).load(spec.data), 1e9).memory_bytes for spec in specs]
    assert [memory[0] - each for each in memory] == saved


@needs_bitsandbytes
@pytest.mark.slow
def test_what_would_change_them_is_refused(mail: Path, tiny_bert: Path) -> None:
    for method in ("full", "last_block", "pissa", "loha", "contrastive"):
        with pytest.raises(SettingError, match="keeps in fewer bits"):
            specs_of(mail, tiny_bert, method, base_precision="nf4")
    (spec,) = specs_of(mail, tiny_bert, "lora", base_precision="nf4")
    with pytest.raises(ExportError, match="which no form keeps"):
        refuse_formless(spec)


def test_without_bitsandbytes_one_sentence_says_what_to_install(
    mail: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(low_precision, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"needs bitsandbytes: pip install 'whichtune\[quantised\]'"):
        specs_of(mail, tiny_bert, "lora", base_precision="nf4")
    assert "base_precision" not in specs_of(mail, tiny_bert, "lora")[0].canonical()
