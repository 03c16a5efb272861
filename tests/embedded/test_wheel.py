"""What is embedded reaches the wheel, and keeps it small."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 8_000_000  # bytes of the whole wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, copy)
    (copy / "README.md").touch()
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=copy, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_model_and_the_data_within_the_limit(wheel: Path) -> None:
    assert wheel.stat().st_size <= LIMIT
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"whichtune/embedded/tiny-gpt2/{name}"
        for name in ("model.safetensors", "config.json", "tokenizer.json", "README.md", "CREDITS.tsv")
    }
    for data in ("messages", "support_requests"):
        files = ("train.csv", "validation.csv", "test.csv", "card.md")
        expected |= {f"whichtune/embedded/{data}/{name}" for name in files}
    assert expected <= names
