"""The GPUs of a machine and their memory, told without a context on any of them, and which run goes where.

A CUDA context takes hundreds of MiB of a GPU for as long as its process lives, so the process that only hands runs out
asks NVIDIA's own tools instead of torch.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from whichtune.errors import SettingError

VISIBLE = "CUDA_VISIBLE_DEVICES"
ASK_SECONDS = 20
DEVICE_TITLES = {"cuda": "CUDA", "mps": "MPS"}


def choose_device(wanted: str, devices: frozenset[str] | None = None) -> str:
    """`auto` takes CUDA where there is one, `devices` being what there is (None: what this machine has). Raises
    SettingError where a device is asked for and missing."""
    if wanted == "cpu":
        return "cpu"
    if devices is None:
        devices = _devices_here()
    chosen = "cuda" if wanted == "auto" and "cuda" in devices else "cpu" if wanted == "auto" else wanted
    if chosen not in devices:
        raise SettingError(f"There is no {DEVICE_TITLES[chosen]} device here: use --device cpu, or auto.")
    return chosen


def _devices_here() -> frozenset[str]:
    import torch

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return frozenset(["cpu", *(name for name, there in found.items() if there)])


class Gpu(BaseModel):
    """One GPU: its number as nvidia-smi counts, which need not be CUDA's, its UUID, by which both know it, its model,
    and bytes of memory, all and free."""

    model_config = ConfigDict(frozen=True)
    name: str
    uuid: str
    title: str
    total_bytes: int
    free_bytes: int


def visible_gpus() -> list[Gpu]:
    """The GPUs that this process may use, in CUDA's order; none where nvidia-smi is missing or finds none."""
    fields = "index,uuid,name,memory.total,memory.free"
    try:
        asked = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parsed_gpus(asked.stdout, os.environ.get(VISIBLE))


def parsed_gpus(text: str, visible: str | None) -> list[Gpu]:
    """What nvidia-smi says, a line a GPU, of those that `visible` names by number or UUID (None: of all)."""
    found: dict[str, Gpu] = {}
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != 5 or not (parts[0] + parts[3] + parts[4]).isdigit():
            continue  # a GPU that is lost, or cut into instances that have no memory of their own
        index, uuid, title = parts[:3]
        total, free = (int(part) << 20 for part in parts[3:])
        found[index] = Gpu(name=index, uuid=uuid, title=title, total_bytes=total, free_bytes=free)
    if visible is None:
        return list(found.values())
    chosen = []
    for name in (part.strip() for part in visible.split(",")):
        by_start = (gpu for gpu in found.values() if name and gpu.uuid.startswith(name))
        gpu = found.get(name) or next(by_start, None)
        if gpu is None:
            break  # as CUDA does: what follows a name that is none is not seen
        chosen.append(gpu)
    return chosen


@dataclass
class Load:
    """A GPU with the estimated bytes of the runs that are on it, by run id."""

    gpu: Gpu
    runs: dict[str, int] = field(default_factory=dict)

    @property
    def free(self) -> int:
        return self.gpu.free_bytes - sum(self.runs.values())

    def has_room(self, memory_bytes: int, most: int) -> bool:
        """Whether one run more may go on it, of `most` at a time.

        A GPU on which nothing runs is given to any run: an estimate alone refuses nothing here.
        """
        return not self.runs or (len(self.runs) < most and memory_bytes <= self.free)


class Placement:
    """Which GPU a run is given: at most `per_gpu` runs on one, a second one only where the estimates of both fit."""

    def __init__(self, gpus: Sequence[Gpu], per_gpu: int = 1) -> None:
        self.per_gpu = per_gpu
        self._loads = [Load(gpu) for gpu in gpus]

    @property
    def slots(self) -> int:
        """Runs that can be made at a time."""
        return len(self._loads) * self.per_gpu

    def place(self, run_id: str, memory_bytes: int) -> Gpu | None:
        """The GPU for a run that needs so much memory, taken for it: of those with room the one with the fewest runs,
        then the one with the most free memory. None where it must wait.
        """
        fit = [load for load in self._loads if load.has_room(memory_bytes, self.per_gpu)]
        if not fit:
            return None
        # An empty GPU that is too small comes after a busy one with room.
        best = min(fit, key=lambda load: (memory_bytes > load.free, len(load.runs), -load.free))
        best.runs[run_id] = memory_bytes
        return best.gpu

    def leave(self, run_id: str) -> None:
        """The run has ended, and its memory is free again."""
        for load in self._loads:
            load.runs.pop(run_id, None)
