"""What is told of the time for a study: right within a third on timings of real ones, without a clock of its own."""

from __future__ import annotations

import io
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from rich.console import Console

from whichtune.cli.pace import Pace, UnderWay
from whichtune.cli.progress import Progress
from whichtune.records.events import Event, Expected

BASELINES = ("majority", "tfidf_word", "tfidf_char")
LATER = 5.0  # seconds into a run: its steps are known, and a line is shown


@dataclass(frozen=True)
class Timed:
    """A run of a real study: when it began and ended, and what it took by its steps alone."""

    label: str
    began: float
    ended: float
    by_steps: float = 0.0


def expected(seconds: float, shared: float, after: float, shares: str) -> Expected:
    return {"seconds": seconds, "shared_seconds": shared, "after": after, "shares": shares}


# MiniLM on 300 SMS, one run at a time on two shared cores: the first row fills the activation cache.
SMS_RUNS = [
    Timed("head_only", 0, 38, 20.3), Timed("head_only", 39, 52, 1.8), Timed("head_only", 53, 68, 1.4),
    Timed("linear_probe", 68, 87, 3.2), Timed("linear_probe", 87, 106, 4.0), Timed("linear_probe", 106, 120, 1.5),
    Timed("last_block", 120, 188, 44.1), Timed("last_block", 188, 271, 54.5), Timed("last_block", 271, 355, 62.2),
    Timed("majority", 355, 356), Timed("tfidf_word", 356, 359), Timed("tfidf_char", 359, 362),
]  # fmt: skip
SMS_EXPECTED = {
    "head_only": expected(199.2, 0.0, 0.0, "a"),
    "linear_probe": expected(199.2, 0.0, 0.0, "a"),
    "last_block": expected(564.5, 398.5, 0.0, "a"),
}
# The embedded model on its messages, two at a time, where another study had left its passes in the cache.
MESSAGES_RUNS = [
    Timed("head_only", 0, 3, 0.7), Timed("head_only", 0, 3, 0.7), Timed("full", 3, 46, 33.9),
    Timed("full", 3, 47, 34.3), Timed("lora", 47, 112, 39.1), Timed("full", 47, 86, 29.6),
    Timed("lora", 86, 159, 57.4), Timed("lora", 113, 170, 40.7), Timed("head_only", 160, 163, 0.6),
    Timed("linear_probe", 163, 166, 0.6), Timed("linear_probe", 166, 170, 0.7),
    Timed("linear_probe", 170, 173, 0.5), Timed("last_block", 170, 177, 2.7), Timed("last_block", 173, 179, 2.8),
    Timed("last_block", 177, 185, 2.8), Timed("last_two_blocks", 180, 197, 11.8),
    Timed("last_two_blocks", 185, 207, 13.4), Timed("last_two_blocks", 198, 219, 15.9),
    Timed("first token", 207, 214, 2.4), Timed("first token", 214, 220, 2.3), Timed("first token", 219, 225, 2.5),
    Timed("random weights", 220, 227, 2.8), Timed("random weights", 225, 238, 6.2),
    Timed("random weights", 227, 241, 6.3), Timed("majority", 238, 239), Timed("tfidf_char", 239, 240),
    Timed("tfidf_word", 240, 241),
]  # fmt: skip
MESSAGES_EXPECTED = {
    "head_only": expected(60.3, 0.0, 0.0, "a"),
    "linear_probe": expected(60.3, 0.0, 0.0, "a"),
    "last_block": expected(143.1, 97.9, 0.0, "a"),
    "last_two_blocks": expected(226.0, 195.7, 0.0, "a"),
    "full": expected(391.6, 391.6, 0.218, "a"),
    "lora": expected(334.1, 334.1, 0.286, "a"),
    "first token": expected(143.1, 97.9, 0.0, "b"),
    "random weights": expected(143.1, 143.1, 0.0, "c"),
}


