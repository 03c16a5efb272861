"""A training that is put aside between two steps and taken up in another process, as if there had been no pause.

The state holds all that the next step depends on: the weights that train, the optimiser, what the method's course and
early stopping remember, the rest of the pass over the data and every random stream. The rate's schedule needs nothing:
it follows from the number of steps of the whole run. What is frozen is loaded again. With the state go the figures of
the steps so far, so that a run in two parts has the curves and costs of one in a single part.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from whichtune.errors import SettingError
from whichtune.models.saving import restore_trained_state, trained_state

if TYPE_CHECKING:
    from whichtune.measure.cost import Timers
    from whichtune.models.course import Course
    from whichtune.study.spec import RunSpec
    from whichtune.training.finite import LossWatch
    from whichtune.training.objective import CurveWatcher, TrainingForward
    from whichtune.training.stopping import EarlyStopping
    from whichtune.training.streams import Streams

State = dict[str, Any]  # tensors on the CPU and plain values
PLACE = ("epoch", "position", "batches", "seconds_of_epoch")
STOPPING = ("best", "best_point", "waited")
PHASES = ("train", "evaluate")  # whose seconds go on


class Waiting(Protocol):
    """What of a trainer goes into a state."""

    spec: RunSpec
    classifier: torch.nn.Module
    forward: TrainingForward
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    course: Course
    streams: Streams
    watcher: CurveWatcher | None
    stopping: EarlyStopping | None
    losses: LossWatch
    timers: Timers
    result: Any  # a dataclass of plain values
    window: Any  # losses and right answers since the last point, as tensors, and the number of examples
    epoch: int
    position: int
    batches: list[list[int]] | None
    seconds_of_epoch: float


def check_can_wait(trainer: Waiting) -> None:
    """Raise SettingError for a training of which something is not known that the next step depends on."""
    if trainer.course.state() is None or trainer.watcher is not None:
        what = f"The method '{trainer.spec.method}'" if trainer.watcher is None else "random_streams=reference"
        raise SettingError(f"{what} cannot be put aside between two steps: use --tune-strategy random.")


def state_of(trainer: Waiting) -> State:
    """All that `take_up` needs, copied."""
    stopping, window = trainer.stopping, trainer.window
    moving = {
        "optimiser": trainer.optimiser.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "course": trainer.course.state(),
        "streams": trainer.streams.state(),
        "window": {"loss": window.loss, "correct": window.correct, "examples": window.examples},
    }
    return {
        **{name: _copied(value) for name, value in moving.items()},
        "weights": trained_state(trainer.classifier),
        "best_weights": stopping.kept if stopping is not None else None,
        "stopping": {name: getattr(stopping, name) for name in STOPPING if stopping is not None},
        "generators": _generators(trainer.forward.device),
        "place": {name: getattr(trainer, name) for name in PLACE},
        "result": asdict(trainer.result),
        "broken": trainer.losses.broken,
        "seconds": {name: trainer.timers.seconds.get(name, 0.0) for name in PHASES},
    }


def take_up(trainer: Waiting, state: State) -> None:
    """Bring a new trainer of the same run to where `state` was taken. The random streams come last: nothing may draw
    between this and the next step."""
    device = trainer.forward.device
    restore_trained_state(trainer.classifier, state["weights"])
    trainer.optimiser.load_state_dict(state["optimiser"])
    trainer.scaler.load_state_dict(state["scaler"])
    trainer.course.restore(state["course"])
    for name, value in state["place"].items():
        setattr(trainer, name, value)
    for name, value in state["result"].items():
        setattr(trainer.result, name, value)
    window = state["window"]
    trainer.window.loss = [value.to(device) for value in window["loss"]]
    trainer.window.correct = [value.to(device) for value in window["correct"]]
    trainer.window.examples = window["examples"]
    trainer.losses.broken = state["broken"]
    if trainer.stopping is not None:
        for name, value in state["stopping"].items():
            setattr(trainer.stopping, name, value)
        trainer.stopping.kept = state["best_weights"]
    for name, seconds in state["seconds"].items():
        trainer.timers.seconds[name] = trainer.timers.seconds.get(name, 0.0) + seconds
    trainer.streams.restore(state["streams"])
    _set_generators(device, state["generators"])


def write_state(state: State, file: Path) -> None:
    torch.save(state, file)


def read_state(file: Path) -> State:
    """A state as it was written; nothing but tensors and plain values is read. Raises what torch raises."""
    found: State = torch.load(file, map_location="cpu", weights_only=True)
    return found


def _generators(device: torch.device) -> dict[str, torch.Tensor]:
    """torch's global generators: the CPU's, and that of the run's device."""
    found = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        found["mps"] = torch.mps.get_rng_state()
    return found


def _set_generators(device: torch.device, states: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["mps"])


def _copied(value: Any) -> Any:
    """The same with copies of its tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(each) for each in value)
    return value
