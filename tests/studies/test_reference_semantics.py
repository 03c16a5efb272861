"""The reference rows against a plain re-implementation: every step's loss, every printed figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studies.conftest import SHAPE
from studies.plain_reference import Options, Outcome, train
from whichtune.compare import prepare
from whichtune.published.reproduce import reproduction_study
from whichtune.runs.run import RunResult, run_one

EPOCHS, EVERY = 2, 10
ROWS = {
    1: Options(),
    2: Options(position="first"),
    10: Options(train="all"),
    11: Options(train="lora", rank=16, alpha=16),
    15: Options(padded=False, batch=1, accumulation=8),
    16: Options(position="flexible"),
    17: Options(causal=False),
    19: Options(position="mean"),
}


def spec_of(row: int, mini: Path, collection: Path, *, seeds: str | None = None, plan: str = "off") -> Any:
    study = reproduction_study(
        "sms-spam",
        rows=[row],
        seeds=seeds,
        model=str(mini),
        weights="random",
        data=f"sms_spam={collection}",
        assignments=[f"epochs={EPOCHS}", f"evaluation_interval={EVERY}"],
        plan=plan,
        device="cpu",
    )
    return prepare(study)[0].specs[0]


def run(spec: Any) -> tuple[RunResult, list[float]]:
    """The run and the loss of each of its optimiser steps."""
    losses: list[float] = []
    result = run_one(spec, lambda event: losses.append(event["train_loss"]) if event["event"] == "step" else None)
    return result, losses


def plainly(options: Options, mini: Path, collection: Path, seed: int = 123) -> Outcome:
    from transformers import AutoTokenizer

    from whichtune.data.splits import load_dataset
    from whichtune.study.data_settings import DataSettings

    tokenizer = AutoTokenizer.from_pretrained(mini)
    splits = load_dataset(DataSettings(source=f"sms_spam={collection}")).splits
    tokens = {name: (tokenizer(part.texts)["input_ids"], part.labels.tolist()) for name, part in splits.items()}
    width = max(len(ids) for ids in tokens["train"][0])
    options.epochs, options.every, options.seed = EPOCHS, EVERY, seed
    return train(SHAPE, options, tokens, pad=0, width=width)


def assert_same(result: RunResult, losses: list[float], wanted: Outcome) -> None:
    assert losses == pytest.approx(wanted.step_losses, abs=1e-5)
    intervals = [(p["train_loss"], p["validation_loss"]) for p in result.curves if not p["end_of_epoch"]]
    assert len(intervals) == len(wanted.interval_losses)
    for found, expected in zip(intervals, wanted.interval_losses, strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    epochs = [(p["train_accuracy"], p["validation_accuracy"]) for p in result.curves if p["end_of_epoch"]]
    assert epochs == wanted.epoch_accuracies
    metrics = result.record.metrics
    assert {name: getattr(metrics, name).accuracy for name in wanted.final} == wanted.final


@pytest.mark.parametrize("row", list(ROWS))
def test_a_row_is_the_reference_step_by_step(row: int, mini: Path, collection: Path) -> None:
    wanted = plainly(ROWS[row], mini, collection)
    assert len(wanted.interval_losses) >= 3
    assert max(wanted.step_losses) - min(wanted.step_losses) > 0.01
    assert_same(*run(spec_of(row, mini, collection)), wanted)


@pytest.mark.parametrize("row", [1, 2, *(pytest.param(row, marks=pytest.mark.slow) for row in (15, 16, 19))])
def test_computing_less_changes_nothing_but_rounding(row: int, mini: Path, collection: Path) -> None:
    """With the plan on, as it is by default: lower blocks are kept, positions that nothing reads are left out."""
    wanted = plainly(ROWS[row], mini, collection)
    result, losses = run(spec_of(row, mini, collection, plan="auto"))
    assert losses == pytest.approx(wanted.step_losses, abs=1e-4)
    assert result.record.metrics.test is not None
    assert result.record.metrics.test.accuracy == wanted.final["test"]


@pytest.mark.slow
def test_the_shorter_tail_of_an_epoch_is_divided_by_the_full_step_count(mini: Path, collection: Path) -> None:
    """105 texts in steps of 8: each epoch's last step holds one text, so its loss is an eighth of a mean."""
    spec = spec_of(15, mini, collection).model_copy(update={"max_steps": 14})
    reference, exact = run(spec)[1], run(spec.model_copy(update={"accumulation_tail": "exact"}))[1]
    tail = 105 // 8
    assert reference[:tail] == pytest.approx(exact[:tail], abs=1e-7)
    assert reference[tail] == pytest.approx(exact[tail] / 8, abs=1e-6)


@pytest.mark.slow
def test_another_seed_replaces_the_published_one_everywhere(mini: Path, collection: Path) -> None:
    wanted = plainly(Options(train="lora", rank=16, alpha=16), mini, collection, seed=7)
    published = plainly(Options(train="lora", rank=16, alpha=16), mini, collection)
    assert wanted.step_losses != pytest.approx(published.step_losses, abs=1e-3)
    spec = spec_of(11, mini, collection, seeds="7")
    assert_same(*run(spec), wanted)


def test_an_interval_evaluation_changes_the_later_order(mini: Path, collection: Path) -> None:
    """The published order cannot be had without the published evaluations: they draw from the same generator."""
    spec = spec_of(1, mini, collection)
    often = run(spec)[1]
    never = run(spec.model_copy(update={"evaluation_interval": 10**6}))[1]
    batches = 105 // 8
    assert often[:batches] == pytest.approx(never[:batches], abs=1e-7)
    assert often[batches:] != pytest.approx(never[batches:], abs=1e-4)


def test_train_figures_are_of_the_rows_that_the_last_pass_draws(mini: Path, collection: Path) -> None:
    """105 training texts in batches of 8 leave one out of the final train accuracy."""
    result, _ = run(spec_of(1, mini, collection))
    assert result.record.metrics.train is not None
    assert result.record.metrics.train.n == 104
    assert result.predictions is not None
    assert (result.predictions["split"] == "train").sum() == 104
    assert result.record.cost.curve_seconds
