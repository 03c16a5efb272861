"""Training steps that a GPU plays from a recording (CUDA graph), one for each shape of batch.

Launching the hundreds of small kernels of a step takes the processor longer than the GPU takes to compute them. A
recording launches them all at once. Each is played once beside the step that was computed as ever, on the same numbers
and the same draws of dropout, before it is trusted; where they differ by more than rounding, or a step cannot be
recorded, steps go on as ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from whichtune.models.weights import first_line
from whichtune.training.forward import GRADIENT_TOLERANCE
from whichtune.training.stage import Stage, Staged

if TYPE_CHECKING:
    from whichtune.models.course import Course
    from whichtune.study.spec import RunSpec
    from whichtune.training.objective import Objective

# A shape is recorded when it is seen for the second time; so many are kept.
MOST_RECORDINGS = 48

Step = Callable[[Stage], tuple[Tensor, "Tensor | None"]]


class RecordedSteps:
    """The passes of a run's steps, played where their shape has been recorded.

    `why_not` tells why steps are no longer recorded, None while they are; `played` counts steps.
    """

    def __init__(self, objective: Staged, parameters: Sequence[nn.Parameter], device: torch.device, spec: RunSpec):
        self.objective, self.parameters, self.device = objective, list(parameters), device
        self.tolerance = GRADIENT_TOLERANCE[spec.precision]
        self.played = 0
        self.why_not: str | None = None
        self._recordings: dict[Hashable, Recording] = {}
        self._gradients: list[Tensor | None] | None = None  # of the first recording: all put theirs there
        self._seen: Counter[Hashable] = Counter()
        self._memory = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def loss_and_gradients(self, rows: list[int], divisor: float) -> tuple[Tensor, Tensor | None] | None:
        """The rows' loss divided by `divisor`, and how many are right; the gradients are put into the parameters.

        None where the batch cannot be staged: nothing has been computed."""
        if (stage := self.objective.staged(rows)) is None:
            return None
        stage = stage.beside(divisor=torch.tensor(float(divisor)))
        key = stage.key
        if (recording := self._recordings.get(key)) is not None:
            self.played += 1
            return recording.play(stage, self.parameters)
        self._seen[key] += 1
        if self._seen[key] < 2 or self.why_not is not None or len(self._recordings) >= MOST_RECORDINGS:
            return self._plain(stage)
        return self._recorded(stage)

    def _step(self, stage: Stage) -> tuple[Tensor, Tensor | None]:
        summed, correct = self.objective.loss_of(stage)
        return summed / stage.tensors["divisor"], correct

    def _plain(self, stage: Stage) -> tuple[Tensor, Tensor | None]:
        loss, correct = self._step(stage.on(self.device))
        loss.backward()
        return loss.detach(), correct

    def _recorded(self, stage: Stage) -> tuple[Tensor, Tensor | None]:
        """This step as ever and a recording of it, whose gradients are taken where they are the same.

        The memory of a step's gradients is needed once: what they are compared by is a few numbers of each.
        """
        begin = torch.cuda.get_rng_state(self.device)
        found = self._plain(stage)
        expected = _marks(self.parameters)
        after = torch.cuda.get_rng_state(self.device)
        self._forget()
        try:
            recording = Recording(self._step, stage, self.parameters, self.device, self._memory, self._gradients)
            torch.cuda.set_rng_state(begin, self.device)
            played = recording.play(stage, self.parameters)
            self.why_not = self._difference(played[0], found[0], expected)
        except torch.OutOfMemoryError:  # the step as ever had enough
            self.why_not = "there is no memory for recordings"
        except RuntimeError as error:  # what a step does that cannot be recorded, such as looking at a number
            self.why_not = f"{type(error).__name__}: {first_line(error)}"
        if self.why_not is None:
            torch.cuda.set_rng_state(after, self.device)
            self._recordings[stage.key], self._gradients = recording, recording.gradients
            return found
        self._forget()
        self._recordings, self._gradients = {}, None
        torch.cuda.empty_cache()
        torch.cuda.set_rng_state(begin, self.device)
        return self._plain(stage)

    def _forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def _difference(self, loss: Tensor, expected: Tensor, marks: Tensor) -> str | None:
        """How what was played differs from the step as ever; None where it does not."""
        if not abs(float(loss) - float(expected)) <= self.tolerance * max(1.0, abs(float(expected))):
            return f"a recorded step's loss is {float(loss):.6g}, and {float(expected):.6g} as ever"
        away, largest = float((_marks(self.parameters) - marks).abs().max()), float(marks[:, 1].max())
        if not away <= self.tolerance * max(largest, 1e-6):
            return f"a recorded step's gradients differ by {away:.1e}, where the largest norm is {largest:.1e}"
        return None


def _marks(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Three numbers of each gradient (P, 3) by which another is told apart: its largest, its norm, and its product with
    numbers drawn for it; zero where there is none."""
    device = parameters[0].device
    draws, found = torch.Generator(device), []
    for number, parameter in enumerate(parameters):
        if (gradient := parameter.grad) is None:
            found.append(torch.zeros(3, device=device))
            continue
        flat = gradient.float().flatten()
        drawn = torch.randn(flat.shape, generator=draws.manual_seed(number), device=device)
        found.append(torch.stack([flat.abs().max(), flat.norm(), flat.dot(drawn)]))
    return torch.stack(found)


