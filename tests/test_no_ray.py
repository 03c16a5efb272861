"""Without the extra, one sentence says what is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from command import inside
from whichtune.executors import cluster


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_without_ray_one_sentence_says_what_to_install(
    more: list[str], mail: Path, tiny_gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("ray") is not None:  # hide it from the one question that is asked of it
        monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    words = ["compare", "--data", str(mail), "--model", str(tiny_gpt2), "--executor", "ray://head:10001", *more]
    said = inside(*words, "--out", str(tmp_path / "s"), code=2)
    assert said.stderr == f"Error: {cluster.MISSING}\n"
    assert not (tmp_path / "s").exists()


def test_an_unknown_executor_with_an_address_is_named(mail: Path, tmp_path: Path) -> None:
    said = inside("compare", "--data", str(mail), "--executor", "rai://head", "--out", str(tmp_path / "s"), code=2)
    assert "did you mean 'ray'?" in said.stderr
