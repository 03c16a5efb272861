"""Texts that a pass over other texts has computed are not computed again, and cost a run what they cost alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.tiny_families import pad_token
from planned_runs import Cell, Outcome, made_up_texts, make_classifier, run
from whichtune.data.encoding import Encoded
from whichtune.shortcuts.cache import ActivationCache
from whichtune.shortcuts.loans import loans_of, marks_of

HALF = 14
CELLS = [
    Cell("gpt2", "head_only", "last_nonpad", "right", False),
    Cell("gpt2", "last_block", "mean_nonpad", "right", False),
    Cell("bert", "last_block", "first", "dynamic", False),
    Cell("bert", "head_only", "last", "right", True),  # padding is seen
]


def cut(encoded: Encoded, count: int) -> Encoded:
    """The first `count` training texts and all others."""
    train = encoded.splits["train"]
    part = replace(
        train,
        ids=train.ids[:count],
        tokens=train.tokens[:count],
        labels=train.labels[:count],
        duplicate_of_train=np.zeros(count, dtype=bool),
    )
    return replace(encoded, splits={**encoded.splits, "train": part})


def runs(cell: Cell, cache: Path, *counts: int) -> list[Outcome]:
    """One after another, with so many training texts."""
    whole = made_up_texts(pad_token(make_classifier(cell).backbone), cell.padding, cell.attend)
    return [run(cell, "auto", cache, encoded=cut(whole, count)) for count in counts]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_part_of_the_texts_is_taken_from_the_pass_over_all(cell: Cell, tmp_path: Path) -> None:
    [alone] = runs(cell, tmp_path / "alone", HALF)
    [whole, part] = runs(cell, tmp_path / "shared", 30, HALF)
    assert part.difference(alone) < 1e-5
    assert alone.prepared is not None
    assert whole.prepared is not None
    assert part.prepared is not None
    assert alone.prepared.flops > 0
    assert part.prepared.flops == 0  # nothing was computed
    assert part.prepared.flops_alone == alone.prepared.flops_alone  # and it costs what it costs alone
    assert 0 < part.prepared.seconds_alone < whole.prepared.seconds_alone


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_more_texts_are_computed_beside_those_that_are_there(cell: Cell, tmp_path: Path) -> None:
    [alone] = runs(cell, tmp_path / "alone", 30)
    [part, whole] = runs(cell, tmp_path / "shared", HALF, 30)
    assert whole.difference(alone) < 1e-5
    assert alone.prepared is not None
    assert whole.prepared is not None
    assert part.prepared is not None
    assert whole.prepared.flops_alone == alone.prepared.flops_alone
    assert 0 < whole.prepared.flops < alone.prepared.flops
    assert whole.prepared.seconds_alone > part.prepared.seconds_alone


def test_one_pass_lends_to_every_method_that_wants_its_boundary(tmp_path: Path) -> None:
    """An entry of all texts, at another boundary or of other weights, is of another family."""
    head, block = CELLS[0], CELLS[1]
    runs(head, tmp_path, 30)
    [part] = runs(replace(block, position="last_nonpad"), tmp_path, HALF)
    assert part.prepared is not None
    assert part.prepared.flops > 0
    other = make_classifier(head, seed=0, initializer_range=0.5)
    whole = made_up_texts(pad_token(other.backbone), head.padding, head.attend)
    anew = run(head, "auto", tmp_path, classifier=other, encoded=cut(whole, HALF))
    assert anew.prepared is not None
    assert anew.prepared.flops > 0


def test_a_damaged_entry_lends_nothing(tmp_path: Path) -> None:
    [alone] = runs(CELLS[0], tmp_path / "alone", HALF)
    runs(CELLS[0], tmp_path / "shared", 30)
    for entry in ActivationCache(tmp_path / "shared").entries():
        file = tmp_path / "shared" / entry.key / "states.bin"
        file.write_bytes(bytes(reversed(file.read_bytes())))
    [part] = runs(CELLS[0], tmp_path / "shared", HALF)
    assert part.prepared is not None
    assert part.prepared.flops > 0
    assert part.difference(alone) < 1e-6


def test_a_text_is_lent_once_and_by_its_own_tokens() -> None:
    class Held:
        def __init__(self, texts: list[str]) -> None:
            self.marks = marks_of(texts)

    first, second = Held(["a", "b", "c"]), Held(["c", "d", "a"])
    loans = loans_of([first, second], marks_of(["d", "x", "a"]))  # type: ignore[list-item]
    assert [(loan.states, loan.theirs, loan.ours) for loan in loans] == [(first, [0], [2]), (second, [1], [0])]
