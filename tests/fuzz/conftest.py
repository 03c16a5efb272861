"""What is right before it is spoilt, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from command import inside
from fuzz.inputs import Bases


@pytest.fixture(scope="session")
def bases(tiny_gpt2: Path, mail: Path, tmp_path_factory: pytest.TempPathFactory) -> Bases:
    folder = tmp_path_factory.mktemp("finished")
    words = ["--data", str(mail), "--methods", "majority,tfidf_word", "--no-figures"]
    inside("compare", *words, "--out", "study", cwd=folder)
    inside("compare", "--data", str(mail), "--model", str(tiny_gpt2), "--methods", "head_only", "--dry-run")  # imports
    return Bases(mail, tiny_gpt2, folder / "study")
