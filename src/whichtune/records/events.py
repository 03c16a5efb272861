"""What happens while a study is made, told as it happens: to progress lines, to loggers, to a caller of `compare`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Required, TypedDict


class Event(TypedDict, total=False):
    """One thing that happened; `event` says what, and with it which of the other keys are there.

    `study` and `search` come before their runs; of a run come `start`, then `phase`, `step` and `point`, or
    `traceback`, then `end`. `exit` is told between a run's process and its server, `note` is a sentence for whoever
    watches. Every other key of a `point` is a figure.
    """

    event: Required[Literal["study", "search", "start", "phase", "step", "point", "traceback", "end", "exit", "note"]]
    # of a study and a search: runs, or draws (None: until the budget is spent), and how many of them are complete
    name: str
    folder: str
    runs: int
    waiting: list[str]  # the label of every run to make
    baselines: list[str]  # labels of rows that are no trained model
    draws: int | None
    complete: int
    # of a run
    run_id: str
    label: str
    seed: int | None
    draw: int
    phase: str
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
