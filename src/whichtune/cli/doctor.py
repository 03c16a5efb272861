"""Whether this machine and installation are ready, one line a check."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from whichtune.errors import WhichtuneError


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    text: str


def examine() -> list[Check]:
    """All checks; a failing one says what to do."""
    checks = []
    for name, check in CHECKS.items():
        try:
            checks.append(Check(name, True, check()))
        except (WhichtuneError, ImportError, OSError) as error:
            checks.append(Check(name, False, str(error)))
    return checks


def _python() -> str:
    import platform

    return f"{platform.python_version()} on {platform.platform()}"


def _packages() -> str:
    from whichtune.measure.environment import PACKAGES, package_versions

    versions = package_versions()
    missing = [name for name in PACKAGES if name not in versions]
    if missing:
        raise ImportError(f"missing: {', '.join(missing)}; install whichtune again with pip.")
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _device() -> str:
    import torch

    from whichtune.measure.cost import processor_name

    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        return f"CUDA: {torch.cuda.get_device_name()}, {total / 2**30:.0f} GiB"
    return f"CPU: {processor_name()}, {torch.get_num_threads()} threads"


def _memory() -> str:
    import psutil

    memory = psutil.virtual_memory()
    return f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"


def _disk() -> str:
    return f"{shutil.disk_usage('.').free / 2**30:.0f} GiB free here"


def _cache() -> str:
    from whichtune.data.named import user_cache

    place = user_cache()
    place.mkdir(parents=True, exist_ok=True)
    (place / ".write").touch()
    (place / ".write").unlink()
    return f"{place} can be written"


def _embedded() -> str:
    from whichtune.data.splits import load_dataset
    from whichtune.models.loading import inspect_model
    from whichtune.study.data_settings import DataSettings
    from whichtune.study.spec import EMBEDDED

    info = inspect_model(EMBEDDED, None, "pretrained", False)
    dataset = load_dataset(DataSettings())
    sizes = "/".join(str(len(split)) for split in dataset.splits.values())
    return f"model ({info.model_type}) and data set {dataset.name} ({sizes}) are there"


def _hub() -> str:
    from huggingface_hub import constants

    return "offline by HF_HUB_OFFLINE" if constants.HF_HUB_OFFLINE else f"downloads go to {constants.HF_HUB_CACHE}"


CHECKS: dict[str, Callable[[], str]] = {
    "python": _python,
    "packages": _packages,
    "device": _device,
    "memory": _memory,
    "disk": _disk,
    "cache": _cache,
    "embedded": _embedded,
    "hub": _hub,
}
