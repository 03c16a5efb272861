"""What is told of a run before it is made, and what is the same in it for all tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    import torch

    from whichtune.shortcuts.boundary import Decision
    from whichtune.training.objective import EncodedData, TrainingForward

# Small operations, Python and the optimiser: real steps run below the speed of large matrix products.
EFFICIENCY = 0.5
ADAM_COPIES = 3  # gradients and two moments beside the weights
PROCESS_BYTES = 64 * 2**20  # tokenizer, texts and code that a run loads
PREDICTION_BYTES = 60  # an example's row of predictions.parquet


@dataclass(frozen=True)
class Estimate:
    """Predicted seconds of training and evaluation, bytes of peak memory, bytes on disk with weights saved.

    `shared_seconds` are those that are left where another run has made the pass through the frozen blocks; None: all.
    `evaluation_seconds` are part of `seconds`, and `activation_bytes`, which a smaller batch has fewer of, of
    `memory_bytes`.
    """

    seconds: float
    memory_bytes: int
    disk_bytes: int
    flops: int
    trainable_parameters: int
    shared_seconds: float | None = None
    evaluation_seconds: float = 0.0
    activation_bytes: int = 0


def estimate_of(
    flops: int,
    evaluation_flops: float,
    speed: float,
    trainable: int,
    total: int,
    activation_bytes: int,
    examples: int,
    by_steps: bool = True,
    shared_flops: float = 0.0,
) -> Estimate:
    """The estimate of a run with these operations, parameters and saved activations, at `speed` operations a second.

    `by_steps`: an optimiser trains it, with its gradients and moments. `shared_flops` of its operations are left out
    where another run has made them.
    """
    seconds = (flops + evaluation_flops) / (speed * EFFICIENCY)
    return Estimate(
        seconds=seconds,
        evaluation_seconds=evaluation_flops / (speed * EFFICIENCY),
        shared_seconds=max(0.0, seconds - shared_flops / (speed * EFFICIENCY)),
        memory_bytes=PROCESS_BYTES + 4 * (total + ADAM_COPIES * trainable * by_steps) + activation_bytes,
        activation_bytes=activation_bytes,
        disk_bytes=4 * trainable + PREDICTION_BYTES * examples,
        flops=flops,
        trainable_parameters=trainable,
    )


def in_fewer_bits(estimate: Estimate, saved: int) -> Estimate:
    """The estimate with so many bytes of weights fewer."""
    return replace(estimate, memory_bytes=estimate.memory_bytes - saved)


@dataclass(frozen=True)
class Preview:
    """One row of a study. Operations are of training, evaluation apart: the plain way, with this run's own
    pass over the frozen blocks, and with a pass that another run has made."""

    label: str
    decisions: list[Decision]
    cache_bytes: int
    flops_plain: int
    flops_alone: int
    flops_shared: int

    @property
    def saving_alone(self) -> float | None:
        """How many times fewer operations, the run's own cache included; None where nothing is trained."""
        return self.flops_plain / max(1, self.flops_alone) if self.flops_plain else None

    @property
    def saving_shared(self) -> float | None:
        """The same where another run has filled the cache."""
        return self.flops_plain / max(1, self.flops_shared) if self.flops_plain else None


def with_one_pass(
    plain: int, spec: RunSpec, lengths: Sequence[int], batches: Sequence[Sequence[int]], lower: Callable[[int], int]
) -> int:
    """Operations of training whose frozen blocks are computed once for each text and not at every step.

    `plain` are those of the plain way over an epoch's `batches` of texts of these `lengths`, padded to their longest;
    `lower(length)` are those of one text's frozen blocks.
    """
    from whichtune.training.trainer import steps_in_total

    epoch = sum(len(rows) * lower(max(lengths[row] for row in rows)) for rows in batches)
    steps = steps_in_total(len(lengths), spec) * spec.accumulation_steps
    return plain - round(epoch * steps / max(1, len(batches))) + sum(map(lower, lengths))


def examples_in(encoded: EncodedData) -> int:
    """Examples of all splits."""
    return sum(map(len, encoded.splits.values()))


def saved_bytes(model: torch.nn.Module, loss: Callable[[], object]) -> int:
    """Bytes that the backward pass of `loss()` keeps, parameters apart, each tensor once."""
    import torch

    parameters = {p.untyped_storage()._cdata for p in model.parameters()}
    sizes: dict[int, int] = {}
    kept: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        key = tensor.untyped_storage()._cdata
        if key not in parameters:
            sizes[key] = tensor.untyped_storage().nbytes()
            kept.append(tensor)  # alive, so that no storage's address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss()
    return sum(sizes.values())


def training_batches(spec: RunSpec, lengths: Sequence[int]) -> list[list[int]]:
    """The batches of a run's first epoch over texts of these lengths; one batch of everything for a closed form."""
    from whichtune.methods import METHODS
    from whichtune.training.batching import first_epoch

    return [list(range(len(lengths)))] if METHODS[spec.method].closed_form else first_epoch(spec, lengths)


def training_operations(spec: RunSpec, forward: TrainingForward, batches: Sequence[Sequence[int]]) -> int:
    """Operations of a run's training: those of the first epoch's batches, times its epochs."""
    from whichtune.methods import METHODS
    from whichtune.training.trainer import steps_in_total

    if METHODS[spec.method].closed_form:
        tokens = forward.encoded.splits["train"].tokens
        order = sorted(range(len(tokens)), key=lambda row: -len(tokens[row]))
        import torch

        with torch.no_grad():
            return sum(forward.training_flops(order[at : at + 32]) for at in range(0, len(order), 32))
    epoch = sum(forward.training_flops(list(batch)) for batch in batches)
    steps = steps_in_total(len(forward.encoded.splits["train"]), spec)
    return round(epoch * steps * spec.accumulation_steps / max(1, len(batches)))
