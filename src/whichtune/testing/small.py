"""Small real things to try others on: a model of a tiny configuration, a few texts, a study of them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

from whichtune.compare import prepare
from whichtune.embedded import dataset_path, model_path
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec, Study

ROWS = 60
SETTINGS = {
    "epochs": 2,
    "max_steps": 4,
    "batch_size": 8,
    "context_length": 24,
    "learning_rate": 2e-3,
    "evaluation_interval": 1,
    "warmup_steps": 0,
}


def small_model(folder: Path) -> Path:
    """A GPT-2 of three blocks and width 32 with random weights and the embedded tokenizer, as `save_pretrained` writes
    it."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=4096, n_positions=64, n_embd=32, n_layer=3, n_head=4, initializer_range=0.2)
    GPT2LMHeadModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_path() / name, folder / name)
    return folder


def small_data(folder: Path) -> Path:
    """So many of the generated messages, spam or not, as a CSV file."""
    with (dataset_path("messages") / "train.csv").open(encoding="utf-8", newline="") as source:
        rows = list(csv.reader(source))[: ROWS + 1]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "messages.csv").open("w", encoding="utf-8", newline="") as target:
        csv.writer(target).writerows(rows)
    return folder / "messages.csv"


def small_study(folder: Path, **changes: Any) -> Study:
    """A study of these, on which a folder is spent. `changes` are keys of a study file."""
    value: dict[str, Any] = {
        "model": str(small_model(folder / "model")),
        "data": str(small_data(folder / "data")),
        "baselines": [],
        "seeds": [0],
        **changes,
    }
    return parse_study({**value, "settings": {**SETTINGS, **value.get("settings", {})}}, "the contract's study")


def specs_of(study: Study) -> list[RunSpec]:
    """Its runs, every default filled in."""
    return prepare(study)[0].specs
