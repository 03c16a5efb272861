"""What runs are expected to take, for those who place them: seconds against one another, and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whichtune.errors import SettingError, WhichtuneError
from whichtune.executors.devices import Gpu
from whichtune.runs.estimate import estimate_runs
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of
from whichtune.tasks.estimates import ADAM_COPIES, PROCESS_BYTES

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset
    from whichtune.tasks.estimates import Estimate

DOUBT = 1.25  # of a GPU's memory, above which an estimate with activations is believed
FULL_SHARE = 0.8  # of a GPU's memory that frozen weights may take and leave room to train


class Expectations:
    """Estimates by run id, made once for each row and kept from one call to the next."""

    def __init__(self) -> None:
        self._known: dict[str, Estimate] = {}
        self._asked: set[str] = set()
        self._data: dict[str, AnyDataset | None] = {}

    def learn(self, specs: Sequence[RunSpec]) -> None:
        """Estimate the runs that are new. What cannot be estimated has no estimate, and is tried all the same."""
        new = [spec for spec in specs if spec.run_id not in self._asked and spec.role is not Role.BASELINE]
        groups: dict[str, list[RunSpec]] = {}
        for spec in new:
            groups.setdefault(f"{spec.task} {spec.data.model_dump_json()}", []).append(spec)
        for key, group in groups.items():
            if key not in self._data:
                self._data[key] = _loaded(group[0])
            dataset = self._data[key]
            if dataset is not None:
                self._known.update(estimate_runs(group, dataset, faults={}))
        self._asked.update(spec.run_id for spec in new)

    def seconds(self, spec: RunSpec) -> float:
        """Predicted seconds; 0 for a baseline, and for what cannot be estimated."""
        found = self._known.get(spec.run_id)
        return found.seconds if found else 0.0

    def pass_seconds(self, spec: RunSpec) -> float:
        """Those of them for a pass through frozen blocks that another run may have made; 0 as above."""
        found = self._known.get(spec.run_id)
        return 0.0 if found is None or found.shared_seconds is None else found.seconds - found.shared_seconds

    def memory(self, spec: RunSpec) -> int:
        """Predicted bytes of peak memory; 0 as above."""
        found = self._known.get(spec.run_id)
        return found.memory_bytes if found else 0

    def too_large(self, spec: RunSpec, room: int) -> str | None:
        """What would fit into a GPU of so many bytes, where the run does not; None where it may."""
        found = self._known.get(spec.run_id)
        if found is None:
            return None
        certain = found.memory_bytes - found.activation_bytes - PROCESS_BYTES  # which is no memory of a GPU's
        if certain > room:
            weights = certain - 4 * ADAM_COPIES * found.trainable_parameters
            if weights < FULL_SHARE * room:
                return "train fewer of its parameters, as lora or last_block do, or take a smaller model"
            return "its weights alone do not fit in 32 bits: take a smaller model (weights of 4 bits are not read here)"
        if spec.gradient_checkpointing or certain + found.activation_bytes < DOUBT * room:
            return None
        batch = int((room - certain) / (found.activation_bytes / spec.batch_size))
        fewer = f"batch_size={batch} with more accumulation_steps, or " if batch else ""
        return f"set {fewer}gradient_checkpointing=true"

    def longest_first(self, specs: Sequence[RunSpec]) -> list[RunSpec]:
        """The order of list scheduling that ends within 4/3 of the best there is (Graham 1969); ties stay in order."""
        return sorted(specs, key=lambda spec: -self.seconds(spec))


def refuse_too_large(specs: Sequence[RunSpec], expected: Expectations, gpus: Sequence[Gpu]) -> None:
    """Raise SettingError for the first run that is larger than every one of these GPUs, with what would fit.

    What is certain is compared as it is: weights, gradients and the optimiser's moments. Activations are estimated, and
    refused only where they are beyond doubt too many.
    """
    largest = max(gpus, key=lambda gpu: gpu.total_bytes)
    for spec in specs:
        remedy = expected.too_large(spec, largest.total_bytes)
        if remedy is not None:
            raise SettingError(
                f"'{spec.label}' is estimated to need {_size(expected.memory(spec))} of memory, and the largest GPU "
                f"({largest.title}) has {_size(largest.total_bytes)}: {remedy}."
            )


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _loaded(spec: RunSpec) -> AnyDataset | None:
    try:
        return task_of(spec).load(spec.data)
    except WhichtuneError:
        return None  # the run will say so
