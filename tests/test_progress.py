"""What is told while a study runs: how far it is, and what is left, by the pace of the steps alone."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from whichtune.cli.progress import Progress, _Current

STEPS = 40


def step(number: int) -> dict:
    return {"event": "step", "run_id": "r", "step": number, "steps": STEPS, "epoch": number / 20, "train_loss": 0.5}


START = {"event": "start", "run_id": "r", "label": "full", "seed": 3}
END = {"event": "end", "run_id": "r", "status": "completed", "error": None}
STUDY = {"event": "study", "name": "s", "folder": "s", "runs": 2, "complete": 0}


def test_time_left_is_by_the_pace_of_steps_not_of_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may compute its lower blocks for a minute before its first step."""
    clock = iter([0.0, 60.0, 62.0])
    monkeypatch.setattr("whichtune.cli.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    run = _Current("full")
    assert run.seconds_left(1, STEPS) is None
    assert run.seconds_left(11, STEPS) == pytest.approx(0.2 * (STEPS - 11))  # ten steps took two seconds


def test_a_resumed_count_of_steps_has_its_own_pace() -> None:
    run = _Current("full")
    run.first_step = (30, run.began - 1.0)
    assert run.seconds_left(5, STEPS) is None


def test_a_pipe_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whichtune.cli.progress.PLAIN_SECONDS", -1.0)
    now = [0.0]
    monkeypatch.setattr("whichtune.cli.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    out = io.StringIO()
    with Progress(Console(file=out, force_terminal=False, width=200)) as progress:
        for event in (STUDY, START, step(1), step(2), END):
            progress(event)
            now[0] += 20
    assert out.getvalue().splitlines() == [
        "2 runs; 2 to make.",
        "[1/2] full, seed 3  loading",
        "[1/2] full, seed 3  epoch 0.05, step 1/40, loss 0.5000",
        "[1/2] full, seed 3  epoch 0.10, step 2/40, loss 0.5000, 12 min 40 s for this run, "
        "about 26 min 0 s for the study",
        "[1/2] full, seed 3  completed in 1 min 0 s",
    ]


def test_a_terminal_gets_a_line_that_moves() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with Progress(console) as progress:
        for event in (STUDY, START, step(1), step(20)):
            progress(event)
    assert "step 20/40" in out.getvalue()
    assert "\x1b[" in out.getvalue()
