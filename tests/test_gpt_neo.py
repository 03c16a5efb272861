"""GPT-Neo 125M's real shapes: parameter counts, steps of every method, and the plan with local and global attention."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from saved_models import save_with_embedded_tokenizer
from whichtune.methods import METHODS
from whichtune.models.language import LanguageModel
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec

# What the published study's methods train.
PUBLISHED = {
    "head_only": ({}, 50_257 * 768),
    "lora": ({"lora_rank": 8, "lora_targets": ["q_proj", "v_proj"]}, 12 * 2 * 2 * 768 * 8),
    "soft_prompt": ({"virtual_tokens": 12}, 12 * 768),
}


def neo_config(**changes: Any) -> Any:
    """The configuration of GPT-Neo 125M."""
    from transformers import GPTNeoConfig

    values = {
        "hidden_size": 768,
        "num_layers": 12,
        "num_heads": 12,
        "attention_types": [[["global", "local"], 6]],
        "window_size": 256,
        "max_position_embeddings": 2048,
        "vocab_size": 50_257,
        "attention_dropout": 0.0,
        "embed_dropout": 0.0,
        "resid_dropout": 0.0,
    }
    return GPTNeoConfig(**{**values, **changes})


@pytest.mark.parametrize("tied", ["train_both", "untie"])
@pytest.mark.parametrize("method", PUBLISHED)
def test_trainable_parameters_are_the_published_ones(method: str, tied: str) -> None:
    from transformers import AutoModelForCausalLM

    from whichtune.measure.cost import count_parameters
    from whichtune.tasks.text.model import attach

    settings, expected = PUBLISHED[method]
    with torch.device("meta"):
        model = LanguageModel(AutoModelForCausalLM.from_config(neo_config()))
        assert model.tied
        spec = RunSpec(
            label=method,
            task="summarisation",
            task_settings={"tied": tied},
            data=DataSettings(),
            model="",
            method=method,
            method_settings=METHODS[method].Settings(**settings).model_dump(),
            seed=0,
        )
        attach(model, spec)
    trainable, total = count_parameters(model)
    assert trainable == expected
    untied = method == "head_only" and tied == "untie"
    adapters = 0 if method == "head_only" else expected
    assert total == 125_198_592 + adapters + (50_257 * 768 if untied else 0)


@pytest.fixture(scope="module")
def narrow_neo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-Neo of four blocks whose local attention reaches back 8 tokens: far less than the texts are long."""
    from transformers import GPTNeoForCausalLM

    torch.manual_seed(0)
    config = neo_config(
        hidden_size=32,
        num_layers=4,
        num_heads=4,
        attention_types=[[["global", "local"], 2]],
        window_size=8,
        max_position_embeddings=128,
        vocab_size=4096,
        initializer_range=0.2,
    )
    return save_with_embedded_tokenizer(GPTNeoForCausalLM(config), tmp_path_factory.mktemp("neo"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import pandas as pd

    from whichtune.embedded import dataset_path

    texts = pd.read_csv(dataset_path("messages") / "train.csv")["text"].head(60).tolist()
    rows = [
        {"document": " ".join(texts[i : i + 2 + i % 3]), "summary": texts[i][: 10 + 3 * (i % 7)]} for i in range(20)
    ]
    folder = tmp_path_factory.mktemp("pairs")
    for name, part in (("train", rows[:12]), ("validation", rows[12:16]), ("test", rows[16:])):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)), encoding="utf-8")
    return folder


def specs_of(model: Path, data: Path, runs: list[Any], **settings: Any) -> list[RunSpec]:
    from whichtune.compare import prepare
    from whichtune.study.load import parse_study

    shared = {"max_steps": 3, "batch_size": 4, "context_length": 80, "max_target_tokens": 16, "max_new_tokens": 4}
    value = {
        "task": "summarisation",
        "data": str(data),
        "model": str(model),
        "runs": runs,
        "baselines": [],
        "seeds": [0],
        "settings": {**shared, "evaluation_interval": 1, "learning_rate": 1e-3, **settings},
    }
    return prepare(parse_study(value, "test"))[0].specs


METHOD_RUNS = [
    {"method": "head_only", "label": "head_only"},
    {"method": "last_block", "label": "last_block"},
    {"method": "last_two_blocks", "label": "last_two_blocks"},
]


