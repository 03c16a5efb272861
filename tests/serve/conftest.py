"""A small study whose rows are all saved, and a server of two of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.running import Running, running
from whichtune.compare import compare
from whichtune.handover.serve.rows import Served, load, pick
from whichtune.records.store import StudyFolder
from whichtune.study.load import parse_study


@pytest.fixture(scope="session")
def saved(tiny_gpt2: Path, mail: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """head_only with two seeds, words and the majority."""
    value = {
        "data": str(mail),
        "model": str(tiny_gpt2),
        "methods": ["head_only"],
        "baselines": ["tfidf_word", "majority"],
        "seeds": [0, 1],
        "settings": {"epochs": 1, "learning_rate": 3e-3},
    }
    result = compare(parse_study(value, "mail"), tmp_path_factory.mktemp("saved") / "s", save="all", threads=1)
    return StudyFolder(result.folder)


@pytest.fixture(scope="session")
def served(saved: StudyFolder) -> Served:
    return load(pick(saved, "head_only", 1, "tfidf_word"), remote_code=False)


@pytest.fixture(scope="module")
def server(served: Served) -> Iterator[Running]:
    with running(served) as found:
        yield found
