"""The machine and the versions that a run was made with."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from whichtune.records.record import Environment
from whichtune.version import VERSION

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "scikit-learn", "scipy", "numpy", "pandas")


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that decide a run's figures; missing ones are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def environment(device: str, runs_at_once: int = 1) -> Environment:
    """The record of where this process runs; `device` is cpu, cuda or mps, `runs_at_once` how many runs share it."""
    import psutil
    import torch

    from whichtune.measure.cost import processor_name

    return Environment(
        whichtune=VERSION,
        python=platform.python_version(),
        platform=platform.platform(),
        processor=processor_name(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        runs_at_once=runs_at_once,
        device=torch.cuda.get_device_name() if device == "cuda" else device,
        memory_bytes=psutil.virtual_memory().total,
        packages=package_versions(),
    )
