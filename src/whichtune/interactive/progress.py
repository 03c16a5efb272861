"""A bar for whoever calls `compare` from a script or a notebook: how far the study is, and what it is doing."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Protocol, TextIO

from whichtune.interactive.notebook import in_notebook
from whichtune.wording import shown

if TYPE_CHECKING:
    from whichtune.records.events import Event

PHASES = {"load": "loading", "train": "training"}
EVALUATING = "evaluating"
# Of a run's own part of the bar: a run that evaluates is nearly done, and only its end completes it.
MOST_OF_A_RUN = 0.95
LONGEST_LINE = 600


class _Bar(Protocol):
    """What is used of tqdm's bars."""

    n: float
    total: float | None

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None: ...

    def refresh(self) -> object: ...

    def close(self) -> None: ...

    def write(self, s: str, file: TextIO | None = None) -> None: ...


def wanted_here() -> bool:
    """Whether somebody watches: in a notebook, or where errors go to a terminal."""
    return in_notebook() or sys.stderr.isatty()


class ProgressBar:
    """Listens to a study's events and draws one bar of its runs; use as a context manager around `compare`.

    Runs count by their steps, so that a long run moves the bar. What failed and what is worth a note is written above.
    """

    def __init__(self) -> None:
        self.bar: _Bar | None = None
        self.done = 0.0  # runs that are complete
        self.parts: dict[str, float] = {}  # of runs under way
        self.titles: dict[str, str] = {}

    def __enter__(self) -> ProgressBar:
        with warnings.catch_warnings():
            # A notebook without widgets: text will do. Here, before transformers imports it with the warning.
            warnings.filterwarnings("ignore", message="IProgress not found")
            import tqdm.auto  # noqa: F401
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, event: Event) -> None:
        kind = event["event"]
        if kind == "study":
            self._begin(event["name"], event["runs"], event["complete"])
        elif kind == "search":
            self._begin("search", event["draws"], event["complete"])
        elif kind == "note":
            self._write(event["text"])
        elif "run_id" in event:
            self._of_run(event)

    def _begin(self, name: str, total: int | None, complete: int) -> None:
        """A new bar for a search, the study and each of its rounds."""
        self._close()
        self.done, self.parts = float(complete), {}
        if total is None or total > complete:
            self.bar = _new_bar(shown(name), total, complete)

    def _of_run(self, event: Event) -> None:
        kind, run_id = event["event"], event["run_id"]
        if kind == "start":
            seed = "" if event["seed"] is None else f", seed {event['seed']}"
            draw = f", draw {event['draw']}" if "draw" in event else seed
            self.titles[run_id], self.parts[run_id] = f"{event['label']}{draw}", 0.0
            self._tell(f"{self.titles[run_id]}: starting")
        elif kind == "phase":
            self._tell(f"{self.titles[run_id]}: {PHASES.get(event['phase'], EVALUATING)}")
        elif kind == "step" and event["steps"]:
            self.parts[run_id] = MOST_OF_A_RUN * event["step"] / event["steps"]
            loss = f", loss {event['train_loss']:.3f}" if "train_loss" in event else ""
            self._tell(f"{self.titles[run_id]}: epoch {event['epoch']:.1f}{loss}")
        elif kind == "end":
            self.done += 1
            self.parts.pop(run_id, None)
            title = self.titles.pop(run_id, "")
            self._tell("")
            if event["error"]:
                self._write(f"{title} {event['status'].replace('_', ' ')}: {event['error']}")

    def _tell(self, text: str) -> None:
        if self.bar is not None:
            self.bar.n = self.done + sum(self.parts.values())
            self.bar.set_postfix_str(shown(text, LONGEST_LINE), refresh=False)
            self.bar.refresh()

    def _write(self, text: str) -> None:
        line = shown(text, LONGEST_LINE)  # an error may hold what stands in the data, which no terminal should obey
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _new_bar(name: str, total: int | None, complete: int) -> _Bar:
    """tqdm's bar for where this runs: a widget in notebooks that have widgets, else text."""
    from tqdm.auto import tqdm

    layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}" if total else None
    bar: _Bar = tqdm(
        desc=name, total=total, initial=complete, bar_format=layout, dynamic_ncols=True, leave=True, file=sys.stderr
    )
    return bar
