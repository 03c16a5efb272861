"""What a study would cost, told before it runs: time, memory and disk of every run.

Each task knows what its runs compute; time is operations over the speed of this machine's matrix products, measured
on the spot.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.data.sizes import dataset_of
from whichtune.errors import WhichtuneError
from whichtune.models.adapters import lacks_values
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset
    from whichtune.tasks.estimates import Estimate


def estimate_runs(
    specs: Sequence[RunSpec], dataset: AnyDataset, faults: dict[str, str] | None = None
) -> dict[str, Estimate]:
    """An estimate for each run id; baselines are left out (they take seconds). Seeds cost the same.

    That a row cannot be estimated, and why, goes into `faults` under its label, in words that follow it; without them
    it is raised.
    """
    speed = machine_speed(specs[0].device if specs else "cpu")
    known: dict[str, Estimate] = {}
    estimates = {}
    for spec in specs:
        if spec.role is Role.BASELINE:
            continue
        if faults is not None and spec.label in faults:
            continue
        if spec.label not in known:
            try:
                known[spec.label] = task_of(spec).estimate(spec, dataset_of(spec.data, dataset), speed)
            except Exception as error:  # of a model's own code, or a method's: the run would meet it too
                if faults is None:
                    raise
                faults[spec.label] = reason_of(error)
                continue
        estimates[spec.run_id] = known[spec.label]
    return estimates


def reason_of(error: Exception) -> str:
    """Why something failed, on one line; what is no sentence of ours with the error's kind."""
    text = " ".join(str(error).split())[:400].rstrip(".")
    if lacks_values(error):  # no fault: the run will have them
        return "cannot be estimated, because only a model with weights could tell"
    told = text if isinstance(error, WhichtuneError) else f"{type(error).__name__}: {text}"
    return f"cannot be estimated, and would fail: {told}"


def machine_speed(device: str) -> float:
    """Operations a second of a 1024-wide float32 matrix product, best of three."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        device = "cpu"  # runs on other machines: their seconds are right against one another
    a = torch.randn(1024, 1024, device=device)
    a @ a
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        (a @ a).sum().item()
        best = min(best, time.perf_counter() - begin)
    return 2 * 1024**3 / best


def free_disk(folder: Path) -> int:
    """Free bytes where a folder is or would be."""
    import shutil

    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
