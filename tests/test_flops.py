"""Operations by lengths: equal to torch's count of the very batch, to the last one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from planned_runs import Cell, made_up_texts, make_classifier, make_spec
from whichtune.measure.cost import Timers, count_flops
from whichtune.measure.flops import FlopModel, padded_cells
from whichtune.shortcuts.planned import PlannedForward
from whichtune.shortcuts.prepared import CacheSettings, prepare_forward


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
@pytest.mark.parametrize("method", ["head_only", "last_block", "last_two_blocks", "full", "lora"])
def test_operations_of_a_step_are_counted_exactly(tmp_path: Path, family: str, method: str) -> None:
    for position, padding in (("last_nonpad", "dynamic"), ("mean", "right")):
        cell = Cell(family, method, position, padding, False)
        classifier = make_classifier(cell)
        encoded = made_up_texts(0, padding)
        spec, device = make_spec(cell, "auto"), torch.device("cpu")
        forward = prepare_forward(spec, classifier, encoded, device, Timers(device), CacheSettings(tmp_path)).forward
        assert isinstance(forward, PlannedForward)
        for rows in ([0, 1, 2, 3, 4, 5], [7, 9], [11]):
            assert forward.training_flops(rows) == count_flops(partial(_loss, forward, rows))


def _loss(forward: PlannedForward, rows: list[int]) -> torch.Tensor:
    labels = torch.zeros(len(rows), dtype=torch.long)
    return torch.nn.functional.cross_entropy(forward.logits("train", rows), labels)


def test_a_pass_without_gradients_is_counted_apart(tmp_path: Path) -> None:
    """As where a head is fitted on frozen features before the first step: its operations are not those of the steps."""
    cell = Cell("gpt2", "full", "last_nonpad", "right", False)

    def forward() -> PlannedForward:
        classifier = make_classifier(cell)
        encoded = made_up_texts(0, cell.padding)
        device = torch.device("cpu")
        settings = CacheSettings(tmp_path)
        prepared = prepare_forward(make_spec(cell, "auto"), classifier, encoded, device, Timers(device), settings)
        assert isinstance(prepared.forward, PlannedForward)
        return prepared.forward

    rows = range(6)
    alone, both = forward().training_flops(rows), forward()
    with torch.no_grad():
        ahead = both.training_flops(rows)
    assert both.training_flops(rows) == alone > 2 * ahead > 0


# -- what equal models need ------------------------------------------------------------------------


def counting(asked: list[list[int]], kept: Path) -> FlopModel:
    """A model of made-up operations that keeps what it was asked to count."""

    def count(lengths: list[int]) -> int:
        asked.append(lengths)
        texts, width = len(lengths), max(lengths)
        return 11 + 7 * texts * width + 3 * texts * width * width

    return FlopModel(count, padded_cells, kept=kept)


def test_equal_models_count_one_batch(tmp_path: Path) -> None:
    first: list[list[int]] = []
    second: list[list[int]] = []
    models = [counting(asked, tmp_path / "operations") for asked in (first, second)]
    assert models[0]([5, 9, 2]) == models[1]([5, 9, 2]) == 11 + 7 * 27 + 3 * 243
    assert len(first) > 2
    assert second == [[7, 3, 1]]


@pytest.mark.parametrize("content", ["{", "[1, 2]", "null", '["a"]', "[0, 0, 0, 0, 0, 0]"])
def test_what_is_kept_wrongly_is_counted_anew(tmp_path: Path, content: str) -> None:
    file = tmp_path / "steps.json"
    file.write_text(content)
    asked: list[list[int]] = []
    model = counting(asked, tmp_path)
    assert model([5, 9, 2]) == 11 + 7 * 27 + 3 * 243
    assert len(asked) > 2
    again: list[list[int]] = []
    other = counting(again, tmp_path)
    assert other([5, 9, 2]) == 11 + 7 * 27 + 3 * 243
    assert len(again) == 1


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_count(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = counting([], tmp_path / "file" / "operations")
    assert model([5, 9, 2]) == 11 + 7 * 27 + 3 * 243