@pytest.mark.parametrize(
    "run",
    [run if run["label"] == "last_block" else pytest.param(run, marks=pytest.mark.slow) for run in METHOD_RUNS],
    ids=lambda run: str(run["label"]),
)
@pytest.mark.slow
def test_the_plan_is_exact_with_local_attention(
    run: dict[str, Any], narrow_neo: Path, pairs: Path, tmp_path: Path
) -> None:
    import numpy as np

    from whichtune.runs.run import run_one

    (spec,) = specs_of(narrow_neo, pairs, [run])
    planned = run_one(spec, cache={"folder": tmp_path})
    plain = run_one(spec.model_copy(update={"plan": "off"}))
    used = planned.record.shortcuts["used"]
    assert used["cached"] == ("read" if run["method"] == "head_only" else "states")
    assert planned.record.notes == plain.record.notes
    for key in ("train_loss", "validation_loss"):
        np.testing.assert_allclose([p[key] for p in planned.curves], [p[key] for p in plain.curves], atol=2e-5)
    np.testing.assert_allclose(planned.predictions["loss"], plain.predictions["loss"], rtol=1e-4)
    assert list(planned.predictions["prediction"]) == list(plain.predictions["prediction"])
    again = run_one(spec, cache={"folder": tmp_path})
    assert not again.record.shortcuts["used"]["cache_made"]
    assert [p["train_loss"] for p in again.curves] == [p["train_loss"] for p in planned.curves]


@pytest.mark.parametrize("kind", ["soft_prompt", "prefix_tuning"])
def test_writing_behind_a_prompt_does_not_depend_on_the_batch(kind: str, narrow_neo: Path, pairs: Path) -> None:
    """Batches of unlike lengths and single texts give the same tokens, the training forward pass the same first one."""
    from whichtune.tasks import TASKS
    from whichtune.tasks.text.model import build_language_model, write_texts, writing_of

    (spec,) = specs_of(narrow_neo, pairs, [{"method": kind, "label": kind, "virtual_tokens": 5}])
    task: Any = TASKS[spec.task]
    model, tokenizer = build_language_model(spec)
    with torch.no_grad():
        for parameter in model.prompt.parameters():
            parameter.mul_(3)
    encoded = task.encode(spec, task.load(spec.data), tokenizer, model.backbone.config)
    part = encoded.splits["train"]
    prompts = [part.prompt(row) for row in range(6)]
    writing = writing_of(spec, encoded.room, tokenizer)
    together = write_texts(spec, model, prompts, writing)
    model.eval()
    for prompt, ids in zip(prompts, together, strict=True):
        assert write_texts(spec, model, [prompt], writing) == [ids]
        tokens = list(prompt)
        with torch.no_grad():
            for _ in range(writing.max_new_tokens):
                found = int(model.head(model.states_of(torch.tensor([tokens]), None)[0, -1]).argmax())
                if found == tokenizer.eos_token_id:
                    break
                tokens.append(found)
        assert tokens[len(prompt) :] == ids


@pytest.mark.slow
def test_steps_of_every_method_on_the_real_shapes(pairs: Path, tmp_path: Path) -> None:
    """Three steps each, cached and plain: equal losses; memory and time are recorded."""
    from whichtune.runs.run import run_one

    folder = tmp_path / "neo"
    folder.mkdir()
    neo_config().save_pretrained(folder)
    import shutil

    from whichtune.embedded import model_path

    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_path() / name, folder / name)
    runs = [
        {"method": "head_only", "label": "both", "tied": "train_both"},
        {"method": "lora", "label": "lora", "lora_rank": 8, "lora_targets": ["q_proj", "v_proj"]},
        {"method": "soft_prompt", "label": "soft_prompt", "virtual_tokens": 12},
        {"method": "prefix_tuning", "label": "prefix_tuning", "virtual_tokens": 12},
        {"method": "full", "label": "full"},
        *METHOD_RUNS,
    ]
    for spec in specs_of(folder, pairs, runs, weights="random", max_new_tokens=2):
        planned = run_one(spec, cache={"folder": tmp_path / "cache"})
        plain = run_one(spec.model_copy(update={"plan": "off"}))
        first, second = ([p["train_loss"] for p in r.curves] for r in (planned, plain))
        assert first == pytest.approx(second, abs=1e-4), spec.label
        assert planned.record.cost.peak_memory_bytes > 0
        assert len(first) == 3
