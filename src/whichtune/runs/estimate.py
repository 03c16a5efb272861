"""What a study would cost, told before it runs: time, memory and disk of every run.

The model is built without storage (torch's meta device), so even a large one is judged in seconds. Operations
and saved activations are counted on short texts and extended exactly to the study's own lengths; time is
operations over the speed of this machine's matrix products, measured on the spot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichtune.records.record import Role
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    import torch

    from whichtune.models.heads import Classifier
    from whichtune.tasks.base import AnyDataset

# Small operations, Python and the optimiser: real steps run below the speed of large matrix products.
EFFICIENCY = 0.5
ADAM_COPIES = 3  # gradients and two moments beside the weights
PROCESS_BYTES = 64 * 2**20  # tokenizer, texts and code that a run loads
PREDICTION_BYTES = 60  # an example's row of predictions.parquet


@dataclass(frozen=True)
class Estimate:
    """Predicted seconds of training and evaluation, bytes of peak memory, bytes on disk with weights saved."""

    seconds: float
    memory_bytes: int
    disk_bytes: int
    flops: int
    trainable_parameters: int


def estimate_runs(specs: Sequence[RunSpec], dataset: AnyDataset) -> dict[str, Estimate]:
    """An estimate for each run id; baselines are left out (they take seconds). Seeds cost the same."""
    speed = machine_speed(specs[0].device if specs else "cpu")
    known: dict[str, Estimate] = {}
    estimates = {}
    for spec in specs:
        if spec.role is Role.BASELINE:
            continue
        if spec.label not in known:
            known[spec.label] = _estimate(spec, dataset, speed)
        estimates[spec.run_id] = known[spec.label]
    return estimates


def machine_speed(device: str) -> float:
    """Operations a second of a 1024-wide float32 matrix product, best of three."""
    import torch

    a = torch.randn(1024, 1024, device=device)
    a @ a
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        (a @ a).sum().item()
        best = min(best, time.perf_counter() - begin)
    return 2 * 1024**3 / best


def _estimate(spec: RunSpec, dataset: AnyDataset, speed: float) -> Estimate:
    import torch

    from whichtune.measure.cost import count_parameters
    from whichtune.measure.flops import flops_of_length
    from whichtune.methods import METHODS
    from whichtune.models.loading import load_config, load_tokenizer, locate
    from whichtune.tasks import task_of
    from whichtune.training.batching import first_epoch
    from whichtune.training.trainer import steps_in_total

    if spec.task != "classification":
        from whichtune.tasks.text.estimate import estimate_text_run

        return estimate_text_run(spec, dataset, speed)
    path = locate(spec.model, spec.revision, spec.weights)
    config = load_config(path, spec.remote_code)
    encoded = task_of(spec).encode(spec, dataset, load_tokenizer(path, spec.remote_code), config)
    classifier = meta_classifier(spec, config, len(dataset.labels))
    trainable, total = count_parameters(classifier)
    train = flops_of_length(lambda length: meta_loss(classifier, length), encoded.context_length)
    with torch.no_grad():
        infer = flops_of_length(lambda length: meta_loss(classifier, length).detach(), encoded.context_length)
        reading = sum(infer(len(ids)) for part in encoded.splits.values() for ids in part.tokens)
    lengths = [len(ids) for ids in encoded.splits["train"].tokens]
    batches = first_epoch(spec, lengths)
    widths = [_width(encoded, lengths, rows) for rows in batches]
    if METHODS[spec.method].closed_form:
        flops, steps = sum(infer(length) for length in lengths), 0
    else:
        epoch = sum(len(rows) * train(width) for rows, width in zip(batches, widths, strict=True))
        steps = steps_in_total(len(lengths), spec)
        flops = epoch * steps * spec.accumulation_steps // max(1, len(batches))
    activations = max(
        saved_bytes(classifier, lambda rows=rows, width=width: meta_loss(classifier, width, len(rows)))  # type: ignore[misc]
        for rows, width in _heaviest(batches, widths)
    )
    evaluations = 1 + (spec.epochs * len(encoded.splits["validation"]) / sum(map(len, encoded.splits.values())))
    return Estimate(
        seconds=(flops + reading * evaluations) / (speed * EFFICIENCY),
        memory_bytes=PROCESS_BYTES + 4 * (total + ADAM_COPIES * trainable * (steps > 0)) + activations,
        disk_bytes=4 * trainable + PREDICTION_BYTES * sum(map(len, encoded.splits.values())),
        flops=flops,
        trainable_parameters=trainable,
    )


def _width(encoded: Any, lengths: list[int], rows: list[int]) -> int:
    return encoded.context_length if encoded.padding == "right" else max(lengths[row] for row in rows)


def _heaviest(batches: list[list[int]], widths: list[int]) -> list[tuple[list[int], int]]:
    return [max(zip(batches, widths, strict=True), key=lambda pair: len(pair[0]) * pair[1])]


def meta_classifier(spec: RunSpec, config: Any, classes: int) -> Classifier:
    """The classifier with its method attached, shapes only."""
    import torch
    from transformers import AutoModel

    from whichtune.methods import METHODS
    from whichtune.models.heads import Classifier
    from whichtune.models.loading import set_dropout

    if spec.dropout != "model":
        set_dropout(config, float(spec.dropout))
    config.use_cache = False
    with torch.device("meta"):
        backbone = AutoModel.from_config(config, trust_remote_code=spec.remote_code, dtype=torch.float32)
        backbone.pooler = None
        head = torch.nn.Linear(config.hidden_size, classes)
    classifier = Classifier(backbone, head, spec.token_position or "last")
    method = METHODS[spec.method]
    method.attach(classifier, method.Settings(**spec.method_settings), spec.seed or 0)
    return classifier.to("meta").train()


def meta_loss(classifier: Classifier, length: int, batch: int = 1) -> torch.Tensor:
    import torch

    from whichtune.data.batch import Batch
    from whichtune.models.partition import without_values

    ids = torch.zeros(batch, length, dtype=torch.long, device="meta")
    labels = torch.zeros(batch, dtype=torch.long, device="meta")
    lengths = torch.full((batch,), length, device="meta")

    def loss(mask: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(classifier(Batch(ids, lengths, labels, mask)), labels)

    return without_values(classifier.backbone, batch, length, loss)


def saved_bytes(model: torch.nn.Module, loss: Callable[[], object]) -> int:
    """Bytes that the backward pass of `loss()` keeps, parameters apart, each tensor once."""
    import torch

    parameters = {p.untyped_storage()._cdata for p in model.parameters()}
    sizes: dict[int, int] = {}
    kept: list[Any] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        key = tensor.untyped_storage()._cdata
        if key not in parameters:
            sizes[key] = tensor.untyped_storage().nbytes()
            kept.append(tensor)  # alive, so that no storage's address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss()
    return sum(sizes.values())


def free_disk(folder: Path) -> int:
    """Free bytes where a folder is or would be."""
    import shutil

    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
