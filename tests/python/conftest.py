"""One small study with a row that fails, made once from data at hand, with every run's weights kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from whichtune import Result, compare, open_study

ODD = 'too <script>alert("deep")</script> & more'
SETTINGS = {"epochs": 1, "context_length": 30, "learning_rate": 3e-3}


@pytest.fixture(scope="session")
def messages(mail: Path) -> pd.DataFrame:
    return pd.read_csv(mail)


@pytest.fixture(scope="session")
def made(messages: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return compare(
        {"margin": 2.0},
        tmp_path_factory.mktemp("made") / "s",
        name="small",
        data=messages,
        model="embedded",  # no study refuses beforehand what cannot be put into it: that row fails in its runs
        methods=[
            {"method": "lora", "label": ODD, "lora_targets": ["q_prj"], "context_length": 24},
            "head_only",
            "tfidf_word",
            "majority",
        ],
        seeds=[0, 1],
        settings=SETTINGS,
        save="all",
        threads=1,
    )


@pytest.fixture
def copy(made: Result, tmp_path: Path) -> Path:
    """The study's folder, to be spoilt."""
    return Path(shutil.copytree(made.folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def opened(made: Result) -> Result:
    return open_study(made.folder)
