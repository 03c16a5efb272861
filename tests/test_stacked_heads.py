"""Heads on one frozen model's features, trained as one problem, against the same runs made one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from made_labels import labels_file
from made_numbers import numbers_file
from whichtune.compare import compare, prepare
from whichtune.executors.local import LocalExecutor
from whichtune.executors.order import problem_of
from whichtune.records.events import Event
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.runs.predict import open_run
from whichtune.runs.run import run_one
from whichtune.runs.together import run_together
from whichtune.shortcuts.self_check import ShortcutError
from whichtune.study.load import parse_study
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tasks.classification.objective import ClassificationObjective
from whichtune.training.stacked import StackedAdamW

# Of a few heads, all that may differ between them.
DIFFERENT: list[dict[str, Any]] = [
    {"learning_rate": 0.02, "seed": 0},
    {"learning_rate": 0.1, "seed": 1, "weight_decay": 0.1},
    {"learning_rate": 0.004, "seed": 0, "schedule": "cosine", "warmup_ratio": 0.4},
    {"learning_rate": 0.01, "seed": 7, "beta1": 0.8, "beta2": 0.99, "schedule": "constant", "warmup_steps": 3},
]
FIGURES = {"train_loss", "train_accuracy", "validation_loss", "learning_rate", "epoch", "step"}


def specs_of(
    source: Path, model: Path, differences: Sequence[dict[str, Any]] = DIFFERENT, **given: Any
) -> list[RunSpec]:
    task, role = given.pop("task", None), given.pop("role", Role.RUN)
    settings = {"epochs": 2, "batch_size": 4, "context_length": 24, "evaluation_interval": 3, **given}
    study = {"data": str(source), "model": str(model), "methods": ["head_only"], "seeds": [0], "settings": settings}
    expansion, _ = prepare(parse_study({**study, "baselines": [], **({"task": task} if task else {})}, "test"))
    (spec,) = expansion.specs
    return [spec.model_copy(update={**changes, "role": role}) for changes in differences]


def made_together(specs: Sequence[RunSpec], cache: Path) -> list[Any]:
    return [outcome for _, outcome in run_together(specs, lambda event: None, 0, {"folder": cache}, lambda: 1)]


def weights_of(result: Any, place: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    place.mkdir(exist_ok=True)
    result.save(place)
    return load_file(place / "weights.safetensors")


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        (
            None,
            {"class_weight": "balanced", "label_smoothing": 0.1, "gradient_clip": None, "evaluation_interval": "epoch"},
        ),
        (None, {"focal_gamma": 2.0, "drop_last": True, "evaluation_batches": 1}),
        (None, {"max_steps": 7, "gradient_clip": 0.01, "padding": "right"}),
        ("multilabel", {}),
        ("regression", {"regression_loss": "huber"}),
    ],
)
def test_heads_together_are_heads_alone(
    task: str | None, settings: dict[str, Any], mail: Path, tiny_gpt2: Path, tmp_path: Path
) -> None:
    files: dict[str | None, Callable[[Path], Path]] = {"multilabel": labels_file, "regression": numbers_file}
    source = files[task](tmp_path) if task in files else mail
    specs = specs_of(source, tiny_gpt2, task=task, **settings)
    assert len({problem_of(spec) for spec in specs} - {""}) == 1
    together = made_together(specs, tmp_path / "cache")
    assert len(together) == len(specs)
    column = "prediction" if task == "regression" else "logits"
    for number, (spec, found) in enumerate(zip(specs, together, strict=True)):
        alone = run_one(spec, cache={"folder": tmp_path / "cache"})
        assert len(found.curves) == len(alone.curves) > 1
        for ours, theirs in zip(found.curves, alone.curves, strict=True):
            assert ours.keys() == theirs.keys()
            for name in FIGURES & theirs.keys():
                assert ours.get(name) == pytest.approx(theirs.get(name), abs=1e-6, rel=1e-6), name
        ours, theirs = (weights_of(each, tmp_path / f"{number}{at}") for at, each in enumerate((found, alone)))
        for name, weight in theirs.items():
            torch.testing.assert_close(ours[name], weight, atol=1e-6, rtol=1e-5)
        outputs = [np.stack(each.predictions[column].tolist()) for each in (found, alone)]
        assert np.abs(outputs[0] - outputs[1]).max() < 1e-5 * max(1.0, np.abs(outputs[1]).max())
        for name in ("optimiser_steps", "examples_seen", "training_flops", "adapter_bytes", "epochs"):
            assert getattr(found.record.cost, name) == getattr(alone.record.cost, name), name
        for name in ("notes", "context_length", "labels", "spec", "fingerprints", "run_id", "seed"):
            assert getattr(found.record, name) == getattr(alone.record, name), name


def test_each_row_costs_what_it_costs_alone(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    first, *others = made_together(specs_of(mail, tiny_gpt2, padding="none"), tmp_path / "cache")
    assert "heads_together" not in first.record.shortcuts["used"]
    for other in others:
        cost, own = other.record.cost, first.record.cost
        assert other.record.shortcuts["used"]["heads_together"] == len(DIFFERENT)
        assert cost.train_seconds == own.train_seconds > 0
        assert cost.training_seconds == own.training_seconds > own.train_seconds
        assert cost.peak_memory_bytes == own.peak_memory_bytes
        assert (cost.cache_seconds, cost.cache_flops) == (0, 0)
        assert cost.cache_flops_alone == own.cache_flops_alone > 0
        assert own.cache_flops == own.cache_flops_alone
        assert cost.inference_ms == own.inference_ms is not None
        assert cost.latency_seconds == own.latency_seconds is not None
        assert cost.padding_tokens_per_second == 0
        assert cost.real_tokens_per_second == pytest.approx(own.real_tokens_per_second)


def test_one_that_diverges_ends_as_it_does_alone(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    differences = [
        {"learning_rate": 0.02, "seed": 0},
        {"learning_rate": 1e38, "seed": 1},
        {"learning_rate": 0.1, "seed": 2},
    ]
    specs = specs_of(mail, tiny_gpt2, differences, gradient_clip=None)
    first, broken, last = made_together(specs, tmp_path / "cache")
    assert isinstance(broken, Exception)
    with pytest.raises(type(broken)) as alone:
        run_one(specs[1], cache={"folder": tmp_path / "cache"})
    assert str(broken) == str(alone.value)
    expected = run_one(specs[2], cache={"folder": tmp_path / "cache"})
    assert last.curves[-1]["train_loss"] == pytest.approx(expected.curves[-1]["train_loss"], abs=1e-6)
    assert first.record.status is RunStatus.COMPLETED


def test_the_optimiser_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    specs = [
        RunSpec.model_construct(**{"beta1": 0.9, "beta2": 0.999, "weight_decay": 0.01, **each}) for each in DIFFERENT
    ]
    stack = torch.randn(len(specs), 3, 5, generator=generator)
    apart = [nn.Parameter(each.clone()) for each in stack]
    theirs = [
        torch.optim.AdamW([each], lr=spec.learning_rate, betas=(spec.beta1, spec.beta2), weight_decay=spec.weight_decay)
        for each, spec in zip(apart, specs, strict=True)
    ]
    ours = StackedAdamW([stack], specs)
    for _ in range(30):
        gradients = torch.randn(stack.shape, generator=generator)
        ours.step([gradients], [float(spec.learning_rate or 0) for spec in specs])
        for parameter, gradient, optimiser in zip(apart, gradients, theirs, strict=True):
            parameter.grad = gradient.clone()
            optimiser.step()
    torch.testing.assert_close(stack, torch.stack([each.detach() for each in apart]), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 3},
        {"batch_size": 8},
        {"gradient_clip": 0.5},
        {"context_length": 12},
        {"fingerprints": {"data": "another"}},
        {"role": Role.DRAW},
        {"task_settings": {"label_smoothing": 0.1}},
    ],
)
def test_what_is_computed_otherwise_is_another_problem(changes: dict[str, Any], mail: Path, tiny_gpt2: Path) -> None:
    spec, other = specs_of(mail, tiny_gpt2)[:2]
    assert problem_of(spec) == problem_of(other) != problem_of(other.model_copy(update=changes)) != ""


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "last_block"},
        {"method": "linear_probe"},
        {"method": "lp_ft"},
        {"early_stopping": "loss"},
        {"batching": "bucketed"},
        {"random_streams": "reference"},
        {"weights": "random"},
        {"accumulation_steps": 2},
        {"plan": "off"},
        {"head": "native"},
        {"precision": "bf16"},
        {"base_precision": "nf4"},
        {"part": 0.5},
        {"task": "tagging"},
        {"role": Role.BASELINE},
    ],
)
def test_what_takes_a_course_of_its_own_is_made_alone(changes: dict[str, Any], mail: Path, tiny_gpt2: Path) -> None:
    assert problem_of(specs_of(mail, tiny_gpt2)[0].model_copy(update=changes)) == ""


# -- in a study ------------------------------------------------------------------------------------


def study_of(mail: Path, model: Path, **given: Any) -> Any:
    settings = {"epochs": 2, "batch_size": 4, "context_length": 24}
    value = {"data": str(mail), "model": str(model), "methods": ["head_only"], "seeds": [0, 1, 2], "baselines": []}
    return parse_study({**value, "settings": settings, **given}, "test")


def used_of(record: RunRecord) -> Any:
    return (record.shortcuts or {})["used"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_study_makes_its_seeds_as_one_problem(jobs: int, mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    study = study_of(mail, tiny_gpt2, methods=["head_only", "last_block"])
    found = compare(study, tmp_path / "s", threads=1, jobs=jobs, save="all", on_event=events.append)
    assert found.started == 6
    assert [record.status for record in found.records] == [RunStatus.COMPLETED] * 6
    for record in found.records:
        told = [event["event"] for event in events if event.get("run_id") == record.run_id]
        assert told[0] == "start"
        assert told[-1] == "end"
        assert told.count("start") == told.count("end") == 1
    heads = [record for record in found.records if record.method == "head_only"]
    assert [used_of(record).get("heads_together") for record in heads] == [None, 3, 3]
    assert len({record.metrics.test.loss for record in heads if record.metrics.test}) == 3
    folder = StudyFolder(found.folder)
    for record in heads:
        kept = folder.predictions(record.run_id)
        texts = folder.examples().set_index("example_id")["text"]
        test = kept[kept["split"] == "test"].head(3)
        answers = open_run(folder, record).answer([texts[each] for each in test["example_id"]])
        assert list(answers["prediction"]) == [record.labels[each] for each in test["prediction"]]
        assert record.cost.total_seconds is not None
        assert record.cost.total_seconds > 0


def test_a_search_makes_its_draws_as_one_problem_and_shows_them(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    study = study_of(mail, tiny_gpt2, tuning=5, seeds=[0])
    found = compare(study, tmp_path / "s", threads=1, on_event=events.append)
    ended = [event["draw"] for event in events if event["event"] == "end" and "draw" in event]
    assert ended == [1, 2, 3, 4, 5]
    draws = [
        record
        for path in (found.folder / "runs").iterdir()
        if (record := StudyFolder(found.folder).read_run(path.name)) and record.role is Role.DRAW
    ]
    assert sorted(used_of(draw).get("heads_together", 0) for draw in draws) == [0, 5, 5, 5, 5]
    assert all(draw.metrics.test is None for draw in draws)


class StopError(Exception):
    """Raised where a user would press Ctrl-C."""


def test_what_is_interrupted_between_two_goes_on_from_there(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    study = study_of(mail, tiny_gpt2, seeds=list(range(6)))
    ended: list[str] = []

    def stop(event: Event) -> None:
        if event["event"] == "end":
            ended.append(event["run_id"])
            if len(ended) == 3:
                raise StopError

    with pytest.raises(StopError):
        compare(study, tmp_path / "s", threads=1, on_event=stop)
    folder = StudyFolder(tmp_path / "s")
    kept = {path.name for path in (folder.path / "runs").iterdir() if folder.is_complete(path.name)}
    assert set(ended) <= kept
    again = compare(study, tmp_path / "s", threads=1)
    assert again.started == 6 - len(kept)
    assert [record.status for record in again.records] == [RunStatus.COMPLETED] * 6


def test_one_that_another_process_makes_is_left_to_it(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    specs = specs_of(mail, tiny_gpt2)
    folder = StudyFolder(tmp_path / "s", create=True)
    told: list[str] = []

    def listen(event: Event) -> None:
        if event["event"] == "end":
            told.append(event["run_id"])
            if event["run_id"] == specs[0].run_id:
                folder.write_run(run_one(specs[1]).record)
                claim.__exit__(None, None, None)

    claim = folder.claim(specs[1].run_id)
    assert claim.__enter__()
    started = LocalExecutor(threads=1).execute(specs, folder, False, listen)
    assert started == len(specs) - 1
    assert specs[1].run_id not in told
    assert all(folder.is_complete(spec.run_id) for spec in specs)


# -- where it cannot be ------------------------------------------------------------------------------


class Counting(ClassificationObjective):
    """A loss that looks at a number of its own, which cannot be done for many heads at once."""

    def judged(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        summed, correct = super().judged(logits, targets)
        return (summed * 2 if float(summed.detach()) < 0 else summed), correct


def test_a_loss_for_one_head_alone_leaves_the_others_to_be_made_alone(
    mail: Path, tiny_gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whichtune.tasks.classification.objective.ClassificationObjective", Counting)
    specs, notes = specs_of(mail, tiny_gpt2), list[Event]()
    with pytest.raises(ShortcutError):
        list(run_together(specs, notes.append, 0, {"folder": tmp_path / "c"}, lambda: 1))
    monkeypatch.delenv("WHICHTUNE_STRICT_SHORTCUTS")
    outcomes = list(run_together(specs, notes.append, 0, {"folder": tmp_path / "c"}, lambda: 1))
    assert [spec.run_id for spec, _ in outcomes] == [specs[0].run_id]
    (note,) = [event["text"] for event in notes if event["event"] == "note"]
    assert note.startswith("The heads of 4 runs are trained apart: RuntimeError")


def test_runs_that_are_left_are_made_by_the_executor(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    """The cache has no room: what heads read is computed at every step, and each run is made as it was."""
    specs, told = specs_of(mail, tiny_gpt2, context_length=17), list[Event]()
    folder = StudyFolder(tmp_path / "s", create=True)
    started = LocalExecutor(threads=1, cache_limit=10).execute(specs, folder, False, told.append)
    assert started == len(specs)
    assert [event["run_id"] for event in told if event["event"] == "end"] == [spec.run_id for spec in specs]
    (note,) = [event["text"] for event in told if event["event"] == "note"]
    assert note == "The heads of 4 runs are trained apart: what they read is not cached."
    for spec in specs:
        record = folder.read_run(spec.run_id)
        assert record is not None
        assert record.status is RunStatus.COMPLETED
        assert "heads_together" not in json.dumps(record.shortcuts)


def test_what_does_not_fit_in_memory_is_made_apart(
    mail: Path, tiny_gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whichtune.runs.together.MOST_BYTES", 100)
    assert len(made_together(specs_of(mail, tiny_gpt2), tmp_path / "cache")) == 1


def test_a_failure_of_the_first_is_its_own(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    differences = [{"learning_rate": 1e38, "seed": 1}, {"learning_rate": 0.02, "seed": 0}]
    specs = specs_of(mail, tiny_gpt2, differences, gradient_clip=None)
    folder = StudyFolder(tmp_path / "s", create=True)
    LocalExecutor(threads=1).execute(specs, folder, False, lambda event: None)
    records = [folder.read_run(spec.run_id) for spec in specs]
    assert [record.status for record in records if record] == [RunStatus.FAILED, RunStatus.COMPLETED]


def test_every_prediction_has_its_own_head(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    results = made_together(specs_of(mail, tiny_gpt2), tmp_path / "cache")
    tables = [np.stack(result.predictions["logits"].tolist()) for result in results]
    for number, table in enumerate(tables):
        for other in tables[number + 1 :]:
            assert np.abs(table - other).max() > 1e-3
