"""Hidden states of frozen blocks kept in fewer bits: half the disk, and a record that says what it changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from made_labels import labels_file
from made_numbers import numbers_file
from whichtune.compare import prepare
from whichtune.errors import SettingError
from whichtune.runs.preview import preview_run
from whichtune.runs.run import RunResult, run_one
from whichtune.shortcuts.cache import ActivationCache
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tasks import task_of

CHANGES = re.compile(
    r"Keeping hidden states in bf16 changes (\d+) of (\d+) (validation|test) predictions against float32"
)


def spec_of(mail: Path, model: Path, method: str, **settings: Any) -> RunSpec:
    usual = {"epochs": 2, "batch_size": 4, "context_length": 24}
    study = {"data": str(mail), "model": str(model), "methods": [method], "seeds": [0], "baselines": []}
    expansion, _ = prepare(parse_study({**study, "settings": {**usual, **settings}}, "test"))
    (spec,) = expansion.specs
    return spec


def bytes_in(cache: Path) -> int:
    return sum(entry.bytes for entry in ActivationCache(cache).entries())


def used_of(result: RunResult) -> Any:
    return (result.record.shortcuts or {})["used"]


@pytest.mark.parametrize("method", ["head_only", "last_block"])
def test_states_in_bf16_take_half_and_tell_what_they_change(
    method: str, mail: Path, tiny_gpt2: Path, tmp_path: Path
) -> None:
    exact = run_one(spec_of(mail, tiny_gpt2, method), cache={"folder": tmp_path / "exact"})
    spec = spec_of(mail, tiny_gpt2, method, state_precision="bf16")
    rounded = run_one(spec, cache={"folder": tmp_path / "rounded"})
    assert 0 < bytes_in(tmp_path / "rounded") * 2 == bytes_in(tmp_path / "exact")
    assert used_of(rounded)["states"] == "bf16"
    assert "states" not in used_of(exact)
    losses = [[point["train_loss"] for point in result.curves] for result in (exact, rounded)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    told = [found.groups() for note in rounded.record.notes if (found := CHANGES.match(note))]
    sizes = {split: len(rows) for split, rows in rounded.predictions.groupby("split")}  # type: ignore[union-attr]
    assert [(int(of), split) for _, of, split in told] == [(sizes[split], split) for split in ("validation", "test")]
    assert not any(CHANGES.match(note) for note in exact.record.notes)


def test_a_run_that_reads_no_states_says_nothing(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    spec = spec_of(mail, tiny_gpt2, "full", state_precision="bf16")
    found = run_one(spec, cache={"folder": tmp_path / "cache"})
    assert "states" not in used_of(found)
    assert not any("bf16" in note for note in found.record.notes)
    plain = run_one(spec_of(mail, tiny_gpt2, "full"), cache={"folder": tmp_path / "cache"})
    assert [p["train_loss"] for p in found.curves] == [p["train_loss"] for p in plain.curves]


def test_both_kinds_stand_beside_one_another(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    specs = [spec_of(mail, tiny_gpt2, "head_only", state_precision=kind) for kind in ("float32", "bf16")]
    assert specs[0].run_id != specs[1].run_id
    before = [run_one(spec, cache={"folder": tmp_path / "cache"}) for spec in specs]
    again = [run_one(spec, cache={"folder": tmp_path / "cache"}) for spec in specs]
    for first, second in zip(before, again, strict=True):
        assert used_of(first)["cache_made"]
        assert not used_of(second)["cache_made"]
        assert first.curves[-1]["train_loss"] == second.curves[-1]["train_loss"]


def test_the_plan_tells_half_the_disk(mail: Path, tiny_gpt2: Path) -> None:
    specs = [spec_of(mail, tiny_gpt2, "last_block", state_precision=kind) for kind in ("float32", "bf16")]
    dataset = task_of(specs[0]).load(specs[0].data)
    sizes = [preview_run(spec, dataset).cache_bytes for spec in specs]
    assert sizes[0] == 2 * sizes[1] > 0


@pytest.mark.parametrize("task", ["regression", "multilabel", "tagging", "text_to_text", "summarisation"])
def test_other_tasks_refuse_it(task: str, tiny_gpt2: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.csv"
    texts.write_text("text,target\n" + "".join(f"how are you {n}?,fine {n}\n" for n in range(40)))
    files = {"regression": lambda: numbers_file(tmp_path), "multilabel": lambda: labels_file(tmp_path)}
    data = "booked_trips" if task == "tagging" else str(files.get(task, lambda: texts)())
    study = {"data": data, "model": str(tiny_gpt2), "methods": ["head_only"], "task": task}
    with pytest.raises(SettingError, match="state_precision"):
        prepare(parse_study({**study, "settings": {"state_precision": "bf16"}}, "test"))
