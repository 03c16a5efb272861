"""A run by its plan is the plain run: losses of ten training steps and every text's logits, within 1e-5.

The table: family x method (boundary at the head, in the middle, at the last block, at 0; adapters
everywhere, and above the boundary) x read position x padding. By default a cover of it, in which every
pair of a family's values meets; the whole table for GPT-2 and BERT is slow, as are the other families.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from models.tiny_families import FAMILIES
from planned_runs import ARRANGEMENTS, METHOD_NAMES, POSITIONS, Cell, cells, make_classifier, run
from whichtune.shortcuts.entry import checksum_of
from whichtune.shortcuts.self_check import STRICT, ShortcutError

MAIN = ("gpt2", "bert")


def pairwise(family: str) -> list[Cell]:
    """A few of a family's cells in which every valid pair of two factors' values occurs."""
    every = cells(family)
    open_pairs = {pair for cell in every for pair in _pairs(cell)}
    chosen: list[Cell] = []
    while open_pairs:
        best = max(every, key=lambda cell: len(open_pairs & _pairs(cell)))
        chosen.append(best)
        open_pairs -= _pairs(best)
    return chosen


def _pairs(cell: Cell) -> set[tuple[object, object]]:
    values = (cell.method, cell.position, (cell.padding, cell.attend))
    return set(itertools.combinations(values, 2))


def spread(family: str, count: int) -> list[Cell]:
    """`count` cells of a family in which every value of every factor occurs, other ones for other families."""
    turn = list(FAMILIES).index(family)
    chosen = []
    for i in range(len(METHOD_NAMES) * len(POSITIONS) * len(ARRANGEMENTS)):
        method = METHOD_NAMES[(i + turn) % len(METHOD_NAMES)]
        position = POSITIONS[(i + 2 * turn) % len(POSITIONS)]
        padding, attend = ARRANGEMENTS[(i + i // 4 + turn) % len(ARRANGEMENTS)]
        cell = Cell(family, method, position, padding, attend)
        if cell.is_valid and cell not in chosen:
            chosen.append(cell)
        if len(chosen) == count:
            break
    return chosen


FAST = [cell for family in MAIN for cell in spread(family, 8)]
FAST += [cell for family in FAMILIES if family not in MAIN for cell in spread(family, 1)]
SLOW = [cell for family in MAIN for cell in cells(family) if cell not in FAST]
SLOW += [cell for family in FAMILIES if family not in MAIN for cell in pairwise(family) if cell not in FAST]


# Ten steps at the usual rate are unstable in these families: rounding of 1e-7 grows a hundredfold on the way.
RATES = {"gemma3": 2e-4, "pythia": 2e-4, "qwen2": 2e-4}


def _check(cell: Cell, tmp_path: Path) -> None:
    settings = {"learning_rate": RATES[cell.family]} if cell.family in RATES else {}
    planned, plain = (run(cell, plan, tmp_path, **settings) for plan in ("auto", "off"))
    assert planned.prepared is not None
    assert planned.prepared.notes == []
    assert planned.prepared.shortcuts["used"]
    assert planned.difference(plain) < 1e-5


@pytest.mark.parametrize("cell", FAST, ids=str)
def test_planned_equals_plain(cell: Cell, tmp_path: Path) -> None:
    _check(cell, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("cell", SLOW, ids=str)
def test_planned_equals_plain_everywhere(cell: Cell, tmp_path: Path) -> None:
    _check(cell, tmp_path)


def test_the_table_covers_every_value_and_pair() -> None:
    for family in FAMILIES:
        chosen = [cell for cell in FAST + SLOW if cell.family == family]
        open_pairs = {pair for cell in cells(family) for pair in _pairs(cell)}
        assert not open_pairs - {pair for cell in chosen for pair in _pairs(cell)}, family
    for family in MAIN:
        assert {cell for cell in FAST + SLOW if cell.family == family} == set(cells(family))


@pytest.mark.parametrize("position", ["last_nonpad", "mean_nonpad"])
def test_without_a_causal_mask(tmp_path: Path, position: str) -> None:
    for family in ("gpt2", "gpt_neo", "llama"):
        cell = Cell(family, "last_block", position, "dynamic", False)
        made = [make_classifier(cell, causal_mask=False) for _ in range(2)]
        planned = run(cell, "auto", tmp_path, made[0])
        plain = run(cell, "off", tmp_path, made[1])
        assert planned.prepared is not None
        assert planned.prepared.shortcuts["used"]["packing"] != "positions"
        assert planned.difference(plain) < 1e-5


def test_a_second_run_shares_the_first_ones_states(tmp_path: Path) -> None:
    cell = Cell("gpt2", "last_block", "last_nonpad", "dynamic", False)
    first, second = run(cell, "auto", tmp_path), run(cell, "auto", tmp_path, seed=1)
    assert first.prepared is not None
    assert second.prepared is not None
    assert first.prepared.shortcuts["used"]["cache_made"]
    assert not second.prepared.shortcuts["used"]["cache_made"]
    assert first.prepared.flops == first.prepared.flops_alone == second.prepared.flops_alone > 0
    assert second.prepared.flops == 0
    assert first.prepared.seconds_alone == second.prepared.seconds_alone > 0
    assert second.difference(run(cell, "off", tmp_path, seed=1)) < 1e-5


def test_one_pass_keeps_what_siblings_want(tmp_path: Path) -> None:
    from whichtune.shortcuts.prepared import CacheSettings

    siblings: Sequence[tuple[str, dict[str, object]]] = [("head_only", {}), ("last_two_blocks", {}), ("full", {})]
    cell = Cell("gpt2", "last_block", "last_nonpad", "dynamic", False)
    run(cell, "auto", tmp_path, cache_settings=CacheSettings(tmp_path, siblings=siblings))
    for method in ("head_only", "last_two_blocks"):
        sibling = Cell("gpt2", method, "last_nonpad", "dynamic", False)
        planned = run(sibling, "auto", tmp_path)
        assert planned.prepared is not None
        assert not planned.prepared.shortcuts["used"]["cache_made"]
        assert planned.difference(run(sibling, "off", tmp_path)) < 1e-5


def test_changed_weights_of_the_same_name_are_another_entry(tmp_path: Path) -> None:
    cell = Cell("gpt2", "last_block", "last_nonpad", "dynamic", False)
    run(cell, "auto", tmp_path)

    def changed() -> object:
        classifier = make_classifier(cell)
        with torch.no_grad():
            classifier.backbone.h[0].mlp.c_fc.weight[0, 0] += 0.5
        return classifier

    planned = run(cell, "auto", tmp_path, changed())  # type: ignore[arg-type]
    assert planned.prepared is not None
    assert planned.prepared.shortcuts["used"]["cache_made"]
    assert planned.difference(run(cell, "off", tmp_path, changed())) < 1e-5  # type: ignore[arg-type]


def test_another_padding_shares_the_states_of_real_tokens(tmp_path: Path) -> None:
    dynamic = Cell("gpt2", "last_block", "last_nonpad", "dynamic", False)
    right = Cell("gpt2", "last_block", "last_nonpad", "right", True)
    run(dynamic, "auto", tmp_path)
    planned = run(right, "auto", tmp_path)
    assert planned.prepared is not None
    assert not planned.prepared.shortcuts["used"]["cache_made"]
    assert planned.difference(run(right, "off", tmp_path)) < 1e-5


def test_a_cache_that_does_not_fit_is_done_without(tmp_path: Path) -> None:
    from whichtune.shortcuts.prepared import CacheSettings

    cell = Cell("gpt2", "last_block", "last_nonpad", "dynamic", False)
    planned = run(cell, "auto", tmp_path, cache_settings=CacheSettings(tmp_path, limit=100))
    assert planned.prepared is not None
    assert "cache is not used" in planned.prepared.notes[0]
    assert planned.difference(run(cell, "off", tmp_path)) < 1e-5


def test_dropout_means_the_plain_way(tmp_path: Path) -> None:
    cell = Cell("gpt2", "last_block", "last_nonpad", "dynamic", False)
    planned = run(cell, "auto", tmp_path, make_classifier(cell, resid_pdrop=0.1))
    assert planned.prepared is not None
    assert "dropout 0.1" in planned.prepared.shortcuts["decisions"]["plan"]
    assert planned.difference(run(cell, "off", tmp_path, make_classifier(cell, resid_pdrop=0.1))) < 1e-5


def test_a_wrong_state_in_the_cache_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check before the first step reads the cache: states that are wrong but whole show, and are said."""
    cell = Cell("gpt2", "last_block", "last_nonpad", "dynamic", False)
    run(cell, "auto", tmp_path)
    for file in tmp_path.glob("*/states.bin"):
        file.write_bytes(bytes(file.stat().st_size))
        entry = json.loads((file.parent / "entry.json").read_text(encoding="utf-8"))
        entry.pop("checksum")
        entry["checksum"] = checksum_of(file.parent, entry)  # as if they had been computed so
        (file.parent / "entry.json").write_text(json.dumps(entry), encoding="utf-8")
    with pytest.raises(ShortcutError, match="logits differ"):  # as all tests are run
        run(cell, "auto", tmp_path)
    monkeypatch.delenv(STRICT)
    planned = run(cell, "auto", tmp_path)
    assert planned.prepared is not None
    assert any("lower blocks run anew" in note for note in planned.prepared.notes)
    assert planned.difference(run(cell, "off", tmp_path)) < 1e-5


def test_a_frozen_part_that_trains_after_all_is_noticed(tmp_path: Path) -> None:
    """A negative control: a weight below the boundary moves during training, and the runs part."""
    cell = Cell("gpt2", "last_block", "last_nonpad", "dynamic", False)
    made = [make_classifier(cell) for _ in range(2)]
    planned = run(cell, "auto", tmp_path, made[0])
    with torch.no_grad():
        made[1].backbone.h[1].mlp.c_fc.weight += 0.05
    plain = run(cell, "off", tmp_path, made[1])
    assert planned.difference(plain) > 1e-3
