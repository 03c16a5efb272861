"""How long the rows of a study are expected to take against one another, told to whoever watches it.

Seconds are by this machine's speed at large matrix products, so only their ratios count: runs that are done tell what a
predicted second is worth.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from whichtune.executors.order import shared_states
from whichtune.records.events import Event, Expected
from whichtune.runs.estimate import estimate_runs
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset

RUNS_FIRST, SECONDS_FIRST = 2, 10.0
# An operation of a step, with what is saved for the way back and the optimiser's own, takes about twice as long as one
# of a pass through frozen blocks, which is made in large batches: measured on the studies in tests/test_pace.py.
STEPS = 2.0


def forecast(specs: Sequence[RunSpec], dataset: AnyDataset) -> dict[str, Expected]:
    """Of each row that can be estimated what one of its runs takes; baselines are left out."""
    faults: dict[str, str] = {}  # what cannot be estimated is found out by the run itself
    estimates = estimate_runs(specs, dataset, faults)
    found: dict[str, Expected] = {}
    for spec in specs:
        if spec.run_id in estimates and spec.label not in found:
            guess = estimates[spec.run_id]
            left = guess.seconds if guess.shared_seconds is None else guess.shared_seconds
            alone = guess.seconds - left + STEPS * left
            # Each seed of random weights is a model of its own, with its own pass.
            shared = alone if spec.weights == "random" else STEPS * left
            found[spec.label] = {
                "seconds": alone,
                "shared_seconds": shared,
                "after": guess.evaluation_seconds / guess.seconds if left == guess.seconds and left else 0.0,
                "shares": shared_states(spec),
            }
    return found


class Forecaster:
    """Makes a study's forecast once it is worth its seconds: when two runs are done and the study is no quick one.

    A process of its own makes it, which has what this one knows and yields to the runs: with many rows it takes
    minutes, in which no core may wait. Where there is no such process (on Windows; after CUDA was begun, which a forked
    process cannot use) it is made between two runs.
    """

    def __init__(self, specs: Sequence[RunSpec], dataset: AnyDataset) -> None:
        self.specs, self.dataset = list(specs), dataset
        self.began = time.monotonic()
        self.done: list[str] = []
        self.due = True  # not begun yet
        self.told: Connection | None = None  # where it will come from

    def after(self, event: Event) -> Event | None:
        """The forecast, where this event makes it due, or where it has come."""
        if self.told is not None:
            return self._come()
        if event["event"] != "end" or not self.due:
            return None
        self.done.append(event["run_id"])
        known = {spec.label for spec in self.specs if spec.run_id in self.done}
        new = any(spec.label not in known and spec.role is not Role.BASELINE for spec in self.specs)
        if len(self.done) < RUNS_FIRST or not new or time.monotonic() - self.began < SECONDS_FIRST:
            return None
        self.due = False
        if not _can_fork():
            return _event_of(_made(self.specs, self.dataset))
        self._begin()
        return None

    def _begin(self) -> None:
        context = multiprocessing.get_context("fork")
        self.told, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_make, args=(self.told, theirs, self.specs, self.dataset), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # on threads: what is forked uses no lock of theirs
            process.start()
        theirs.close()

    def _come(self) -> Event | None:
        assert self.told is not None
        if not self.told.poll():
            return None
        try:
            found = self.told.recv()
        except EOFError:  # it was killed, for want of memory say
            found = "its process ended early"
        self.told.close()
        self.told = None
        return _event_of(found)


def _event_of(found: dict[str, Expected] | str) -> Event:
    """The forecast, or why there is none."""
    if isinstance(found, str):
        return {"event": "note", "text": f"Time left is told by the runs that are done alone: {found}."}
    return {"event": "forecast", "expected": found}


def _can_fork() -> bool:
    import torch

    return "fork" in multiprocessing.get_all_start_methods() and not torch.cuda.is_initialized()


def _made(specs: Sequence[RunSpec], dataset: AnyDataset) -> dict[str, Expected] | str:
    """The forecast, or what went wrong, which is told and stops no study."""
    try:
        return forecast(specs, dataset)
    except Exception as error:  # of a model's own code, too: a note has its kind and its words
        return f"the forecast failed ({type(error).__name__}: {error})"


def _make(listening: Connection, told: Connection, specs: Sequence[RunSpec], dataset: AnyDataset) -> None:
    """In a process of its own: make the forecast and send it, or why there is none."""
    import torch

    listening.close()  # the parent's end, of which this process has a copy: else a parent that is gone is waited for
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C the parent decides, whose end is this one's
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which the parent ends this process; its own handler is its own
    os.nice(5)
    torch.set_num_threads(1)  # threads of the parent do not live here
    found = _made(specs, dataset)
    with suppress(BrokenPipeError):  # the study was over first: nobody waits
        told.send(found)
