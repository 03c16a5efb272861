"""One study, made once in a hostile working directory, and copies of it to be spoilt."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from trust.places import MARK, SHADOWS, Place
from whichtune.records.store import StudyFolder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Made by `python -m whichtune`, without a home, beside files that would stand in for the library's."""
    place = Place(tmp_path_factory.mktemp("trust") / "cwd")
    place.cwd.mkdir()
    draw = random.Random(0)
    words = [[f"{name}{i}" for i in range(4)] for name in ("bill", "ship", "return")]
    rows = [
        (" ".join(draw.choice([*words[i % 3], "for", "it", "me"]) for _ in range(8)), "abc"[i % 3]) for i in range(90)
    ]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(place.cwd / "d.csv", index=False)
    for name in SHADOWS:
        (place.cwd / name).write_text(MARK.format(mark=str(place.mark)) + "raise RuntimeError('mine')\n")
    env = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME")}
    env["PYTHONPATH"] = str(Path(__file__).parents[2] / "src")
    command = [sys.executable, "-m", "whichtune", *place.command, "--out", "out"]
    done = subprocess.run(command, cwd=place.cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture
def study(made: Place, tmp_path: Path) -> StudyFolder:
    """A copy to be spoilt."""
    return StudyFolder(shutil.copytree(made.cwd / "out", tmp_path / "out"))
