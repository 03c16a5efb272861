"""What a method must keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichtune.methods import METHODS
from whichtune.testing.small import small_study, specs_of

if TYPE_CHECKING:
    from whichtune.runs.run import RunResult
    from whichtune.study.spec import RunSpec

LOSS_TOLERANCE = 1e-5
LOGIT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class MethodCase:
    """A method by its registered name, with settings of its own, and keys of the study that it needs to be tried."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    study: dict[str, Any] = field(default_factory=dict)

    def spec(self, folder: Path, **changes: Any) -> RunSpec:
        line = {"method": self.name, **self.settings}
        return specs_of(small_study(folder, methods=[line], **{**self.study, **changes}))[0]


def has_a_whole_card(case: MethodCase, folder: Path) -> None:
    """Every part of the card says something, and settings that are not known are refused."""
    method = METHODS[case.name]
    for part in ("summary", "trains", "use_when", "cost", "reference"):
        assert getattr(method.card, part).strip(), f"the card of {case.name} says nothing under '{part}'"
    assert method.Settings.model_config.get("extra") == "forbid", f"{case.name} takes settings that it does not know"
    for name, each in method.Settings.model_fields.items():
        assert each.description, f"the setting {name} of {case.name} has no description"
        assert not each.is_required(), f"the setting {name} of {case.name} has no default"


def trains_only_what_it_says(case: MethodCase, folder: Path) -> None:
    """What has no gradient does not move in training; of what has one, something moves."""
    import torch

    from whichtune.measure.cost import Timers
    from whichtune.tasks import task_of
    from whichtune.training.streams import streams_of
    from whichtune.training.trainer import Trainer

    method, spec = METHODS[case.name], case.spec(folder, plan="off")
    if method.closed_form or not method.trains:
        return
    task, device, timers = task_of(spec), torch.device("cpu"), Timers(torch.device("cpu"))
    dataset = task.load(spec.data)
    model, tokenizer = task.build(spec, dataset)
    before = {name: (p.requires_grad, p.detach().clone()) for name, p in model.named_parameters()}
    encoded = task.encode(spec, dataset, tokenizer, model.backbone.config)
    forward = task.prepare(spec, model, encoded, device, timers, _cache(folder)).forward
    if method.fits_first:
        task.solve(spec, model, forward, timers)
    course = method.course(model, method.Settings(**spec.method_settings))
    objective = task.objective(spec, model, forward)
    Trainer(model, forward, spec, timers, objective, streams=streams_of(spec), course=course).train()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name][1])}
    frozen = {name for name, (trains, _) in before.items() if not trains}
    assert not moved & frozen, f"{case.name} moved what it does not train: {sorted(moved & frozen)[:3]}"
    assert moved, f"{case.name} trained nothing in {spec.max_steps} steps"


def gives_the_same_twice(case: MethodCase, folder: Path) -> None:
    """One seed, one result: losses and logits to the last bit that a sum's order allows."""
    first, second = _run(case.spec(folder / "a", plan="off"), folder), _run(case.spec(folder / "b", plan="off"), folder)
    _alike(first, second, f"{case.name} made twice with one seed")


def computes_the_same_by_its_plan(case: MethodCase, folder: Path) -> None:
    """What the plan leaves out changes neither losses nor predictions."""
    plain = _run(case.spec(folder / "a", plan="off"), folder)
    planned = _run(case.spec(folder / "b", plan="auto"), folder)
    _alike(plain, planned, f"{case.name} by its plan and the plain way")


def comes_back_from_its_weights(case: MethodCase, folder: Path) -> None:
    """A saved run gives the recorded predictions of the test texts again."""
    from whichtune.compare import compare
    from whichtune.records.store import StudyFolder
    from whichtune.runs.predict import find_run, predict_file

    study = small_study(folder, methods=[{"method": case.name, **case.settings}], **case.study)
    result = compare(study, folder / "made", save="all", threads=1)
    (record,) = result.records
    assert record.status == "completed", f"{case.name} ended as {record.status}: {record.error}"
    place = StudyFolder(result.folder)
    recorded = place.predictions(record.run_id)
    recorded = recorded[recorded["split"] == "test"]
    examples = place.examples().set_index("example_id")
    texts = examples.loc[recorded["example_id"], "text"]
    file = folder / "new.jsonl"
    texts.to_frame().to_json(file, orient="records", lines=True)
    again = predict_file(place, find_run(place, record.run_id), file, "text")
    named = [record.labels[i] for i in recorded["prediction"]] if record.labels else list(recorded["prediction"])
    assert list(again["prediction"]) == named, f"{case.name} predicts otherwise once it is saved and loaded"
    assert compare(study, folder / "made", save="all", threads=1).started == 0, f"{case.name} is made again"


def has_settings_in_its_identity(case: MethodCase, folder: Path) -> None:
    """Two runs that differ in a setting of the method are two runs."""
    spec = case.spec(folder)
    for name, value in case.settings.items():
        other = spec.model_copy(update={"method_settings": {**spec.method_settings, name: "another"}})
        assert other.run_id != spec.run_id, f"{name} of {case.name} (here {value}) is not part of the run's identity"


def _cache(folder: Path) -> Any:
    from whichtune.shortcuts.prepared import CacheSettings

    return CacheSettings(folder / "cache")


def _run(spec: RunSpec, folder: Path) -> RunResult:
    from whichtune.runs.run import run_one

    return run_one(spec, cache={"folder": str(folder / "cache")})


def _alike(a: RunResult, b: RunResult, what: str) -> None:
    import numpy as np

    losses = [np.array([point["train_loss"] for point in r.curves if "train_loss" in point]) for r in (a, b)]
    assert losses[0].shape == losses[1].shape, f"{what}: curves of other lengths"
    gap = float(np.abs(losses[0] - losses[1]).max(initial=0.0))
    assert gap <= LOSS_TOLERANCE, f"{what}: losses differ by {gap:.2g}"
    assert a.predictions is not None
    assert b.predictions is not None
    if "logits" in a.predictions:
        logits = [np.stack(list(r.predictions["logits"])) for r in (a, b) if r.predictions is not None]
        gap = float(np.abs(logits[0] - logits[1]).max())
        assert gap <= LOGIT_TOLERANCE, f"{what}: logits differ by {gap:.2g}"
    first, second = (r["prediction"] for r in (a.predictions, b.predictions))
    if first.dtype.kind == "f":
        scale = max(1.0, float(first.abs().max()))
        gap = float((first - second).abs().max()) / scale
        assert gap <= LOGIT_TOLERANCE, f"{what}: predictions differ by {gap:.2g} of the largest"
    else:
        assert list(first) == list(second), f"{what}: other predictions"


METHOD_CHECKS: dict[str, Callable[[MethodCase, Path], None]] = {
    check.__name__: check
    for check in (
        has_a_whole_card,
        trains_only_what_it_says,
        gives_the_same_twice,
        computes_the_same_by_its_plan,
        comes_back_from_its_weights,
        has_settings_in_its_identity,
    )
}
