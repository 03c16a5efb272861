"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from whichtune.measure.cost import Timers
from whichtune.models.course import Course
from whichtune.records.events import Event, Listener
from whichtune.records.record import CurvePoint
from whichtune.study.spec import RunSpec
from whichtune.training.aside import State, check_can_wait, state_of, take_up
from whichtune.training.captured import recorded_steps
from whichtune.training.finite import STEPS_AT_A_TIME, LossWatch, check_weights, told_with_step
from whichtune.training.objective import CurveWatcher, Objective, OwnRows, TrainingForward
from whichtune.training.stopping import EarlyStopping
from whichtune.training.streams import Streams, streams_of

if TYPE_CHECKING:
    from whichtune.records.record import Stopping


@dataclass
class Training:
    """What the loop leaves behind beside the trained classifier."""

    curves: list[CurvePoint] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    steps: int = 0
    examples: int = 0
    real_tokens: int = 0
    padding_tokens: int = 0
    flops: int = 0
    epochs: float = 0.0
    curve_seconds: float = 0.0
    final_train_rows: list[int] | None = None  # judged at the end; None: all
    planned_steps: int = 0
    warmup_steps: int = 0
    stopping: Stopping | None = None
    recorded_steps: int = 0  # played from a recording, on a GPU
    why_not_recorded: str | None = None
    notes: list[str] = field(default_factory=list)  # what was chosen where the head was fitted in one go


@dataclass
class _Window:
    """Sums since the last point of the curves; tensors, so that a GPU is not waited for at every step."""

    loss: list[Tensor] = field(default_factory=list)
    correct: list[Tensor] = field(default_factory=list)
    examples: int = 0

    def close(self) -> dict[str, float]:
        """The mean loss, and the accuracy where it was counted."""
        figures = {"train_loss": float(torch.stack(self.loss).mean())}
        if self.correct:
            figures["train_accuracy"] = float(torch.stack(self.correct).sum()) / max(1, self.examples)
        self.loss, self.correct, self.examples = [], [], 0
        return figures


def step_groups(batches: list[list[int]], accumulation: int) -> Iterator[list[list[int]]]:
    """The batches of each optimiser step; the last group of an epoch may be shorter."""
    for start in range(0, len(batches), accumulation):
        yield batches[start : start + accumulation]


def steps_in_total(n: int, spec: RunSpec) -> int:
    """Optimiser steps of a whole run over `n` training examples."""
    steps = spec.epochs * steps_of_epoch(n, spec)
    return min(steps, spec.max_steps) if spec.max_steps else steps


def steps_of_part(total: int, part: float) -> int:
    """Optimiser steps of a share of a run's `total`, never more than the share."""
    return max(1, int(total * part))


