"""One study of every method for each of three families, and plain programs that load what is exported of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saved_models import save_with_embedded_tokenizer
from whichtune.compare import compare
from whichtune.methods import METHODS as ALL_METHODS
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import find_run
from whichtune.study.load import parse_study

FAMILIES = ("gpt2", "bert", "llama")
# Every method but the two that need a setting to be anything.
METHODS = tuple(name for name, each in ALL_METHODS.items() if name not in ("peft", "untuned") and not each.in_words)
# A linear head needs a rate that its features do; sizes suit a model of width 32.
SETTINGS = {
    "epochs": 1,
    "context_length": 30,
    "learning_rate": 3e-3,
    "lora_plus.learning_rate": 3e-4,
    "last_blocks.blocks": 1,
    "soft_prompt.virtual_tokens": 4,
    "p_tuning.virtual_tokens": 4,
    "vera.random_rank": 8,
    "randlora.random_rank": 8,
    "fourierft.frequencies": 100,
    "adalora.initial_rank": 6,
    "adalora.target_rank": 3,
    "adalora.allocation_interval": 2,
}
PLAIN = Path(__file__).with_name("plain_loading.py")

# What the quick tests ask for: a few rows of two families.
FEW = {"gpt2": ("lora", "prefix_tuning"), "bert": ("last_block", "soft_prompt")}
BASELINES = {"gpt2": ["tfidf_word", "tfidf_char"], "bert": []}

Study = Callable[[str], StudyFolder]


def methods_of(family: str) -> list[str]:
    """Prefixes are for decoders, and Llama has no biases."""
    none = {"bert": "prefix_tuning", "llama": "bitfit"}.get(family)
    return [name for name in METHODS if name != none]


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 2 blocks and width 32 with random weights; two heads of keys for four of queries."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    return save_with_embedded_tokenizer(LlamaForCausalLM(config), tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def models(tiny_gpt2: Path, tiny_bert: Path, tiny_llama: Path) -> dict[str, Path]:
    return {"gpt2": tiny_gpt2, "bert": tiny_bert, "llama": tiny_llama}


def makes_studies(
    models: dict[str, Path], mail: Path, factory: pytest.TempPathFactory, few: bool
) -> Callable[[str], StudyFolder]:
    """A family's study with its weights saved; made when it is first asked for."""
    made: dict[str, StudyFolder] = {}

    def study(family: str) -> StudyFolder:
        if family not in made:
            value = {
                "data": str(mail),
                "model": str(models[family]),
                "methods": list(FEW[family]) if few else methods_of(family),
                "baselines": BASELINES[family] if few else [],
                "seeds": [0],
                "settings": {name: value for name, value in SETTINGS.items() if not few or "." not in name},
            }
            out = factory.mktemp(f"study-{family}") / "study"
            result = compare(parse_study(value, family), out, save="all", threads=1)
            assert {record.status for record in result.records} == {"completed"}, [r.error for r in result.records]
            made[family] = StudyFolder(result.folder)
        return made[family]

    return study


@pytest.fixture(scope="session")
def study_of(models: dict[str, Path], mail: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Studies with every method."""
    return makes_studies(models, mail, tmp_path_factory, few=False)


@pytest.fixture(scope="session")
def few_of(models: dict[str, Path], mail: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Studies with the few rows of the quick tests."""
    return makes_studies(models, mail, tmp_path_factory, few=True)


def recorded(study: StudyFolder, label: str) -> tuple[list[str], np.ndarray]:
    """All test texts of a study with the logits (n, C) that were recorded of a row."""
    predictions = study.predictions(find_run(study, label).run_id)
    predictions = predictions[predictions["split"] == "test"]
    examples = study.examples()
    texts = examples[examples["split"] == "test"].set_index("example_id").loc[predictions["example_id"], "text"]
    return list(texts), np.stack(list(predictions["logits"]))


def load_plainly(folders: Mapping[Path, list[str]]) -> dict[Path, dict[str, Any]]:
    """What the code of each folder's own card makes of texts, in one fresh process that cannot import whichtune."""
    request = json.dumps({str(folder): texts for folder, texts in folders.items()})
    own = ("PYTHONPATH", "PYTHONSTARTUP")
    environment = {name: value for name, value in os.environ.items() if name not in own} | {"HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", str(PLAIN)],
        input=request,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads(result.stdout.splitlines()[-1])
    return {folder: found[str(folder)] for folder in folders}
