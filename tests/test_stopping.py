"""Early stopping: it ends an overfitting run at the right point, keeps its weights, and changes nothing else."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from test_oracle import spec_of
from whichtune.compare import compare, prepare
from whichtune.errors import SettingError
from whichtune.models.saving import trained_state
from whichtune.records.store import StudyFolder
from whichtune.report.figures import curve_figures
from whichtune.report.run_notes import run_notes, stopping_notes
from whichtune.report.view import View
from whichtune.report.write import load_view
from whichtune.runs.run import RunResult, run_one
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tasks.classification.task import build_classifier
from whichtune.training.stopping import EarlyStopping

EPOCHS, STEPS_OF_EPOCH = 12, 5
BATCH = 8


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty training messages whose labels are drawn at random: all that can be learned of them is overfitting."""
    from whichtune.embedded import dataset_path

    folder = tmp_path_factory.mktemp("noisy")
    frame = pd.read_csv(dataset_path("messages") / "train.csv").head(100)
    labels = np.random.default_rng(1).permutation(["ham", "spam"] * 50)
    frame = frame.assign(label=labels)
    for name, rows in (("train", slice(0, 40)), ("validation", slice(40, 70)), ("test", slice(70, 100))):
        frame.iloc[rows].to_csv(folder / f"{name}.csv", index=False)
    return folder


def run(model: Path, data: Path, plan: str = "off", **changes: Any) -> RunResult:
    settings: dict[str, Any] = {
        "method": "full",
        "epochs": EPOCHS,
        "max_steps": None,
        "schedule": "linear",
        "evaluation_interval": "epoch",
        "evaluation_batches": None,
        "learning_rate": 3e-4,
        "batch_size": BATCH,
        "plan": plan,
        "early_stopping": "loss",
    }
    return run_one(spec_of(model, data, **{**settings, **changes}))


