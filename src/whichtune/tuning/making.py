"""Making a search's draws: all of them, as many as a budget in seconds pays for, or rung by rung."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from whichtune.records.events import Event, Listener
from whichtune.records.record import RunStatus
from whichtune.records.store import StudyFolder
from whichtune.stats.tuning import DrawFigures
from whichtune.study.spec import RunSpec
from whichtune.tuning.search import Draw
from whichtune.tuning.shown import climb_of, draw_figures, seconds_of
from whichtune.tuning.trials import SearchedDraws, SearchPlan, in_turn, parts_of

# Makes runs and gives how many were started, as an executor does.
Execute = Callable[[Sequence[RunSpec], StudyFolder, bool, Listener], int]


def make_draws(plan: SearchPlan, folder: StudyFolder, execute: Execute, on_event: Listener) -> int:
    """Make the draws that the folder does not hold yet; gives how many were made now."""
    _let_go(folder, plan)
    if any(line.rungs for line in plan.lines):
        return _make_rungs(plan, folder, execute, on_event)
    numbers = {draw.spec.run_id: draw.number for draw in plan.draws}

    def listen(event: Event) -> None:
        on_event({**event, "draw": numbers[event["run_id"]]} if event.get("run_id") in numbers else event)

    if plan.unit != "seconds":
        specs = [draw.spec for draw in plan.draws]
        on_event({"event": "search", "draws": len(specs), "complete": _complete(folder, specs)})
        return execute(specs, folder, False, listen)
    on_event({"event": "search", "draws": None, "complete": _complete(folder, [d.spec for d in plan.draws])})
    made, attempted = 0, set[str]()
    while batch := [draw for line in plan.lines for draw in _next_draws(plan, line, folder, attempted)]:
        attempted |= {draw.spec.run_id for draw in batch}
        made += execute([draw.spec for draw in batch], folder, False, listen)
    return made


def _make_rungs(plan: SearchPlan, folder: StudyFolder, execute: Execute, on_event: Listener) -> int:
    """Rung by rung, all lines beside one another. What a draw had put aside goes once it has gone on, or is dropped."""
    told = {
        spec.run_id: (draw.number, spec) for line in plan.lines for draw in line.draws for spec in parts_of(line, draw)
    }

    def listen(event: Event) -> None:
        number, spec = told.get(event.get("run_id", ""), (None, None))
        if number is None or spec is None:
            on_event(event)
            return
        if event["event"] == "end" and event["status"] == RunStatus.COMPLETED and spec.goes_on_from:
            folder.let_go(spec.goes_on_from)
        told_draw: Event = {**event, "draw": number}
        on_event(told_draw if spec.part is None else {**told_draw, "part": spec.part})

    on_event(
        {
            "event": "search",
            "draws": sum(line.runs for line in plan.lines),
            "begun": len(plan.draws),
            "complete": _complete(folder, plan.specs),
        }
    )
    made, tried = 0, set[str]()
    while batch := in_turn([_waiting(plan, line, folder, tried) for line in plan.lines]):
        tried |= {spec.run_id for spec in batch}
        made += execute(batch, folder, False, listen)
        _let_go(folder, plan, tried)
    return made


def _waiting(plan: SearchPlan, line: SearchedDraws, folder: StudyFolder, tried: set[str]) -> list[RunSpec]:
    """The runs of a line's rung that is under way; without rungs all that are left."""
    if line.rungs:
        return climb_of(plan, line, folder, tried).waiting
    ids = [draw.spec.run_id for draw in line.draws]
    return [
        d.spec for d, name in zip(line.draws, ids, strict=True) if name not in tried and not folder.is_complete(name)
    ]


def _let_go(folder: StudyFolder, plan: SearchPlan, tried: set[str] | None = None) -> None:
    """Remove the states of trials that no rung is going to go on from, those of another search among them."""
    if there := folder.waiting():  # looked up before the records: another process may just write one
        needed = {
            name for line in plan.lines if line.rungs for name in climb_of(plan, line, folder, tried or set()).needed
        }
        for run_id in there:
            if run_id not in needed:
                folder.let_go(run_id)


def _complete(folder: StudyFolder, specs: Sequence[RunSpec]) -> int:
    return sum(folder.is_complete(spec.run_id) for spec in specs)


def _next_draws(plan: SearchPlan, line: SearchedDraws, folder: StudyFolder, attempted: set[str]) -> list[Draw]:
    """As many of a line's next draws as surely fit what is left of its seconds."""
    assert plan.amount is not None
    figures, shared = _leading_figures(plan, line, folder, attempted)
    times = [f.seconds for f in figures if f.seconds]
    left = plan.amount - shared - sum(seconds_of(figures))
    if figures and left <= 0:
        return []
    count = left / max(times) if times else len(figures)  # without a measurement: as many as were tried
    return line.draws[len(figures) : len(figures) + max(1, int(count))]


def _leading_figures(
    plan: SearchPlan, line: SearchedDraws, folder: StudyFolder, attempted: set[str]
) -> tuple[list[DrawFigures], float]:
    """The draws from the first up to the first that is still to be made, and the seconds that they share."""
    found, shared = [], 0.0
    for draw in line.draws:
        record = plan.asked.read(folder, draw.spec.run_id)
        if record is None or (record.status is not RunStatus.COMPLETED and record.run_id not in attempted):
            break
        found.append(draw_figures(draw, record, plan.metric))
        shared = max(shared, record.cost.cache_seconds_alone or 0.0)
    return found, shared
