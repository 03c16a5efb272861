"""Runs of a head alone on the same frozen features, made as one problem: loaded once, their heads trained in one go.

The first is made as it is by itself. It tells what the steps of each of the others cost alone, and it is trained again
with them: where it does not come to the same, none of the others is made here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from whichtune.records.events import Listener
from whichtune.runs.method import Trained, judged_run, train_run
from whichtune.runs.records import CacheFields, RunResult
from whichtune.runs.run import finished, loaded_data
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of
from whichtune.wording import plural

if TYPE_CHECKING:
    from torch import nn

    from whichtune.records.record import CurvePoint
    from whichtune.tasks.base import AnyDataset
    from whichtune.training.stacked import StackedHeads

MOST_BYTES = 2**30  # of the training texts' features, a step's batches of them, and the stack with what trains it
STACK_COPIES = 5  # weights, gradients, two moments, and what a step makes of them
SAME = 1e-4  # largest difference of trained weights that is rounding, relative to the largest

Outcome = tuple[RunSpec, RunResult | Exception]
AnyTrained = Trained[Any, Any, Any]


def run_together(
    specs: Sequence[RunSpec],
    on_event: Listener,
    memory_baseline: int,
    cache: CacheFields,
    runs_at_once: Callable[[], int],
) -> Iterator[Outcome]:
    """Make runs that have in common all but their seed, rate, decay and the like (`executors.order.problem_of`).

    Each outcome must be stored before the next is asked for. What goes wrong with the first is raised, and with another
    is its outcome. Ends after the first where the others cannot be made with it: they are then to be made alone.
    """
    first, *others = specs
    task, started = task_of(first), datetime.now(UTC)
    dataset = loaded_data(task, first)
    trained = train_run(task, first, dataset, on_event, memory_baseline, cache, runs_at_once, None)
    result = judged_run(trained, on_event)
    timed = {name: ms for name, ms in result.record.cost.model_dump().items() if name.startswith("inference_ms")}
    trained = replace(trained, latencies={name: ms for name, ms in timed.items() if ms is not None})
    yield first, finished(first, dataset, result, started)
    stack = _stack(trained, others, on_event)
    for number, spec in enumerate(others if stack is not None else [], 1):
        yield spec, _outcome(trained, cast("StackedHeads", stack), number, dataset)


def _outcome(trained: AnyTrained, stack: StackedHeads, number: int, dataset: AnyDataset) -> RunResult | Exception:
    """What comes of one run of a stack, with its share of what all of them took."""
    started, begin = datetime.now(UTC), time.perf_counter()
    spec = stack.specs[number]
    try:
        result = finished(spec, dataset, _judged_beside(trained, stack, number), started)
    except Exception as error:  # of a model's own code, too: the run's record has it
        return error
    result.seconds = stack.seconds / (len(stack.specs) - 1) + time.perf_counter() - begin
    return result


def _stack(trained: AnyTrained, others: Sequence[RunSpec], on_event: Listener) -> StackedHeads | None:
    """The heads of all runs, trained; None, with a note, where they cannot be trained as one."""
    from whichtune.shortcuts.self_check import ShortcutError, note_or_error

    if not others:
        return None
    why: str | None
    try:
        stack, why = _trained_stack(trained, others)
    except ShortcutError:
        raise
    except Exception as error:  # of a loss that cannot be computed for many heads at once, or of a task's own code
        stack, why = None, note_or_error(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}", error)
    if why is not None:
        on_event({"event": "note", "text": f"The heads of {plural(len(others) + 1, 'run')} are trained apart: {why}."})
    return stack


def _trained_stack(trained: AnyTrained, others: Sequence[RunSpec]) -> tuple[StackedHeads | None, str | None]:
    """The heads of all runs, trained; or why they cannot be trained as one."""
    from torch import nn

    from whichtune.shortcuts.planned import PlannedForward
    from whichtune.shortcuts.self_check import note_or_error
    from whichtune.tasks.row_loss import RowLoss
    from whichtune.training.stacked import StackedHeads
    from whichtune.training.streams import streams_of
    from whichtune.training.trainer import validation_rows

    forward, first = trained.prepared.forward, trained.spec
    head = trained.model.get_submodule("head")
    if not isinstance(forward, PlannedForward) or not forward.features_cached or not isinstance(head, nn.Linear):
        return None, "what they read is not cached"
    objective = trained.task.objective(first, trained.model, forward)
    n = len(forward.encoded.splits["train"])
    if not isinstance(objective, RowLoss):
        return None, "their loss is not one of rows"
    specs = [first, *others]
    if stack_bytes(n, len(specs), first.batch_size, head) > MOST_BYTES:
        return None, "together they are too much to be held in memory"
    heads = [streams_of(spec).head(head.in_features, head.out_features) for spec in specs]
    own = head.weight.detach().clone()
    stack = StackedHeads(
        specs, heads, forward.features("train", range(n)), trained.encoded, objective, trained.training
    )
    rows = validation_rows(first, len(forward.encoded.splits["validation"]))

    def watch(number: int) -> CurvePoint:
        stack.put(number, head)
        return objective.point(rows)

    stack.train(watch)
    off = float((stack.weight[0].detach() - own).abs().max() / own.abs().max())
    if not off <= SAME:
        why = f"the first of them came to weights that differ by {off:.1e} of the largest"
        return None, note_or_error(why, RuntimeError(why))
    return stack, None


def stack_bytes(n: int, heads: int, batch: int, head: nn.Linear) -> int:
    """What so many heads like this one take with features of `n` training texts, in batches of `batch`."""
    stack = STACK_COPIES * head.out_features * head.in_features
    return 4 * (n * head.in_features + heads * (batch * head.in_features + stack))


def _judged_beside(trained: AnyTrained, stack: StackedHeads, number: int) -> RunResult:
    """A run of the stack, judged. Its phases are what they take alone; what it paid of them is added later."""
    from whichtune.measure.cost import Timers

    spec, course = stack.specs[number], stack.courses[number]
    if course.fault is not None:
        raise course.fault
    stack.put(number, cast("nn.Linear", trained.model.get_submodule("head")))
    timers, first = Timers(trained.timers.device), trained.timers.seconds
    timers.seconds = {name: first[name] for name in ("load", "check", "train", "latency") if name in first}
    timers.seconds |= {"cache": 0.0, "evaluate": course.curve_seconds}
    used = trained.prepared.shortcuts["used"]
    assert isinstance(used, dict)
    shortcuts = {
        **trained.prepared.shortcuts,
        "used": {**used, "cache_made": False, "heads_together": len(stack.specs)},
    }
    return judged_run(
        replace(
            trained,
            spec=spec,
            prepared=replace(trained.prepared, flops=0, shortcuts=shortcuts),
            training=course.like(trained.training, spec, stack.streams[number], len(stack.features)),
            timers=timers,
        ),
        lambda event: None,
    )