def saved(result: RunResult, folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    folder.mkdir(parents=True, exist_ok=True)
    assert result.save is not None
    result.save(folder)
    return load_file(folder / "weights.safetensors")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHICHTUNE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("plan", [pytest.param("off", marks=pytest.mark.slow), "auto"])
def test_an_overfitting_run_stops_and_gets_its_best_weights_back(
    plan: str, tiny_gpt2: Path, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held against the same run without early stopping, cut where that run's own losses say it should have ended."""
    # Which would train the rows of the vocabulary in use alone: the same but for rounding, and here nothing is.
    monkeypatch.setattr("whichtune.shortcuts.vocabulary.MOST_USED", 0.0)
    whole = run(tiny_gpt2, noisy, plan, early_stopping="none")
    losses = [point["validation_loss"] for point in whole.curves]
    best = int(np.argmin(losses[: _stops_at(losses, patience=2)]))
    assert 1 <= _stops_at(losses, patience=2) < EPOCHS  # it does overfit
    result = run(tiny_gpt2, noisy, plan)
    found = result.record.stopping
    assert found is not None
    assert found.stopped
    assert (found.best_step, found.best_epoch) == ((best + 1) * STEPS_OF_EPOCH, best + 1)
    assert (found.last_step, found.last_epoch) == ((best + 3) * STEPS_OF_EPOCH, best + 3)
    assert (found.planned_steps, found.planned_epochs) == (EPOCHS * STEPS_OF_EPOCH, EPOCHS)
    assert [point["validation_loss"] for point in result.curves] == losses[: best + 3]
    # The very weights of a run that is cut there, on the same schedule: its learning rates are those of 12 epochs.
    cut = _trained_for(tiny_gpt2, noisy, plan, best + 1)
    kept = saved(result, tmp_path / "kept")
    assert set(kept) == set(cut)
    assert all(torch.equal(kept[name], value) for name, value in cut.items())
    assert result.record.metrics.validation is not None
    assert result.record.metrics.validation.loss == pytest.approx(losses[best], rel=1e-6)
    # The cost is of the epochs that were run.
    cost = result.record.cost
    assert (cost.epochs, cost.optimiser_steps, cost.examples_seen) == (
        best + 3,
        (best + 3) * STEPS_OF_EPOCH,
        40 * (best + 3),
    )
    assert cost.flops is not None
    assert whole.record.cost.flops is not None
    assert cost.flops < whole.record.cost.flops


def _stops_at(losses: list[float], patience: int) -> int:
    """After how many points patience is at its end: written out plainly."""
    best, waited = math.inf, 0
    for number, value in enumerate(losses, start=1):
        best, waited = (value, 0) if value < best else (best, waited + 1)
        if waited == patience:
            return number
    return len(losses)


def _trained_for(model: Path, data: Path, plan: str, epochs: int) -> dict[str, torch.Tensor]:
    """The trained tensors after so many epochs of a run that is planned for `EPOCHS`."""
    from whichtune.data.splits import load_dataset
    from whichtune.measure.cost import Timers
    from whichtune.shortcuts.prepared import CacheSettings, prepare_forward
    from whichtune.tasks.classification.objective import ClassificationObjective
    from whichtune.tasks.classification.task import encode_for
    from whichtune.training.trainer import Trainer, step_groups

    spec = spec_of(
        model, data, plan, method="full", epochs=EPOCHS, max_steps=None, schedule="linear", learning_rate=3e-4,
        batch_size=BATCH,
    )  # fmt: skip
    dataset = load_dataset(spec.data)
    classifier, tokenizer = build_classifier(spec, 2)
    encoded = encode_for(spec, dataset, tokenizer, classifier.backbone.config)
    device = torch.device("cpu")
    forward = prepare_forward(spec, classifier, encoded, device, Timers(device), CacheSettings()).forward
    trainer = Trainer(classifier, forward, spec, Timers(device), ClassificationObjective(classifier, forward))
    trainer.streams.begin_training()
    classifier.train()
    for _ in range(epochs):
        for group in step_groups(trainer.streams.train_batches(len(trainer.split)), 1):
            trainer.step(group)
    return trained_state(classifier)


@pytest.mark.slow
def test_a_run_that_keeps_improving_is_not_stopped(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    """The last point is the best: every step is made, and the weights are those without early stopping."""
    settings = {"epochs": 3, "learning_rate": 1e-4, "method": "head_only"}
    plain = run(tiny_gpt2, mail, early_stopping="none", **settings)
    losses = [point["validation_loss"] for point in plain.curves]
    assert losses == sorted(losses, reverse=True)
    result = run(tiny_gpt2, mail, patience=1, **settings)
    found = result.record.stopping
    assert found is not None
    assert not found.stopped
    assert found.best_step == found.last_step == found.planned_steps
    assert result.record.metrics == plain.record.metrics
    ours, theirs = saved(result, tmp_path / "a"), saved(plain, tmp_path / "b")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_without_improvement_to_the_end_the_best_weights_are_restored_all_the_same(
    tiny_gpt2: Path, noisy: Path
) -> None:
    result = run(tiny_gpt2, noisy, patience=EPOCHS)
    found = result.record.stopping
    assert found is not None
    assert not found.stopped
    assert found.best_step is not None
    assert found.best_step < found.last_step
    assert result.record.metrics.validation is not None
    assert result.record.metrics.validation.loss == pytest.approx(found.best, rel=1e-6)


def test_points_in_steps_with_accumulation_and_a_step_limit(tiny_gpt2: Path, noisy: Path) -> None:
    """Three batches of 4 are a step, so an epoch has 4 steps; validation comes every 3 steps, on 5 batches."""
    result = run(
        tiny_gpt2, noisy, batch_size=4, accumulation_steps=3, evaluation_interval=3, evaluation_batches=5, max_steps=40,
        learning_rate=3e-3, patience=1, min_delta=0.01,
    )  # fmt: skip
    found = result.record.stopping
    assert found is not None
    assert found.stopped
    assert found.last_step % 3 == 0
    assert found.planned_epochs == 10
    steps = [point["step"] for point in result.curves]
    assert steps == list(range(3, found.last_step + 1, 3))
    losses = [point["validation_loss"] for point in result.curves]
    assert all(later < earlier - 0.01 for earlier, later in itertools.pairwise(losses[:-1]))
    assert losses[-1] >= losses[-2] - 0.01
    assert found.best_step == steps[-2]
    assert result.record.cost.epochs == pytest.approx(found.last_step / 4)


def test_points_every_few_steps_and_at_the_end_of_every_epoch(tiny_gpt2: Path, noisy: Path) -> None:
    """An epoch has 4 steps: those at 4 and 8 are ends of epochs, 3 and 6 by the interval, 12 is both, once."""
    result = run(
        tiny_gpt2, noisy, batch_size=4, accumulation_steps=3, evaluation_interval=3, evaluation_at_epoch_ends=True,
        epochs=3, early_stopping="none",
    )  # fmt: skip
    assert [point["step"] for point in result.curves] == [3, 4, 6, 8, 9, 12]
    assert all(0 < point["train_loss"] < 10 for point in result.curves)


@pytest.mark.slow
def test_watching_a_score(tiny_gpt2: Path, mail: Path) -> None:
    result = run(tiny_gpt2, mail, early_stopping="f1_macro", epochs=6, learning_rate=1e-3)
    found = result.record.stopping
    assert found is not None
    scores = [point["validation_f1_macro"] for point in result.curves]
    assert found.best == max(scores)
    assert found.best_epoch == scores.index(max(scores)) + 1
    assert result.record.metrics.validation is not None
    assert result.record.metrics.validation.f1_macro == found.best


@pytest.mark.parametrize(
    ("on", "values", "best", "over_at"),
    [
        ("loss", [3.0, 2.0, 2.5, 2.5], 2, 4),
        ("loss", [3.0, 2.95, 2.9, 1.0], 1, 3),  # gains of less than 0.2, then patience is at its end
        ("loss", [math.nan, math.inf], None, 2),
        ("loss", [1.0, math.nan, 0.5, math.nan, math.nan], 3, 5),
        ("accuracy", [0.5, 0.9, 0.9, 0.9], 2, 4),
        ("accuracy", [0.1, 0.4, 0.7], 3, None),
        ("loss", [None, 2.0], 2, None),
    ],
)
def test_when_patience_ends(on: str, values: list[Any], best: int | None, over_at: int | None) -> None:
    layer: Any = torch.nn.Linear(1, 1, bias=False)
    watch = EarlyStopping(layer, on, patience=2, min_delta=0.2)
    over = None
    for step, value in enumerate(values, start=1):
        with torch.no_grad():
            layer.weight.fill_(step)
        if watch.see({"step": step, "epoch": float(step), f"validation_{on}": value}):
            over = step
            break
    assert over == over_at
    last = over or len(values)
    found = watch.finish(last, last, 10, 10.0)
    assert found.best_step == best
    assert layer.weight.item() == (best or last)  # without any figure the last weights stay


def test_only_what_trains_is_kept(tiny_gpt2: Path, mail: Path) -> None:
    classifier, _ = build_classifier(spec_of(tiny_gpt2, mail, "off", method="head_only"), 2)
    watch = EarlyStopping(classifier, "loss", 2, 0.0)
    watch.see({"step": 1, "epoch": 1.0, "validation_loss": 1.0})
    assert watch.kept is not None
    assert set(watch.kept) == {"head.weight", "head.bias"}


def study_of(model: Path, data: Path, **settings: Any) -> Any:
    value = {
        "data": str(data),
        "model": str(model),
        "methods": ["full"],
        "baselines": [],
        "seeds": [0, 1],
        "settings": {"epochs": 6, "batch_size": BATCH, "learning_rate": 1e-3, "early_stopping": "primary", **settings},
    }
    return parse_study(value, "test")


def test_the_primary_metric_is_resolved_and_old_run_ids_stay(tiny_gpt2: Path, noisy: Path) -> None:
    assert {spec.early_stopping for spec in prepare(study_of(tiny_gpt2, noisy))[0].specs} == {"accuracy"}
    by_f1 = study_of(tiny_gpt2, noisy).model_copy(update={"primary_metric": "f1_macro"})
    assert {spec.early_stopping for spec in prepare(by_f1)[0].specs} == {"f1_macro"}
    # As it was before there was early stopping: a run made then is found again.
    spec = RunSpec(
        label="x", data={"source": "a.csv"}, model="m", method="full", token_position="last", padding="right", seed=1,
        fingerprints={"data": "d", "weights": "w", "tokenizer": "t"},
    )  # fmt: skip
    assert spec.run_id == "28f4a1df686e913b"
    assert spec.model_copy(update={"patience": 3}).run_id != spec.run_id


def test_the_reference_order_of_draws_is_refused(tiny_gpt2: Path, noisy: Path) -> None:
    with pytest.raises(SettingError, match="early_stopping does not go with random_streams=reference"):
        prepare(study_of(tiny_gpt2, noisy, random_streams="reference"))


def test_a_study_says_where_it_stopped_and_a_lost_run_is_made_again_the_same(
    tiny_gpt2: Path, noisy: Path, tmp_path: Path
) -> None:
    study = study_of(tiny_gpt2, noisy, warmup_steps=7)
    first = compare(study, tmp_path / "out", threads=1)
    assert [record.error for record in first.records] == [None, None]
    said, _ = stopping_notes(View(first.summary))
    course = r"\(seeds? 0( and 1)? ran \d of 6 epochs, best at \d"
    assert re.match(rf"full: the validation accuracy ended (\d|none) of 2 runs early {course}", said)
    (warned,) = run_notes(View(first.summary))
    assert warned.startswith("full: Warm-up takes 7 of 30 steps (23 %)")
    for text in (first.to_markdown(), (tmp_path / "out" / "report.html").read_text(encoding="utf-8")):
        assert "the validation accuracy ended" in text
        assert "Warm-up takes 7 of 30 steps (23 %)" in text
    # The ring in the curves is the point whose weights were kept.
    view = load_view(StudyFolder(tmp_path / "out"))
    lines = [line for figure in curve_figures(view) for line in figure.panels[0].lines]
    kept = [record.stopping.best_epoch for record in first.records if record.stopping]
    assert [line.best and line.best[0] for line in lines if line.series == "validation"] == kept * 2
    assert all(line.best is None for line in lines if line.series == "train")
    # As after a kill: one run's folder is gone, and is made again to the same figures.
    lost = first.records[0]
    StudyFolder(tmp_path / "out").discard(lost.run_id)
    again = compare(study, tmp_path / "out", threads=1)
    assert again.started == 1
    same = next(record for record in again.records if record.run_id == lost.run_id)
    assert (same.stopping, same.metrics) == (lost.stopping, lost.metrics)


def test_a_short_warmup_is_not_warned_of(tiny_gpt2: Path, noisy: Path) -> None:
    result = run(tiny_gpt2, noisy, epochs=2, warmup_steps=2, early_stopping="none", method="head_only")
    assert result.record.notes == []


def test_steps_that_one_stopping_rule_leaves_out_are_named_and_no_confound() -> None:
    from whichtune.stats.confounds import find_differences

    early = {"method": "full", "early_stopping": "loss"}
    counts = ({"optimiser_steps": 10, "examples_seen": 80}, {"optimiser_steps": 20, "examples_seen": 160})
    found = find_differences(early, {**early, "method": "lora"}, "method", *counts)
    assert found.confounds == []
    assert [text.split(" (")[0] for text in found.named] == ["optimiser steps", "examples seen"]
    # With another rule, or none, the steps are a difference like any other; a record from before has no rule.
    other = find_differences(early, {"method": "lora"}, "method", *counts)
    assert [text.split(" (")[0] for text in other.confounds] == ["early stopping", "optimiser steps", "examples seen"]
    old = find_differences({"method": "full"}, {"method": "lora", "early_stopping": "none"}, "method", {}, {})
    assert old.confounds == []
