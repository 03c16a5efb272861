"""A problem whose best learning rates are known: one word of each text decides its label.

On the tiny random GPT-2 the head alone learns it at rates around 0.1 and hardly at all below 0.01; the whole model
learns it between 0.001 and 0.03, does not move below and is destroyed above.
"""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

from whichtune.compare import Result, compare
from whichtune.study.load import parse_study
from whichtune.study.spec import Study

FILLERS = ["the", "a", "to", "of", "in", "and", "for", "on", "at", "by", "we", "you", "they", "it", "is", "was"]
WORDS = {"good": ["thanks", "great", "happy"], "bad": ["refund", "broken", "late"]}
KNOWN_BEST = {"head_only": (0.01, 1.0), "full": (1e-3, 5e-2)}
SPACES = {
    "head_only": {"learning_rate": {"low": 1e-5, "high": 0.4, "scale": "log"}, "weight_decay": None},
    "full": {"learning_rate": {"low": 1e-7, "high": 0.4, "scale": "log"}, "weight_decay": None},
}


def write_data(folder: Path, flip_test: bool = False) -> Path:
    """Given splits of 140, 60 and 60 texts; `flip_test` exchanges the labels of the test split."""
    chance = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    for split, n in (("train", 140), ("validation", 60), ("test", 60)):
        rows = []
        for i in range(n):
            label = ("good", "bad")[i % 2]
            words = [chance.choice(FILLERS) for _ in range(6)]
            words[chance.randrange(6)] = chance.choice(WORDS[label])
            told = {"good": "bad", "bad": "good"}[label] if flip_test and split == "test" else label
            rows.append({"text": " ".join(words), "label": told})
        pd.DataFrame(rows).to_csv(folder / f"{split}.csv", index=False)
    return folder


def known_study(data: Path, model: Path, **keys: object) -> Study:
    value = {
        "data": str(data),
        "model": str(model),
        "methods": ["head_only", "full", "linear_probe"],
        "seeds": [3],
        "baselines": ["majority"],
        "primary_metric": "accuracy",
        "settings": {"epochs": 3},
        "tuning": {"draws": 5, "seed": 5, "spaces": SPACES},
    }
    return parse_study({**value, **keys}, "test")


@pytest.fixture(scope="session")
def known_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("known") / "texts")


@pytest.fixture(scope="session")
def searched(tiny_gpt2: Path, known_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The study with its search, made once."""
    out = tmp_path_factory.mktemp("searched") / "study"
    return compare(known_study(known_data, tiny_gpt2), out, threads=1)
