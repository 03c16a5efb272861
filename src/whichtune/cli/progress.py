"""What a user sees while a study runs: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from whichtune.cli.pace import Pace, UnderWay
from whichtune.metrics import METRICS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Live
    from rich.progress import TaskID

    from whichtune.records.events import Event

WIDE = 120  # columns that hold a whole line
PLAIN_SECONDS = 15.0  # between two plain lines of one run


class _Current:
    """A run under way."""

    def __init__(self, title: str, label: str = "") -> None:
        self.title, self.label = title, label
        self.began = self.last_line = time.monotonic()
        self.first_step: tuple[int, float] | None = None  # and when it was done
        self.task: TaskID | None = None
        self.expected: float | None = None  # seconds from its beginning to its end

    def seconds_left(self, step: int, steps: int) -> float | None:
        """By the pace since the first step, before which lower blocks may have been computed; None at that step."""
        now = time.monotonic()
        if self.first_step is None or self.first_step[0] >= step:
            self.first_step = (step, now)
            return None
        first, then = self.first_step
        left = (now - then) / (step - first) * (steps - step)
        self.expected = now - self.began + left
        return left


class Progress:
    """Listens to a study's events. Use as a context manager around `compare`."""

    def __init__(self, console: Console, debug: bool = False) -> None:
        self.console, self.debug = console, debug
        self.runs = self.done = self.complete = 0
        self.started = 0
        self.pace = Pace(0)
        self.current: dict[str, _Current] = {}
        self.most_at_once = 1
        self.live: Live | None = None

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            from rich import progress

            self.live = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(bar_width=24 if self.console.width >= WIDE else 8),
                progress.TextColumn("{task.fields[detail]}"),
                console=self.console,
                transient=True,
            )
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler is not None:
            handler(event)

    def _on_study(self, event: Event) -> None:
        self._begin(event["runs"], event["complete"])
        left = self.runs - self.done
        self.pace = Pace(left, event.get("waiting", ()), event.get("baselines", ()))
        kept = f"; {self.done} complete, kept" if self.done else ""
        self.console.print(f"{self.runs} runs{kept}; {left} to make.", highlight=False)

    def _begin(self, runs: int, complete: int) -> None:
        self.runs, self.done, self.complete, self.started = runs, complete, complete, 0
        self.pace = Pace(runs - complete)

    def _on_search(self, event: Event) -> None:
        """A search's draws come before the study; with a budget in seconds nobody knows how many."""
        self._begin(event["draws"] or 0, event["complete"])
        kept = f"; {self.done} complete, kept" if self.done else ""
        many = f"{self.runs} draws" if self.runs else "draws until the budget is spent"
        if "begun" in event:
            many = f"{event['begun']} draws, the worse dropped on the way, in {self.runs} runs"
        self.console.print(f"Search: {many}{kept}, judged on validation.", highlight=False)

    def _on_start(self, event: Event) -> None:
        seed = "" if event["seed"] is None else f", seed {event['seed']}"
        draw = f", draw {event['draw']}" if "draw" in event else ""
        draw += f" to {100 * event['part']:g} %" if "part" in event else ""
        if (lost := self.current.get(event["run_id"])) is not None:
            self._again(lost)
            return
        self.started += 1
        number = self.complete + self.started
        where = f" on {event['where']}" if event.get("where") else ""
        title = f"[{number}{f'/{self.runs}' if self.runs else ''}] {event['label']}{draw or seed}{where}"
        self.current[event["run_id"]] = run = _Current(title, event["label"])
        self.pace.begin(run.label)
        if self.live is not None:
            run.task = self.live.add_task("starting", total=None, detail="")
        self._show(run, "loading", None, None)

    def _again(self, run: _Current) -> None:
        """A run that was lost with its machine begins anew."""
        run.began, run.first_step, run.expected = time.monotonic(), None, None
        self._show(run, "loading", None, None)

    def _on_phase(self, event: Event) -> None:
        detail = {"load": "loading", "train": "training"}.get(event["phase"], "evaluating")
        self._show(self.current[event["run_id"]], detail, None, None)

    def _on_step(self, event: Event) -> None:
        run = self.current[event["run_id"]]
        parts = [f"epoch {event['epoch']:.2f}", f"step {event['step']}/{event['steps']}"]
        if "train_loss" in event:
            parts.append(f"loss {event['train_loss']:.4f}")
        score = _score(event)
        if score is not None:
            parts.append(f"validation {score:.2f} %")
        left = run.seconds_left(event["step"], event["steps"])
        if left is not None:
            told = f"{_clock(left)} for this run{self._rest()}"
            parts = [told, *parts] if self.live is not None else [*parts, told]  # a terminal may cut the end
        self._show(run, ", ".join(parts), event["step"], event["steps"])

    def _rest(self) -> str:
        """Time for the whole study, where other runs are to come or under way; nothing while nothing is known."""
        if self.pace.left < 1 and len(self.current) < 2:
            return ""
        now = time.monotonic()
        under_way = [UnderWay(run.label, now - run.began, run.expected) for run in self.current.values()]
        self.most_at_once = max(self.most_at_once, len(self.current))
        left = self.pace.study(under_way, self.most_at_once)
        return "" if left is None else f", about {_clock(left)} for the study"

    def _on_forecast(self, event: Event) -> None:
        self.pace.forecast(event["expected"])

    def _on_end(self, event: Event) -> None:
        self.done += 1
        run = self.current.pop(event["run_id"])
        if self.live is not None and run.task is not None:
            self.live.remove_task(run.task)
        took = time.monotonic() - run.began
        self.pace.end(run.label, took)
        reason = f": {event['error']}" if event["error"] else ""
        self._print(f"{run.title}  {event['status']} in {_clock(took)}{reason}")

    def _on_note(self, event: Event) -> None:
        self._print(event["text"])

    def _on_traceback(self, event: Event) -> None:
        if self.debug:
            self._print(event["text"])

    def _show(self, run: _Current, detail: str, done: int | None, total: int | None) -> None:
        if self.live is not None and run.task is not None:
            from rich.markup import escape

            from whichtune.cli.brief import cut

            title = run.title if self.console.width >= WIDE else cut(run.title, self.console.width * 2 // 5)
            self.live.update(
                run.task, description=escape(title), detail=escape(detail), completed=done or 0, total=total
            )
        elif time.monotonic() - run.last_line > PLAIN_SECONDS:
            run.last_line = time.monotonic()
            self._print(f"{run.title}  {detail}")

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _score(event: Event) -> float | None:
    """The first metric that the event has of validation, in percent."""
    told: Mapping[str, object] = event
    found = (told.get(f"validation_{metric.name}") for metric in METRICS.values() if metric.unit == "points")
    return next((100 * value for value in found if isinstance(value, (int, float))), None)


def _clock(seconds: float) -> str:
    """42 s, 3 min 10 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
