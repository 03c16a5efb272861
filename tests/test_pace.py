"""What is told of the time for the rest: rows that have not begun count by their own kind, never by quicker ones."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from whichtune.cli.pace import Pace
from whichtune.cli.progress import Progress
from whichtune.records.events import Event


def test_a_row_counts_by_its_own_runs_before_any_other() -> None:
    pace = Pace(6, ["quick", "quick", "slow", "slow", "majority", "other"], ["majority"])
    pace.begin("quick")
    pace.end("quick", 2.0)
    pace.begin("slow")
    # one more of 2 s, one more of 180 s, a baseline of which nothing is known, and a row as the median of both
    assert pace.rest({"slow": 180.0}, 170.0, 1) == pytest.approx(2 + 180 + 0 + 91)


def test_the_rest_takes_no_less_than_what_is_left_of_a_run_under_way() -> None:
    pace = Pace(2, ["slow", "other"])
    pace.spent["quick"] = [2.0, 2.0]
    pace.begin("slow")
    rest = pace.rest({"slow": 190.0}, 180.0, 1)
    assert rest is not None
    assert rest >= 180


def test_baselines_do_not_speak_for_trained_rows() -> None:
    pace = Pace(3, ["majority", "slow", "tfidf"], ["majority", "tfidf"])
    pace.begin("majority")
    pace.end("majority", 0.1)
    pace.begin("slow")
    assert pace.rest({"slow": 100.0}, 90.0, 1) == pytest.approx(0.1)


def test_nothing_is_told_where_nothing_is_known_or_none_waits() -> None:
    assert Pace(2, ["a", "b"]).rest({}, 1.0, 1) is None
    last = Pace(1, ["a"])
    last.begin("a")
    assert last.rest({"a": 5.0}, 1.0, 1) is None


def test_a_search_counts_by_the_median_draw_and_by_how_many_are_made_at_a_time() -> None:
    pace = Pace(5)
    pace.begin("a")
    pace.end("a", 10.0)
    assert pace.rest({}, 1.0, 2) == pytest.approx(4 * 10 / 2)


def test_three_minutes_to_go_are_not_twelve_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quick rows were done first; a slow one is at its second step, and two more of it wait."""
    now = [0.0]
    monkeypatch.setattr("whichtune.cli.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr("whichtune.cli.progress.PLAIN_SECONDS", -1.0)
    waiting = ["quick", "quick", "slow", "slow", "slow"]
    out = io.StringIO()
    events: list[tuple[float, Event]] = [
        (0, {"event": "study", "runs": 5, "complete": 0, "waiting": waiting, "baselines": []}),
        *((4, each) for name in "ab" for each in _run(name, "quick")),
        (0, {"event": "start", "run_id": "c", "label": "slow", "seed": 0}),
        (2, {"event": "step", "run_id": "c", "step": 1, "steps": 61, "epoch": 0.1}),
        (1, {"event": "step", "run_id": "c", "step": 2, "steps": 61, "epoch": 0.2}),
    ]
    with Progress(Console(file=out, force_terminal=False, width=200)) as progress:
        for wait, event in events:
            now[0] += wait
            progress(event)
    assert out.getvalue().splitlines()[-1].endswith("59 s left of this run, about 2 min 4 s for the rest")


def _run(name: str, label: str) -> list[Event]:
    return [
        {"event": "start", "run_id": name, "label": label, "seed": 0},
        {"event": "end", "run_id": name, "status": "completed", "error": None},
    ]
