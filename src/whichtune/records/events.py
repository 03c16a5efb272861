"""What happens while a study is made, told as it happens: to progress lines, to loggers, to a caller of `compare`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Required, TypedDict

Kind = Literal[
    "study", "search", "start", "phase", "step", "point", "traceback", "made", "end", "exit", "note", "forecast"
]


class Expected(TypedDict):
    """What a run of a row is predicted to take: alone, and where another run has made the pass that all runs with the
    same `shares` have in common; `after` is the share of it that follows the last step. Against one another these
    seconds are right, by the clock they need not be."""

    seconds: float
    shared_seconds: float
    after: float
    shares: str


class Event(TypedDict, total=False):
    """One thing that happened; `event` says what, and with it which of the other keys are there.

    `study` and `search` come before their runs; of a run come `start`, then `phase`, `step` and `point`, or
    `traceback`, then `end`. A `forecast` comes, where one was asked for, when two runs of a longer study are done.
    `made` (of one run of several that a process makes) and `exit` are told between a process and its server, `note` is
    a sentence for whoever watches. Every other key of a `point` is a figure.
    """

    event: Required[
        Literal[
            "study", "search", "start", "phase", "step", "point", "traceback", "made", "end", "exit", "note", "forecast"
        ]
    ]
    # of a study and a search: runs, or draws (None: until the budget is spent), and how many of them are complete
    name: str
    folder: str
    runs: int
    waiting: list[str]  # the label of every run to make
    baselines: list[str]  # labels of rows that are no trained model
    expected: dict[str, Expected]  # of a forecast, by label
    draws: int | None
    begun: int  # draws, of a search in which each is made in parts: `draws` are then the parts
    complete: int
    # of a run
    run_id: str
    label: str
    seed: int | None
    draw: int
    part: float  # share of its steps to which a draw is trained, where it may be dropped there
    phase: str
    where: str  # the machine that makes the run, of a start where there are several
    status: str
    error: str | None
    text: str
    code: int
    # of a step and a point
    step: int
    steps: int
    batch: int
    epoch: float
    end_of_epoch: bool
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float


Listener = Callable[[Event], None]
