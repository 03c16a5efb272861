"""`whichtune plan`: what each line of a study will compute, why, and how many operations that saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from whichtune.records.record import Role
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    from whichtune.shortcuts.boundary import Decision
    from whichtune.tasks.base import AnyDataset


@dataclass(frozen=True)
class Preview:
    """One line of a study. Operations are of training, evaluation apart: the plain way, with this run's own
    pass over the lower blocks, and with a pass that another run has made."""

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


def preview_study(specs: Sequence[RunSpec], dataset: AnyDataset) -> list[Preview]:
    """A preview of each label's first run. Loads the model for each, as the run will; computes a few tokens."""
    first: dict[str, RunSpec] = {}
    for spec in specs:
        if spec.role is not Role.BASELINE:
            first.setdefault(spec.label, spec)
    return [preview_run(spec, dataset) for spec in first.values()]


def preview_run(spec: RunSpec, dataset: AnyDataset) -> Preview:
    """The plan of one run with its predicted operations and cache size."""
    import torch

    from whichtune.shortcuts.boundary import make_plan
    from whichtune.tasks import task_of

    if spec.task != "classification":
        from whichtune.tasks.text.estimate import preview_text_run

        return preview_text_run(spec, dataset)
    task = task_of(spec)
    classifier, tokenizer = task.build(spec, dataset)
    encoded = task.encode(spec, dataset, tokenizer, classifier.backbone.config)
    device = torch.device(spec.device)
    classifier.to(device)
    plan = make_plan(spec, classifier, encoded)
    return describe_plan(spec, plan, classifier, encoded, device)


def describe_plan(spec: RunSpec, plan: Any, classifier: Any, encoded: Any, device: Any) -> Preview:
    """Predicted operations and cache size of a plan; nothing of the data is computed but a few texts' check."""
    from whichtune.shortcuts.boundary import texts_of
    from whichtune.shortcuts.cache import ActivationCache, default_root, stored_bytes
    from whichtune.shortcuts.frozen_blocks import TextIndex, Want
    from whichtune.shortcuts.planned import PlanFailedError, PlannedForward
    from whichtune.shortcuts.prepared import lower_pass
    from whichtune.training.forward import PlainForward

    plain = PlainForward(classifier, encoded, device, spec.precision)
    batches = training_batches(spec, [len(ids) for ids in encoded.splits["train"].tokens])
    flops_plain = training_operations(spec, plain, batches)
    if plan.is_off:
        return Preview(spec.label, plan.decisions, 0, flops_plain, flops_plain, flops_plain)
    texts = {name: texts_of(plan, encoded, name) for name in encoded.splits}

    def planned(route: Any, features_cached: bool) -> PlannedForward:
        arguments = (classifier, encoded, device, spec.precision, plan.partition, texts, plan.position)
        return PlannedForward(*arguments, route, {}, features_cached)

    whole = planned(replace(plan.route, boundary=0), False)
    try:
        whole.settle()
    except PlanFailedError:
        return Preview(spec.label, plan.decisions, 0, flops_plain, flops_plain, flops_plain)
    route = replace(whole.route, boundary=plan.route.boundary)
    shared = training_operations(spec, planned(route, plan.cached == "features"), batches)
    lower_flops = cache_bytes = 0
    if plan.cached != "nothing":
        want = Want(plan.boundary, plan.position if plan.cached == "features" else None)
        lower = lower_pass(spec, plan, classifier, device, ActivationCache(default_root()))
        lower_flops = lower.operations([want], texts["train"])
        for part in texts.values():
            lengths = lower.lengths(want, part, TextIndex.of(part))
            cache_bytes += stored_bytes(lengths, lower.width, lower.dtype)
    decisions = [*plan.decisions, *whole.as_decisions()]
    return Preview(spec.label, decisions, cache_bytes, flops_plain, shared + lower_flops, shared)


def training_batches(spec: RunSpec, lengths: Sequence[int]) -> list[list[int]]:
    """The batches of a run's first epoch over texts of these lengths; one batch of everything for a closed form."""
    from whichtune.methods import METHODS
    from whichtune.training.batching import first_epoch

    return [list(range(len(lengths)))] if METHODS[spec.method].closed_form else first_epoch(spec, lengths)


def training_operations(spec: RunSpec, forward: Any, batches: Sequence[Sequence[int]]) -> int:
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
