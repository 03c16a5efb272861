"""One run of a method, in two parts: loaded and trained, then judged.

Between the two stands `Trained`, of which runs that share a frozen model and its features have one each.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from pydantic import JsonValue

from whichtune.records.events import Listener
from whichtune.records.record import RunStatus
from whichtune.records.verify import ASIDE
from whichtune.runs.costs import training_cost
from whichtune.runs.records import CacheFields, RunResult, base_record
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks.base import EncodedT, ForwardT, ModelT

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from whichtune.measure.cost import Timers
    from whichtune.models.course import Course
    from whichtune.shortcuts.prepared import Prepared
    from whichtune.shortcuts.vocabulary import UsedRows
    from whichtune.tasks.base import DatasetT, Task
    from whichtune.training.aside import State
    from whichtune.training.objective import EncodedData
    from whichtune.training.trainer import Training

# A warm-up that takes more than this share of the steps is worth a warning.
LONG_WARMUP = 0.2


@dataclass(frozen=True)
class Measured:
    """What was measured while a run was trained: peak memory in bytes (`reserved` by a GPU's allocator), joules of all
    and of the steps, and weights that train and all."""

    peak: int
    reserved: int | None
    joules: float | None
    steps_joules: float | None
    trainable: int
    total: int


@dataclass(frozen=True)
class Trained(Generic[ModelT, EncodedT, ForwardT]):
    """A run whose model is trained and not judged yet. `waiting` is the state of a trial that is put aside, `latencies`
    are costs of answering where they are known: a model of the same shapes was timed."""

    task: Task[Any, ModelT, EncodedT, ForwardT]
    spec: RunSpec
    model: ModelT
    tokenizer: PreTrainedTokenizerBase
    encoded: EncodedT
    prepared: Prepared[ForwardT]
    training: Training
    timers: Timers
    measured: Measured
    runs_at_once: Callable[[], int]
    waiting: State | None = None
    latencies: Mapping[str, float] | None = None


def train_run(
    task: Task[DatasetT, ModelT, EncodedT, ForwardT],
    spec: RunSpec,
    dataset: DatasetT,
    on_event: Listener,
    memory_baseline: int,
    cache: CacheFields,
    runs_at_once: Callable[[], int],
    aside: Path | None,
) -> Trained[ModelT, EncodedT, ForwardT]:
    """Load the model, make what its plan caches, and train. Raises what goes wrong."""
    import torch

    from whichtune.measure.cost import MemoryMonitor, Timers, count_parameters
    from whichtune.measure.energy import EnergyMeter
    from whichtune.methods import METHODS
    from whichtune.shortcuts.frozen_blocks import Conditions
    from whichtune.shortcuts.prepared import CacheSettings
    from whichtune.shortcuts.vocabulary import used_rows
    from whichtune.training.aside import read_state
    from whichtune.training.finite import told_with_step
    from whichtune.training.streams import streams_of
    from whichtune.training.trainer import Trainer, Training

    device = torch.device(spec.device)
    timers = Timers(device)
    on_event({"event": "phase", "phase": "load"})
    with timers.phase("load"):
        model, tokenizer = task.build(spec, dataset)
        encoded = task.encode(spec, dataset, tokenizer, _config_of(model))
        model.to(device)
    trainable, total = count_parameters(model)
    on_event({"event": "phase", "phase": "train"})
    with MemoryMonitor(device, memory_baseline) as memory:
        pass_energy = EnergyMeter(device)

        def conditions() -> Conditions:
            return Conditions(memory.so_far(), runs_at_once(), pass_energy.joules)

        prepared = task.prepare(spec, model, encoded, device, timers, CacheSettings(**cache, conditions=conditions))
        steps_energy = EnergyMeter(device)
        forward: ForwardT = prepared.forward
        before = None if aside is None else read_state(aside)
        waiting: State | None = None
        fitted = Training()
        if METHODS[spec.method].closed_form or (METHODS[spec.method].fits_first and before is None):
            with told_with_step(spec, 0):
                fitted = task.solve(spec, model, forward, timers)
        if METHODS[spec.method].closed_form:
            training = fitted
            trainable, total = count_parameters(model)  # a head of another kind may stand there now
        elif trainable:
            streams = streams_of(spec)
            objective = task.objective(spec, model, forward)
            watcher = task.watcher(spec, model, forward, streams)
            course = _course(spec, model)
            with ExitStack() as stack:
                rows = stack.enter_context(used_rows(spec, model, forward, course, timers, prepared.notes))
                trainer = Trainer(model, forward, spec, timers, objective, on_event, streams, watcher, course)
                if rows is not None:
                    trainer.optimiser.register_step_post_hook(rows.after_step)
                trainer.result.flops, trainer.result.notes = fitted.flops, fitted.notes
                training, waiting = trainer.train(spec.part, before), trainer.aside
            _say_used(prepared.shortcuts, training, rows)
            if METHODS[spec.method].in_pairs:
                fitted = task.solve(spec, model, forward, timers)
                training.flops, training.notes = training.flops + fitted.flops, training.notes + fitted.notes
                training.final_train_rows = None  # its rows were pairs: the model is judged on all texts
        else:
            training = Training()  # the model as it is
        steps_joules = _sum(steps_energy.joules, before["joules"] if before else 0.0)
    measured = Measured(
        max(memory.peak, prepared.conditions.peak_memory, before["peak_memory"] if before else 0),
        memory.peak_reserved,
        _sum(prepared.conditions.joules, steps_joules),
        steps_joules,
        trainable,
        total,
    )
    return Trained(task, spec, model, tokenizer, encoded, prepared, training, timers, measured, runs_at_once, waiting)


def judged_run(trained: Trained[ModelT, EncodedT, ForwardT], on_event: Listener) -> RunResult:
    """Evaluate a trained model, time its answers, and tell all of it. Raises what goes wrong.

    What is saved is the model as it stands now; timing may move merged weights by rounding.
    """
    from safetensors.torch import save_file

    from whichtune.measure.environment import environment
    from whichtune.methods import METHODS
    from whichtune.models.adaptable import Adaptable
    from whichtune.models.retention import retention
    from whichtune.models.saving import trained_state
    from whichtune.training.aside import write_state
    from whichtune.training.finite import told_with_step

    task, spec, model, prepared = trained.task, trained.spec, trained.model, trained.prepared
    training, timers, measured, encoded = trained.training, trained.timers, trained.measured, trained.encoded
    forward = prepared.forward
    on_event({"event": "phase", "phase": "evaluate"})
    gc.collect()
    with told_with_step(spec, training.steps):
        judged = task.evaluate(spec, model, forward, training, trained.tokenizer, timers)
    state = trained_state(model)
    latencies = trained.latencies or {}
    if spec.role is not Role.DRAW and trained.latencies is None:  # timed on test texts
        with timers.phase("latency"):
            latencies = task.latencies(spec, model, forward)
    cost = training_cost(training, timers.seconds, prepared).model_copy(
        update={
            "trainable_parameters": measured.trainable,
            "total_parameters": measured.total,
            "training_joules": measured.joules,
            "peak_memory_bytes": measured.peak,
            "peak_memory_reserved_bytes": measured.reserved,
            "adapter_bytes": sum(t.numel() * t.element_size() for t in state.values()),
            **({} if spec.role is Role.DRAW else retention(spec, model)),
            "latency_seconds": timers.seconds.get("latency"),
            **latencies,
        }
    )
    record = base_record(
        spec,
        RunStatus.COMPLETED,
        metrics=judged.metrics,
        cost=cost,
        shortcuts=prepared.shortcuts,
        context_length=encoded.context_length,
        room=task.room(encoded),
        environment=environment(spec.device, max(trained.runs_at_once(), prepared.conditions.runs_at_once)),
        notes=[
            *(METHODS[spec.method].remarks(model) if isinstance(model, Adaptable) else []),
            *task.notes(encoded),
            *training.notes,
            *_notes(spec, encoded, training, prepared.shortcuts),
            *prepared.notes,
            *judged.notes,
        ],
        stopping=training.stopping,
    )

    def save(folder: Path) -> None:
        if trained.waiting is None:
            save_file(state, folder / "weights.safetensors")
        else:
            waits = {"joules": measured.steps_joules, "peak_memory": measured.peak}
            write_state({**trained.waiting, **waits}, folder / ASIDE)

    return RunResult(record, training.curves, judged.predictions, save)


def _say_used(shortcuts: dict[str, JsonValue], training: Training, rows: UsedRows | None) -> None:
    """The rows of the vocabulary that were trained, where not all were; how many steps a GPU has played from
    recordings, and why no more were recorded, where it has any."""
    used = shortcuts.get("used")
    if not isinstance(used, dict):
        return
    if rows is not None:
        used["vocabulary_rows"] = f"{len(rows.used)} of {len(rows.whole)}"
    if not (training.recorded_steps or training.why_not_recorded):
        return
    used["recorded_steps"] = training.recorded_steps
    if training.why_not_recorded:
        used["not_recorded"] = training.why_not_recorded


def _sum(*parts: float | None) -> float | None:
    """Of all parts; None where one is not known."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _config_of(model: torch.nn.Module) -> PretrainedConfig:
    """The configuration of the transformer inside."""
    return model.get_submodule("backbone").config


def _course(spec: RunSpec, model: torch.nn.Module) -> Course | None:
    """What the run's method does in training beside plain steps."""
    from whichtune.methods import METHODS
    from whichtune.models.adaptable import Adaptable

    method = METHODS[spec.method]
    return method.course(model, method.Settings(**spec.method_settings)) if isinstance(model, Adaptable) else None


def _notes(spec: RunSpec, encoded: EncodedData, training: Training, shortcuts: Mapping[str, JsonValue]) -> list[str]:
    """How long the warm-up was, where it was long, and what batches of similar length have saved."""
    from whichtune.training.batching import bucketing_note

    notes = []
    if spec.base_precision != "float32":
        notes.append(
            f"The matrices of the model's blocks are kept in {spec.base_precision} (bitsandbytes "
            f"{version('bitsandbytes')}), all else in float32; adapters are not merged, which would round them."
        )
    if training.warmup_steps > LONG_WARMUP * training.planned_steps:
        steps, total = min(training.warmup_steps, training.planned_steps), training.planned_steps
        notes.append(
            f"Warm-up takes {steps:,} of {total:,} steps ({100 * steps / total:.0f} %): the learning rate is below its "
            "set value for that long. Set a smaller warmup_steps, or warmup_ratio."
        )
    if spec.batching == "bucketed" and training.steps:
        lengths = [len(ids) for ids in encoded.splits["train"].tokens]
        notes.append(bucketing_note(spec, lengths, _why_no_padding(spec, shortcuts.get("used"))))
    return notes


def _why_no_padding(spec: RunSpec, used: JsonValue) -> str | None:
    """Why batches of similar length save this run nothing; None where they do."""
    used = used if isinstance(used, dict) else {}
    if spec.padding == "right" and used.get("texts") != "unpadded":
        return "all texts are padded to one width"
    if spec.padding == "none":
        return "each text is computed alone"
    if used.get("cached") == "features":
        return "the head reads cached features"
    if used.get("texts") == "first token":
        return "the first token alone is computed"
    return None if used.get("packing", "none") == "none" else "the plan packs texts without padding"
