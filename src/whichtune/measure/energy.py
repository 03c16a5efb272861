"""Energy as the machine itself counts it: Linux's RAPL for processors, NVML for NVIDIA's GPUs.

RAPL counts microjoules of a whole processor package, whoever uses it, and starts again at a limit that it names
(https://docs.kernel.org/power/powercap/powercap.html). NVML counts millijoules of a GPU since its driver was loaded.
Where neither can be read, nothing is measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")
PACKAGE = re.compile(r"intel-rapl:\d+")  # a package; its parts, such as `intel-rapl:0:1`, are counted in it


class EnergyMeter:
    """Joules since it was made, of the processors and, on CUDA, of the GPU."""

    def __init__(self, device: torch.device) -> None:
        zones = [_Zone(folder) for folder in sorted(POWERCAP.glob("*")) if PACKAGE.fullmatch(folder.name)]
        self._readers: list[Callable[[], float]] = [zone.joules for zone in zones if zone.works]
        if device.type == "cuda":
            gpu = _gpu_joules(device.index or 0)
            self._readers = (
                [] if gpu is None else [*self._readers, gpu]
            )  # without the GPU's it would be no energy of it
        self._begin = self._read()

    @property
    def joules(self) -> float | None:
        """Joules so far; None where nothing can be read."""
        now = self._read()
        return None if now is None or self._begin is None else now - self._begin

    def _read(self) -> float | None:
        try:
            return sum(read() for read in self._readers) if self._readers else None
        except (OSError, ValueError):  # a counter that goes away while a run lasts
            self._readers = []
            return None


class _Zone:
    """One package's counter, made to go on where it starts again."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._total = 0
        try:
            self._range = int((folder / "max_energy_range_uj").read_text(encoding="ascii"))
            self._last = self._now()
            self.works = True
        except (OSError, ValueError):  # most systems let only root read it
            self.works = False

    def _now(self) -> int:
        return int(self._file.read_text(encoding="ascii"))

    def joules(self) -> float:
        now = self._now()
        step = now - self._last
        self._total += step if step >= 0 else step + self._range
        self._last = now
        return self._total / 1e6


def _gpu_joules(index: int) -> Callable[[], float] | None:
    """The counter of a GPU; None without `nvidia-ml-py`, or where the GPU has none."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None

    def joules() -> float:
        try:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    return joules