class Recording:
    """One step's passes as a CUDA graph. Raises RuntimeError where they cannot be recorded."""

    def __init__(
        self,
        step: Step,
        stage: Stage,
        parameters: Sequence[nn.Parameter],
        device: torch.device,
        memory: Any,
        gradients: list[Tensor | None] | None = None,
    ) -> None:
        self.stage = stage.held(device)
        self._graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            self._graph.capture_begin(pool=memory)
            try:
                loss, self._correct = step(self.stage)
                # Not `backward`: its last nodes belong to the stream on which the parameters were first used.
                found = torch.autograd.grad(loss, list(parameters), allow_unused=True)
                self.gradients = _own(found, parameters) if gradients is None else _put_into(gradients, found)
            finally:
                self._graph.capture_end()
        torch.cuda.current_stream(device).wait_stream(aside)
        self._loss = loss.detach()

    def play(self, stage: Stage, parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor | None]:
        """The loss of another batch of the same key, and how many are right; gradients stand in the parameters until
        this or another recording is played."""
        self.stage.take(stage)
        self._graph.replay()
        for parameter, gradient in zip(parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return self._loss.clone(), None if self._correct is None else self._correct.clone()


def _own(gradients: Sequence[Tensor | None], parameters: Sequence[nn.Parameter]) -> list[Tensor | None]:
    """The gradients laid out as their parameters are and none in another's memory, as `backward` leaves them: an update
    may scale them in place."""
    places: set[int] = set()
    found: list[Tensor | None] = []
    for gradient, parameter in zip(gradients, parameters, strict=True):
        if gradient is not None and (gradient.stride() != parameter.stride() or gradient.data_ptr() in places):
            gradient = torch.empty_like(parameter).copy_(gradient)
        if gradient is not None:
            places.add(gradient.data_ptr())
        found.append(gradient)
    return found


def _put_into(held: list[Tensor | None], found: Sequence[Tensor | None]) -> list[Tensor | None]:
    """`held` with the numbers of `found`. Raises RuntimeError where other parameters have gradients."""
    if [gradient is None for gradient in held] != [gradient is None for gradient in found]:
        raise RuntimeError("batches of this shape give gradients to other parameters")
    there = [gradient for gradient in held if gradient is not None]
    torch._foreach_copy_(there, [gradient for gradient in found if gradient is not None])
    return held


def recorded_steps(
    spec: RunSpec, objective: Objective, parameters: Sequence[nn.Parameter], device: torch.device, course: Course
) -> RecordedSteps | None:
    """Steps that may be recorded; None where all are as ever: off a GPU, by the plain way, and where steps differ."""
    from whichtune.models.course import Course as Plain

    differ = type(course).step is not Plain.step or type(course).penalty is not Plain.penalty
    if device.type != "cuda" or spec.plan == "off" or spec.precision == "fp16" or differ or not parameters:
        return None
    return RecordedSteps(objective, parameters, device, spec) if isinstance(objective, Staged) else None
