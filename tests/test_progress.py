"""What is told while a study runs: how far it is, and what is left, by the pace of the steps alone."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from whichtune.progress import Progress, _Current

STEPS = 40


def told(console: Console, *events: dict) -> None:
    with Progress(console) as progress:
        for event in events:
            progress(event)


def step(number: int) -> dict:
    return {"event": "step", "run_id": "r", "step": number, "steps": STEPS, "epoch": number / 20, "train_loss": 0.5}


START = {"event": "start", "run_id": "r", "label": "full", "seed": 3}
END = {"event": "end", "run_id": "r", "status": "completed", "error": None}
STUDY = {"event": "study", "name": "s", "folder": "s", "runs": 2, "complete": 0}


def test_time_left_is_by_the_pace_of_steps_not_of_what_came_before() -> None:
    """A run may compute its lower blocks for a minute before its first step."""
    run = _Current("full")
    run.began -= 60
    assert run.seconds_left(1, STEPS) is None
    run.first_step = (1, time.monotonic() - 2.0)  # ten steps in two seconds
    assert run.seconds_left(11, STEPS) == pytest.approx(0.2 * (STEPS - 11), rel=0.05)


def test_a_resumed_count_of_steps_has_its_own_pace() -> None:
    run = _Current("full")
    run.first_step = (30, time.monotonic() - 1.0)
    assert run.seconds_left(5, STEPS) is None


def test_a_pipe_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whichtune.progress.PLAIN_SECONDS", -1.0)
    out = io.StringIO()
    told(Console(file=out, force_terminal=False, width=200), STUDY, START, step(1), step(2), END)
    lines = out.getvalue().splitlines()
    assert lines[0] == "2 runs; 2 to make."
    assert lines[1] == "[1/2] full, seed 3  loading"
    assert lines[2] == "[1/2] full, seed 3  epoch 0.05, step 1/40, loss 0.5000"
    assert re.fullmatch(r".*step 2/40, loss 0\.5000, \d+(\.\d)? s left of this run", lines[3])
    assert re.fullmatch(r"\[1/2\] full, seed 3  completed in 0\.0 s", lines[4])


def test_a_terminal_gets_a_line_that_moves() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    told(console, STUDY, START, step(1), step(20))
    assert "step 20/40" in out.getvalue()
    assert "\x1b[" in out.getvalue()
