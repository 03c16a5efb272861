"""Linear heads over the same frozen features, trained as one problem: their weights lie in one stack.

Each head has its own order of rows, its own rate, decay and betas, and its own clipping, so that it takes the course
that it takes alone, rounding apart. What they have in common is when a step ends: texts, batch size, epochs, and when
the curves get a point.

Shapes: K heads, B rows of a batch, C outputs, D features.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from whichtune.errors import DivergedError, NotFiniteError
from whichtune.records.record import CurvePoint
from whichtune.study.spec import RunSpec
from whichtune.training.finite import diverged
from whichtune.training.objective import EncodedData, Objective
from whichtune.training.streams import Streams, streams_of
from whichtune.training.trainer import Training, learning_rate_factor, warmup_of

EPSILON = 1e-8  # of AdamW, torch's default
CLIP_EPSILON = 1e-6  # of `clip_grad_norm_`


class RowObjective(Objective, Protocol):
    """An objective whose loss is one of rows of logits, with a target (n, ...) each."""

    targets: Tensor

    def begin(self) -> None:
        """Called when the weights move."""

    def judged(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """The summed loss of logits (B, C) and their targets, and how many are right (None: not counted)."""


@dataclass
class HeadCourse:
    """What one head's training came to; `fault` where it ended early."""

    curves: list[CurvePoint] = field(default_factory=list)
    curve_seconds: float = 0.0
    real_tokens: int = 0
    padding_tokens: int = 0
    fault: DivergedError | None = None

    def like(self, alone: Training, spec: RunSpec, streams: Streams, n: int) -> Training:
        """What a trainer would have left behind of it; times of steps are those of the head that was trained alone."""
        return replace(
            alone,
            warmup_steps=warmup_of(spec, alone.planned_steps),
            curves=self.curves,
            curve_seconds=self.curve_seconds,
            real_tokens=self.real_tokens,
            padding_tokens=self.padding_tokens,
            final_train_rows=streams.final_train_rows(n),
        )


