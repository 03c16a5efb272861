"""A step parted into what it takes and what it computes: the same numbers, also from held tensors and in round rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from planned_runs import Cell, made_up_texts, make_classifier, make_spec, run
from whichtune.measure.cost import Timers
from whichtune.shortcuts import planned
from whichtune.shortcuts.packing import pack, packed_round
from whichtune.shortcuts.prepared import CacheSettings, prepare_forward
from whichtune.shortcuts.resident import Resident
from whichtune.tasks.classification.objective import ClassificationObjective
from whichtune.tasks.multilabel.objective import MultilabelObjective
from whichtune.tasks.multilabel.settings import MultilabelSettings
from whichtune.tasks.regression.objective import RegressionObjective
from whichtune.tasks.regression.settings import RegressionSettings

CELLS = [
    Cell(family, method, position, "dynamic", False)
    for family, position in (
        ("gpt2", "last_nonpad"),
        ("bert", "mean_nonpad"),
        ("modernbert", "first"),
    )
    for method in ("last_block", "full", "lora")
]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_rows_of_round_sizes_change_no_loss(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "FEW_SHAPES", ("cpu",))
    found = run(cell, "auto", tmp_path / "cache")
    assert found.prepared is not None
    assert found.prepared.shortcuts["used"]["packing"] != "none"  # type: ignore[index,call-overload]
    assert found.difference(run(cell, "off", tmp_path / "cache")) < 2e-5


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_step_is_a_function_of_its_tensors(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors that other batches are copied into give those batches' losses: all that a recording relies on."""
    monkeypatch.setattr(planned, "FEW_SHAPES", ("cpu",))
    classifier, place = make_classifier(cell), torch.device("cpu")
    encoded = made_up_texts(0)
    prepared = prepare_forward(
        make_spec(cell, "auto"), classifier, encoded, place, Timers(place), CacheSettings(tmp_path)
    )
    objective = ClassificationObjective(classifier, prepared.forward)
    batches = [list(range(start, start + 6)) for start in range(0, 24, 3)]
    held = {}
    reused = 0
    for rows in batches:
        stage = objective.staged(rows)
        assert stage is not None
        if stage.key in held:
            held[stage.key].take(stage)
            reused += 1
        else:
            held[stage.key] = stage.held(place)
        found, right = objective.loss_of(held[stage.key])
        expected, expected_right = objective.loss(rows)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        assert right == expected_right
    assert reused >= 3


def test_round_rows_hold_all_texts() -> None:
    lengths = [30, 70, 5, 5, 64]
    packing = packed_round(lengths, 512)
    assert (packing.rows, packing.width) == (1, 192)
    narrow = packed_round(lengths, 100)
    assert narrow.width == 100
    assert narrow.lengths.tolist() == lengths
    assert narrow.rows == pack(lengths, 100).rows
    assert packed_round([120], 64).width == 120


@pytest.mark.parametrize("position", ["last_nonpad", "first"])
def test_states_on_a_device_are_those_of_the_file(position: str, tmp_path: Path) -> None:
    cell = Cell("gpt2", "last_block", position, "dynamic", False)
    classifier, place = make_classifier(cell), torch.device("cpu")
    encoded = made_up_texts(0)
    prepared = prepare_forward(
        make_spec(cell, "auto"), classifier, encoded, place, Timers(place), CacheSettings(tmp_path)
    )
    forward = prepared.forward
    assert isinstance(forward, planned.PlannedForward)
    states = forward.states["train"].states
    resident, texts = Resident(states, place), [3, 0, 7]
    longest = int(states.lengths[texts].max())
    assert torch.equal(resident.padded(texts, longest + 2), states.padded(texts, longest + 2))
    assert torch.equal(resident.single(texts), states.single(texts))
    packing = pack(states.lengths[texts], longest + 3)
    shape = (packing.rows, packing.width)
    expected = states.packed(texts, packing.row, packing.start, shape)
    assert torch.equal(resident.packed(texts, packing.row, packing.start, shape), expected)


@pytest.mark.parametrize("kind", ["numbers", "sets"])
def test_other_losses_are_functions_of_their_tensors_too(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "FEW_SHAPES", ("cpu",))
    cell, place = Cell("bert", "full", "mean_nonpad", "dynamic", False), torch.device("cpu")
    encoded, draws = made_up_texts(0), np.random.default_rng(5)
    for name, part in encoded.splits.items():
        labels = draws.normal(size=len(part)) if kind == "numbers" else draws.integers(0, 2, (len(part), 2))
        encoded.splits[name] = replace(part, labels=labels)
    classifier = make_classifier(cell)
    prepared = prepare_forward(
        make_spec(cell, "auto"), classifier, encoded, place, Timers(place), CacheSettings(tmp_path)
    )
    objective = (
        RegressionObjective(classifier, prepared.forward, RegressionSettings())
        if kind == "numbers"
        else MultilabelObjective(classifier, prepared.forward, MultilabelSettings())
    )
    stages = [objective.staged(list(range(start, start + 6))) for start in (0, 6, 12)]
    for start, stage in zip((0, 6, 12), stages, strict=True):
        assert stage is not None
        expected, _ = objective.loss(list(range(start, start + 6)))
        found, right = objective.loss_of(stage.held(place))
        assert right is None
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