def at(time: float, runs: list[Timed], known: dict[str, Expected], at_a_time: int) -> float | None:
    """What is told at a time of a study whose forecast came with its second run."""
    pace = Pace(len(runs), [run.label for run in runs], BASELINES)
    events = sorted(
        [(run.began, 1, n) for n, run in enumerate(runs) if run.began <= time]
        + [(run.ended, 0, n) for n, run in enumerate(runs) if run.ended <= time]
    )
    done = 0
    for _, begins, number in events:
        run = runs[number]
        if begins:
            pace.begin(run.label)
            continue
        pace.end(run.label, run.ended - run.began)
        done += 1
        if done == 2:
            pace.forecast(known)
    under_way = [
        UnderWay(run.label, time - run.began, run.by_steps if time - run.began >= LATER else None)
        for run in runs
        if run.began <= time < run.ended
    ]
    return pace.study(under_way, at_a_time)


@pytest.mark.parametrize(
    ("runs", "known", "jobs"),
    [(SMS_RUNS, SMS_EXPECTED, 1), (MESSAGES_RUNS, MESSAGES_EXPECTED, 2)],
    ids=["sms", "messages"],
)
def test_the_time_left_is_right_within_a_third_once_two_runs_are_done(
    runs: list[Timed], known: dict[str, Expected], jobs: int
) -> None:
    end = max(run.ended for run in runs)
    moments = sorted(run.ended + LATER for run in runs if run.label not in BASELINES)[1:]
    told = {time: at(time, runs, known, jobs) for time in moments if end - time > 15}
    assert len(told) > 5
    for time, left in told.items():
        assert left == pytest.approx(end - time, rel=1 / 3), time


def test_a_mean_of_what_is_done_would_be_wrong() -> None:
    """The studies are ones that a mean for each run misjudges, or the test above would show nothing."""
    first = [run.ended - run.began for run in MESSAGES_RUNS[:2]]
    assert sum(first) / 2 * 25 / 2 < 0.3 * 233
    without = at(57, SMS_RUNS, {}, 1)
    assert without is not None
    assert without != pytest.approx(305, rel=1 / 3)


def test_a_row_counts_by_its_own_runs_before_any_other() -> None:
    pace = Pace(6, ["quick", "quick", "slow", "slow", "majority", "other"], ["majority"])
    pace.begin("quick")
    pace.end("quick", 2.0)
    pace.begin("slow")
    # what is left of the slow one, one more of 2 s, one more of 180 s, a baseline of which nothing is known, and a row
    # as the median of both
    left = pace.study([UnderWay("slow", 10.0, 180.0)], 1)
    assert left == pytest.approx(170 + 2 + 180 + 0 + 91)


def test_runs_made_at_a_time_share_what_is_left() -> None:
    pace = Pace(5)
    pace.begin("a")
    pace.end("a", 10.0)
    assert pace.study([], 2) == pytest.approx(20)
    assert pace.study([], 1) == pytest.approx(40)
    pace.begin("a")
    assert pace.study([UnderWay("a", 4.0)], 2) == pytest.approx(
        20
    )  # three more: two of them side by side with this one


def test_baselines_do_not_speak_for_trained_rows() -> None:
    pace = Pace(3, ["majority", "slow", "tfidf"], ["majority", "tfidf"])
    pace.begin("majority")
    pace.end("majority", 0.1)
    assert pace.study([], 1) is None
    pace.begin("slow")
    assert pace.study([UnderWay("slow", 10.0, 100.0)], 1) == pytest.approx(90.1)


def test_nothing_is_told_where_nothing_is_known() -> None:
    assert Pace(2, ["a", "b"]).study([], 1) is None


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
    assert out.getvalue().splitlines()[-1].endswith("59 s for this run, about 3 min 3 s for the study")


def _run(name: str, label: str) -> list[Event]:
    return [
        {"event": "start", "run_id": name, "label": label, "seed": 0},
        {"event": "end", "run_id": name, "status": "completed", "error": None},
    ]