class StackedHeads:
    """The heads of runs with these `specs`, begun with the weights of `heads`, over `features` (n, D) of the training
    texts. `alone` is the training of the first of them by itself: it tells when the curves get their points."""

    def __init__(
        self,
        specs: Sequence[RunSpec],
        heads: Sequence[nn.Linear],
        features: Tensor,
        encoded: EncodedData,
        objective: RowObjective,
        alone: Training,
    ) -> None:
        self.specs, self.features, self.objective, self.alone = specs, features, objective, alone
        self.encoded, device = encoded, features.device
        self.warmups = [warmup_of(spec, alone.planned_steps) for spec in specs]
        self.weight = torch.stack([head.weight.detach() for head in heads]).to(device).requires_grad_()
        self.bias = torch.stack([head.bias.detach() for head in heads]).to(device).requires_grad_()
        self.streams = [streams_of(spec) for spec in specs]
        self.courses = [HeadCourse() for _ in specs]
        self.seconds = 0.0  # that training all of them took
        self._targets = objective.targets.to(device)
        self._lengths = torch.tensor([len(ids) for ids in encoded.splits["train"].tokens])
        self._judged = torch.func.vmap(_tensors_of(objective))
        self._optimiser = StackedAdamW([self.weight, self.bias], specs)
        self._since: list[tuple[Tensor, Tensor | None, int]] = []  # of the steps since the last point
        self._real = torch.zeros(len(specs), dtype=torch.long)
        self._padding = torch.zeros(len(specs), dtype=torch.long)

    def train(self, watch: Callable[[int], CurvePoint]) -> None:
        """All steps. `watch(k)` gives the validation figures of a point of head k's curves, whose weights `put` has;
        `courses` tell what came of each. Raises what the objective's own code raises."""
        begin, step = time.perf_counter(), 0
        due = {point["step"]: point for point in self.alone.curves}
        while step < self.alone.steps:
            passes = [streams.train_batches(len(self.features)) for streams in self.streams]
            for batches in zip(*passes, strict=True):
                if step == self.alone.steps:
                    break
                self._step(step, torch.tensor(batches))
                step += 1
                if step in due:
                    self._points(step, due[step], watch)
        for course, real, padding in zip(self.courses, self._real.tolist(), self._padding.tolist(), strict=True):
            course.real_tokens, course.padding_tokens = real, padding
        self._check_weights()
        self.seconds = time.perf_counter() - begin

    def put(self, number: int, head: nn.Linear) -> None:
        """Give a layer the weights of a head as they are now."""
        with torch.no_grad():
            head.weight.copy_(self.weight[number])
            head.bias.copy_(self.bias[number])
        self.objective.begin()

    # -- steps -------------------------------------------------------------------------------------

    def _step(self, step: int, rows: Tensor) -> None:
        """One step of every head over its own `rows` (K, B)."""
        on_device = rows.to(self.features.device)
        logits = torch.baddbmm(self.bias[:, None], self.features[on_device], self.weight.transpose(1, 2))
        summed, *correct = self._judged(logits, self._targets[on_device])
        divisors = [self.objective.weight(each) or 1 for each in rows.tolist()]
        losses = summed / torch.tensor(divisors, dtype=summed.dtype, device=summed.device)
        gradients = torch.autograd.grad(losses.sum(), (self.weight, self.bias))
        self._optimiser.step(self._clipped(gradients), self._rates(step))
        self._since.append((losses.detach(), correct[0] if correct else None, rows.shape[1]))
        self._count(rows)

    def _rates(self, step: int) -> list[float]:
        total = self.alone.planned_steps
        return [
            (spec.learning_rate or 0.0) * learning_rate_factor(step, total, warmup, spec.schedule)
            for spec, warmup in zip(self.specs, self.warmups, strict=True)
        ]

    def _clipped(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Each head's gradients by its own norm."""
        most = self.specs[0].gradient_clip
        if most is None:
            return list(gradients)
        norms = torch.stack([each.flatten(1).norm(dim=1) for each in gradients]).norm(dim=0)
        shares = (most / (norms + CLIP_EPSILON)).clamp(max=1.0)
        return [each * _beside(shares, each) for each in gradients]

    def _count(self, rows: Tensor) -> None:
        lengths, padding = self._lengths[rows], self.encoded.padding
        real = lengths.sum(1)
        self._real += real
        if padding != "none":
            widths = torch.full_like(real, self.encoded.context_length) if padding == "right" else lengths.amax(1)
            self._padding += widths * rows.shape[1] - real

    # -- points ------------------------------------------------------------------------------------

    def _points(self, step: int, like: CurvePoint, watch: Callable[[int], CurvePoint]) -> None:
        """A point for every head, where the one that was trained alone had the point `like`."""
        losses = torch.stack([loss for loss, _, _ in self._since])
        counted = [correct for _, correct, _ in self._since if correct is not None]
        examples = sum(size for _, _, size in self._since)
        means = losses.mean(0).tolist()
        right = torch.stack(counted).sum(0).tolist() if counted else None
        rates = self._rates(step - 1)
        for number, course in enumerate(self.courses):
            if course.fault is not None:
                continue
            begin = time.perf_counter()
            try:
                self._check_losses(number, losses[:, number], step)
                validation = watch(number)
            except NotFiniteError as error:
                course.fault = diverged(self.specs[number], step, str(error))
            except DivergedError as error:
                course.fault = error
            else:
                train = {"train_loss": means[number]} | (
                    {} if right is None else {"train_accuracy": right[number] / examples}
                )
                told = {"learning_rate": rates[number], "seconds": like["seconds"]}
                course.curves.append({"step": step, "epoch": like["epoch"], **train, **validation, **told})
            course.curve_seconds += time.perf_counter() - begin
        self._since = []

    def _check_losses(self, number: int, losses: Tensor, step: int) -> None:
        """Raise DivergedError for the first loss of the steps up to this one that is no number."""
        broken = (~losses.isfinite()).nonzero()
        if len(broken):
            first = int(broken[0])
            raise diverged(self.specs[number], step - len(losses) + 1 + first, f"the loss is {float(losses[first])}")

    def _check_weights(self) -> None:
        for number, course in enumerate(self.courses):
            for name, stack in (("head.weight", self.weight), ("head.bias", self.bias)):
                if course.fault is None and not bool(stack[number].isfinite().all()):
                    what = f"the weights of {name} are not finite"
                    course.fault = diverged(self.specs[number], self.alone.steps, what)


class StackedAdamW:
    """AdamW (Loshchilov and Hutter 2019) of K heads, `stacks` being (K, ...), each by its own betas and decay."""

    def __init__(self, stacks: Sequence[Tensor], specs: Sequence[RunSpec]) -> None:
        self.stacks, self.steps = stacks, 0
        self.means = [torch.zeros_like(stack) for stack in stacks]
        self.squares = [torch.zeros_like(stack) for stack in stacks]
        # Numbers of each head are kept in float64, as torch's optimiser has them.
        self.beta1, self.beta2, self.decay = (
            torch.tensor([getattr(spec, name) for spec in specs], dtype=torch.float64)
            for name in ("beta1", "beta2", "weight_decay")
        )

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rates: Sequence[float]) -> None:
        """One step by `gradients` (K, ...) at these rates, one of each head."""
        self.steps += 1
        rate = torch.tensor(rates, dtype=torch.float64)
        kept = 1 - rate * self.decay
        size = rate / (1 - self.beta1**self.steps)
        root = (1 - self.beta2**self.steps).sqrt()
        for stack, gradient, mean, square in zip(self.stacks, gradients, self.means, self.squares, strict=True):
            stack.mul_(_beside(kept, stack))
            mean.lerp_(gradient, _beside(1 - self.beta1, stack))
            square.mul_(_beside(self.beta2, stack)).addcmul_(gradient, gradient * _beside(1 - self.beta2, stack))
            stack.sub_(_beside(size, stack) * mean / (square.sqrt() / _beside(root, stack) + EPSILON))


def _beside(numbers: Tensor, stack: Tensor) -> Tensor:
    """A number (K,) for each part of a stack (K, ...), of its type and on its device."""
    return numbers.to(stack.device, stack.dtype).reshape(-1, *[1] * (stack.ndim - 1))


def _tensors_of(objective: RowObjective) -> Callable[[Tensor, Tensor], tuple[Tensor, ...]]:
    """What an objective judges, without what it does not count."""

    def judged(logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        return tuple(found for found in objective.judged(logits, targets) if found is not None)

    return judged