def steps_of_epoch(n: int, spec: RunSpec) -> int:
    """Optimiser steps of one pass over `n` training examples."""
    batches = n // spec.batch_size if spec.drop_last else -(-n // spec.batch_size)
    return -(-batches // spec.accumulation_steps)


def warmup_of(spec: RunSpec, total: int) -> int:
    """Steps of linear warm-up in a run of `total` steps."""
    return round(total * spec.warmup_ratio) if spec.warmup_steps is None else spec.warmup_steps


def learning_rate_factor(step: int, total: int, warmup: int, schedule: str) -> float:
    """Share of the learning rate used at `step` (from 0): linear warm-up, then constant, linear or cosine to 0."""
    import math

    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    return 1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def validation_rows(spec: RunSpec, n: int) -> range:
    """Which of `n` validation texts points of the curves are of."""
    return range(n if spec.evaluation_batches is None else min(n, spec.evaluation_batches * spec.batch_size))


def make_optimiser(classifier: nn.Module, spec: RunSpec, course: Course) -> torch.optim.Optimizer:
    """AdamW over what trains, in the groups of its course, fused where the device has it."""
    groups = course.groups(classifier)
    parameters = [p for group in groups for p in group.parameters]
    assert spec.learning_rate is not None  # resolved before a run starts
    return torch.optim.AdamW(
        [{"params": list(group.parameters), FACTOR: group.factor} for group in groups],
        lr=spec.learning_rate,
        betas=(spec.beta1, spec.beta2),
        weight_decay=spec.weight_decay,
        fused=spec.plan == "auto" and all(p.is_floating_point() for p in parameters),
    )


FACTOR = "rate_factor"  # of a group of parameters: what its rate is of the run's


class Trainer:
    """One run's optimisation. `train()` runs it to the end; its parts are small enough to test alone.

    `objective` is what the task minimises; `watcher`, where there is one, decides when the curves get their points, and
    draws from the run's `streams` as it does so; `course` is what the method does beside plain steps.
    """

    def __init__(
        self,
        classifier: nn.Module,
        forward: TrainingForward,
        spec: RunSpec,
        timers: Timers,
        objective: Objective,
        on_event: Listener = lambda event: None,
        streams: Streams | None = None,
        watcher: CurveWatcher | None = None,
        course: Course | None = None,
    ) -> None:
        forward = objective.steps_on if isinstance(objective, OwnRows) else forward
        self.classifier, self.forward, self.spec = classifier, forward, spec
        self.timers, self.on_event = timers, on_event
        self.split = forward.encoded.splits["train"]
        self.lengths = [len(ids) for ids in self.split.tokens]
        self.objective = objective
        self.total = steps_in_total(len(self.split), spec)
        self.warmup = warmup_of(spec, self.total)
        self.course = course or Course()
        self.course.begin(self.total)
        self.optimiser = make_optimiser(classifier, spec, self.course)
        self.trained = [p for p in classifier.parameters() if p.requires_grad]  # a walk over all modules costs 1 ms
        self.recorded = recorded_steps(spec, objective, self.trained, forward.device, self.course)
        self.scaler = torch.amp.GradScaler(forward.device.type, enabled=spec.precision == "fp16")
        self.streams = streams or streams_of(spec)
        self.watcher = watcher
        self.stopping = (
            EarlyStopping(classifier, spec.early_stopping, spec.patience, spec.min_delta)
            if spec.early_stopping != "none"
            else None
        )
        self.result = Training(planned_steps=self.total, warmup_steps=self.warmup)
        self.window = _Window()
        self.losses = LossWatch(spec)
        self.seconds_of_epoch = 0.0
        self.in_step = False
        self.epoch = self.position = 0  # passes begun before this one, and steps made of this one
        self.batches: list[list[int]] | None = None  # of this pass; None: not drawn yet
        self.until: int | None = None
        self.aside: State | None = None

    def train(self, part: float | None = None, state: State | None = None) -> Training:
        """All epochs, or `max_steps` steps, or until early stopping ends it.

        With `part`, that share of all steps: `aside` then has the state with which another trainer of the same run goes
        on as if there had been no pause. The curves get a point at every evaluation interval and at the end. Raises
        DivergedError where a loss, the validation logits or the weights are not finite, and SettingError where a method
        cannot be put aside.
        """
        spec, result = self.spec, self.result
        if part is not None:
            self.until = steps_of_part(self.total, part)
            check_can_wait(self)
        self.streams.begin_training()
        if state is not None:
            take_up(self, state)
            result = self.result
        self.classifier.train()
        while self.epoch < spec.epochs and not self._is_over and not self._pauses:
            self._rest_of_epoch()
        self.losses.check()
        if self.recorded is not None:
            result.recorded_steps, result.why_not_recorded = self.recorded.played, self.recorded.why_not
            self.recorded = None  # the device has its memory again
        if part is not None:
            self.aside = state_of(self)
        if self.stopping is not None:
            planned = self.total / max(1, steps_of_epoch(len(self.split), spec))
            result.stopping = self.stopping.finish(result.steps, result.epochs, self.total, round(planned, 6))
        with told_with_step(spec, result.steps):
            check_weights(self.classifier)
        result.final_train_rows = self.streams.final_train_rows(len(self.split))
        return result

    def _rest_of_epoch(self) -> None:
        """The steps of this pass that are left, up to a pause, and the way to the next."""
        if self.batches is None:
            self.batches = self.streams.train_batches(len(self.split), self.lengths)
            self.seconds_of_epoch, self.position = 0.0, 0
        groups = list(step_groups(self.batches, self.spec.accumulation_steps))
        while self.position < len(groups) and not self._is_over and not self._pauses:
            self.step(groups[self.position])
            self.position += 1
            self.result.epochs = self.epoch + self.position / len(groups)
            self._after_step(end_of_epoch=self.position == len(groups))
        self._settle()
        if self._is_over or self.position == len(groups):
            self.result.epoch_seconds.append(self.seconds_of_epoch)
            self.epoch, self.batches = self.epoch + 1, None

    @property
    def _pauses(self) -> bool:
        return self.until is not None and self.result.steps >= self.until

    @property
    def _is_over(self) -> bool:
        return self.result.steps >= self.total or (self.stopping is not None and self.stopping.is_over)

    def step(self, group: list[list[int]]) -> None:
        """One optimiser step over a group of batches, weighted so that it equals one large batch."""
        begin, evaluating = time.perf_counter(), self.result.curve_seconds
        self.in_step = True
        spec, factor = (
            self.spec,
            learning_rate_factor(self.result.steps, self.total, self.warmup, self.spec.schedule),
        )
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = (spec.learning_rate or 0.0) * factor * parameters[FACTOR]
        rows_of_group = [row for batch in group for row in batch]
        with self.course.step(self.result.steps):
            losses = self._gradients(group)
            self._update()
        self.window.loss.append(torch.stack(losses).sum())
        self.losses.see(self.result.steps + 1, self.window.loss[-1])
        self.window.examples += len(rows_of_group)
        self.in_step = False
        self._spend(time.perf_counter() - begin - (self.result.curve_seconds - evaluating))
        self._count(group)

    def _spend(self, seconds: float) -> None:
        self.seconds_of_epoch += seconds
        self.timers.seconds["train"] = self.timers.seconds.get("train", 0.0) + seconds

    def _settle(self) -> None:
        """Wait for a GPU, which computes steps while the next are laid out: the wait is part of the steps. Within one,
        it is counted with it."""
        begin = time.perf_counter()
        ready = self.timers.now()
        if not self.in_step:
            self._spend(ready - begin)

    def _gradients(self, group: list[list[int]]) -> list[Tensor]:
        """The gradients of a group of batches, and each batch's share of the loss."""
        losses = []
        for index, (rows, divisor) in enumerate(zip(group, self._divisors(group), strict=True)):
            if index > 0 and self.watcher is not None:
                self._watched_point(self.watcher.after_batch)
            loss, correct = self._passes(rows, divisor, alone=len(group) == 1)
            losses.append(loss)
            if correct is not None:
                self.window.correct.append(correct)
        if (penalty := self.course.penalty()) is not None:
            self.scaler.scale(penalty).backward()
        return losses

    def _passes(self, rows: list[int], divisor: float, alone: bool) -> tuple[Tensor, Tensor | None]:
        """A batch's share of the loss, and how many of it are right; its gradients are added to the parameters'."""
        if self.recorded is not None and alone:
            found = self.recorded.loss_and_gradients(rows, divisor)
            if found is not None:
                return found
        summed, correct = self.objective.loss(rows)
        loss = summed / divisor
        self.scaler.scale(loss).backward()
        return loss.detach(), correct

    def _update(self) -> None:
        if self.spec.gradient_clip is not None:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_([p for p in self.trained if p.grad is not None], self.spec.gradient_clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.course.after_update(self.result.steps)
        self.optimiser.zero_grad(set_to_none=True)

    def _divisors(self, group: list[list[int]]) -> list[float]:
        """By what each batch's summed loss is divided, so that a step's loss is a mean over what has a loss."""
        counts = [self.objective.weight(rows) for rows in group]
        if self.spec.accumulation_tail == "reference":
            return [(count or 1) * self.spec.accumulation_steps for count in counts]
        return [sum(counts) or 1] * len(group)

    def _count(self, group: list[list[int]]) -> None:
        self.result.steps += 1
        for rows in group:
            lengths = [self.lengths[row] for row in rows]
            self.result.examples += len(rows)
            self.result.real_tokens += sum(lengths)
            encoded = self.forward.encoded
            width = encoded.context_length if encoded.padding == "right" else max(lengths)
            if encoded.padding != "none":
                self.result.padding_tokens += width * len(rows) - sum(lengths)
            self.result.flops += self.forward.training_flops(rows)

    def _after_step(self, end_of_epoch: bool) -> None:
        spec, steps = self.spec, self.result.steps
        interval = spec.evaluation_interval
        at_end = end_of_epoch and (interval == "epoch" or spec.evaluation_at_epoch_ends)
        due = at_end or (interval != "epoch" and steps % int(interval) == 0)
        if due or self.forward.device.type == "cpu" or steps % STEPS_AT_A_TIME == 0:
            self._settle()
            self.losses.check()
        event: Event = {"event": "step", "step": steps, "steps": self.until or self.total, "epoch": self.result.epochs}
        if self.watcher is not None:
            self._watched_point(self.watcher.after_batch)
            if end_of_epoch:
                self._watched_point(self.watcher.after_epoch)
            self.on_event({**event, "train_loss": float(self.window.loss[-1])})
            return
        if due or steps == self.total:
            point = self._point()
            self.result.curves.append(point)
            if self.stopping is not None:
                with self._evaluation():  # copying the best weights is part of watching, not of training
                    self.stopping.see(point)
            told = ("train_loss", "validation_loss", "validation_accuracy")
            event = cast("Event", {**event, **{key: point[key] for key in told if key in point}})
        elif self.forward.device.type == "cpu":
            event["train_loss"] = float(self.window.loss[-1])
        self.on_event(event)

    @contextmanager
    def _evaluation(self) -> Iterator[None]:
        self._settle()
        before = self.timers.seconds.get("evaluate", 0.0)
        with self.timers.phase("evaluate"):
            yield
        self.result.curve_seconds += self.timers.seconds["evaluate"] - before

    def _watched_point(self, due: Callable[[], Callable[[], CurvePoint] | None]) -> None:
        """Add a point to the curves, if one is due."""
        if (evaluate := due()) is None:
            return
        with self._evaluation(), told_with_step(self.spec, self.result.steps):
            found = evaluate()
        point: CurvePoint = {"step": self.result.steps, **found}
        point["learning_rate"] = self.optimiser.param_groups[0]["lr"]
        point["seconds"] = self.timers.seconds.get("train", 0.0)
        self.result.curves.append(point)
        self.on_event(cast("Event", {"event": "point", **point}))

    def _point(self) -> CurvePoint:
        """One point of the curves: training figures since the last point, validation figures now."""
        train = self.window.close()
        rows = validation_rows(self.spec, len(self.forward.encoded.splits["validation"]))
        with self._evaluation(), told_with_step(self.spec, self.result.steps):
            validation = self.objective.point(rows)
        return {
            "step": self.result.steps,
            "epoch": round(self.result.epochs, 6),
            **train,
            **validation,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "seconds": self.timers.seconds.get("train", 0.0),
        }
