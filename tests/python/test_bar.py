"""The bar that scripts and notebooks see: in a terminal, and nowhere that nobody watches."""

from __future__ import annotations

import io
import os
import re
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import pytest

from whichtune import compare
from whichtune.interactive.progress import ProgressBar, wanted_here


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Errors go to a real terminal; afterwards the list holds what it showed."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    shown: list[str] = []
    with open(theirs, "w", encoding="utf-8") as stream, open(ours, "rb", closefd=True) as reader:
        monkeypatch.setattr(sys, "stderr", stream)
        yield shown
        stream.flush()
        os.set_blocking(reader.fileno(), False)
        shown.append((reader.read() or b"").decode())


def study(messages: pd.DataFrame, **more: object) -> dict:
    return {"data": messages, "methods": ["majority", "tfidf_word"], "name": "bar", "threads": 1, **more}


def test_a_terminal_gets_a_bar_of_the_runs(messages: pd.DataFrame, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as shown:
        assert wanted_here()
        compare(**study(messages), out=tmp_path / "s")
    assert "bar:   0%" in shown[0]
    assert re.search(r"tfidf_word: (starting|evaluating)", shown[0])
    assert "bar: 100%" in shown[0]
    with terminal(monkeypatch) as again:
        compare(**study(messages), out=tmp_path / "s")
    assert "%|" not in again[0]  # nothing was left to make


@pytest.mark.parametrize("keywords", [{"progress": False}, {"on_event": lambda event: None}])
def test_no_bar_where_none_is_wanted(
    keywords: dict, messages: pd.DataFrame, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(monkeypatch) as shown:
        compare(**study(messages, **keywords), out=tmp_path / "s")
    assert shown == [""]


@pytest.mark.slow
def test_a_pipe_is_silent_unless_asked(messages: pd.DataFrame, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    assert not wanted_here()
    compare(**study(messages), out=tmp_path / "s")
    assert pipe.getvalue() == ""
    told: list[str] = []
    both = study(messages, progress=True, on_event=lambda event: told.append(event["event"]))
    compare(**both, out=tmp_path / "t")
    assert "100%" in pipe.getvalue()
    assert told.count("end") == 2


def test_the_bar_moves_with_steps_and_tells_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with ProgressBar() as bar:
        bar({"event": "study", "name": "s", "folder": "s", "runs": 4, "complete": 1})
        bar({"event": "start", "run_id": "a", "label": "full", "seed": 3})
        bar({"event": "step", "run_id": "a", "step": 5, "steps": 10, "epoch": 0.5, "train_loss": 0.25})
        assert bar.bar.n == pytest.approx(1 + 0.95 / 2)
        bar({"event": "start", "run_id": "b", "label": "lora", "seed": None})
        bar({"event": "step", "run_id": "b", "step": 10, "steps": 10, "epoch": 1.0})
        assert bar.bar.n == pytest.approx(1 + 0.95 * 1.5)
        bar({"event": "end", "run_id": "b", "status": "out_of_memory", "error": "Out of memory: \x1b[31mred"})
        assert bar.bar.n == pytest.approx(2 + 0.95 / 2)
        bar({"event": "note", "text": "One more seed."})
    text = pipe.getvalue()
    assert "full, seed 3: epoch 0.5, loss 0.250" in text
    assert "lora out of memory: Out of memory: \\x1b[31mred" in text  # shown, not obeyed
    assert "\x1b[31m" not in text
    assert "One more seed." in text
