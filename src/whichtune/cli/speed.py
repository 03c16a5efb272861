"""`doctor --speed`: how fast this machine trains a model, beside how fast it multiplies matrices of the same shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whichtune.records.record import RunRecord

TEXTS, EPOCHS = 160, 1
METHODS = ("full", "lora", "head_only")


@dataclass(frozen=True)
class Speed:
    """Operations a second of one row's steps, or of its pass through the frozen blocks."""

    what: str
    rate: float


def measured(model: str, device: str) -> tuple[float, list[Speed]]:
    """The rate of matrix products, and of each row's work on 160 messages of the package, in runs as any study makes.

    Raises a WhichtuneError for a model that cannot be had, or trained.
    """
    import torch

    from whichtune.compare import prepare
    from whichtune.measure.matmul import matmul_rate
    from whichtune.models.loading import load_config, locate
    from whichtune.models.sizes import hidden_width
    from whichtune.runs.run import run_one
    from whichtune.study.load import parse_study
    from whichtune.training.forward import PRECISIONS

    study = {
        "data": {"source": "messages", "train_limit": TEXTS, "validation_limit": 32, "test_limit": 32},
        "model": model,
        "methods": list(METHODS),
        "baselines": [],
        "seeds": [0],
        "settings": {"epochs": EPOCHS},
        "device": device,
    }
    expansion, _ = prepare(parse_study(study, "doctor --speed"))
    found = []
    with TemporaryDirectory() as place:
        for spec in expansion.specs:
            record = run_one(spec, cache={"folder": Path(place)}).record
            found.append(_speed_of(record))
    spec = expansion.specs[0]
    width = hidden_width(load_config(locate(spec.model, spec.revision, spec.weights)))
    return matmul_rate(width, torch.device(spec.device), PRECISIONS.get(spec.precision, torch.float32)), found


def _speed_of(record: RunRecord) -> Speed:
    cost = record.cost
    steps = record.method != "head_only"
    operations, seconds = (cost.flops, cost.train_seconds) if steps else (cost.cache_flops, cost.cache_seconds)
    assert operations is not None
    assert seconds
    return Speed(f"{record.method}, steps" if steps else "frozen blocks, the pass through them", operations / seconds)


def sentences(model: str, device: str) -> list[str]:
    """What `measured` finds, a line each."""
    peak, speeds = measured(model, device)
    rows = [("products of matrices", f"{peak / 1e9:8,.1f} GFLOP/s")]
    rows += [(each.what, f"{each.rate / 1e9:8,.1f} GFLOP/s, {100 * each.rate / peak:.0f} %") for each in speeds]
    return [f"{what:36} {rate}" for what, rate in rows]
