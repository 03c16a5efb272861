"""What a row costs is what it costs alone, whatever stood in the cache and whoever ran beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from report.made_studies import ordinary
from test_oracle import spec_of
from whichtune.compare import Result, compare
from whichtune.evidence.summary import Summary
from whichtune.executors.base import with_jobs
from whichtune.executors.local import LocalExecutor
from whichtune.measure.neighbours import Neighbours
from whichtune.records.record import Cost
from whichtune.report.cost_notes import shared_machine, shared_passes
from whichtune.report.tables import cells
from whichtune.report.view import View
from whichtune.runs.run import run_one
from whichtune.shortcuts.cache import ActivationCache
from whichtune.study.load import parse_study

METHODS = ("head_only", "linear_probe", "last_block")


def study_of(model: Path, data: Path, methods: Sequence[str], seeds: Sequence[int]) -> dict[str, object]:
    return {
        "data": str(data), "model": str(model), "methods": [*methods], "seeds": [*seeds], "baselines": ["majority"],
        "settings": {"epochs": 1, "max_steps": 3, "context_length": 24}, "device": "cpu",
    }  # fmt: skip


def operations(result: Result) -> dict[tuple[str, int | None], int | None]:
    return {(run.label, run.seed): run.cost.training_flops for run in result.records}


@pytest.mark.slow
def test_operations_are_the_same_in_any_order(
    tiny_gpt2: Path, mail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_servers: None
) -> None:
    """Real studies: rows turned round, a seed added later, and states that stand in the cache already."""
    monkeypatch.setenv("WHICHTUNE_CACHE", str(tmp_path / "cache"))
    cache = ActivationCache(tmp_path / "cache" / "states")

    def made(name: str, methods: Sequence[str], seeds: Sequence[int]) -> Result:
        study = parse_study(study_of(tiny_gpt2, mail, methods, seeds), "the study")
        return compare(study, tmp_path / name, save="none", executor=engine)

    with LocalExecutor(threads=1) as engine:
        made("first", METHODS, [0])
        first = made("first", METHODS, [0, 1])
        assert cache.clear() > 0
        turned = made("turned", METHODS[::-1], [1, 0])
        cache.clear()
        alone = made("alone", ["linear_probe"], [1])
    expected = operations(first)
    assert operations(turned) == expected
    assert operations(alone).items() <= expected.items()
    assert expected["majority", None] is None
    assert min(count for (label, _), count in expected.items() if label != "majority") > 0
    paid = [run.cost.flops for run in first.records if run.label == "linear_probe"]
    assert paid == [0, 0] != [run.cost.flops for run in alone.records][:1]  # what was paid depends on who came first


def test_a_run_that_reads_states_has_the_costs_of_who_made_them(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    def made(seed: int) -> Cost:
        spec = spec_of(tiny_gpt2, mail, "auto", method="last_block").model_copy(update={"seed": seed})
        return run_one(spec, cache={"folder": tmp_path}, runs_at_once=lambda: 3 if seed == 0 else 1).record.cost

    first, second = made(0), made(1)
    (entry,) = [each for each in ActivationCache(tmp_path).entries() if each.description.texts.startswith("train")]
    assert second.cache_flops == 0 < second.cache_flops_alone == first.cache_flops == entry.description.flops
    assert second.cache_seconds_alone == first.cache_seconds_alone == entry.description.seconds > 0
    for cost in (first, second):
        assert cost.training_seconds == cost.train_seconds + entry.description.seconds
        assert cost.peak_memory_bytes >= entry.description.peak_memory > 0
    assert second.training_flops == second.flops + entry.description.flops
    again = spec_of(tiny_gpt2, mail, "auto", method="last_block").model_copy(update={"seed": 2})
    assert entry.description.runs_at_once == 3
    assert run_one(again, cache={"folder": tmp_path}).record.environment.runs_at_once == 3


@pytest.mark.slow
def test_peak_memory_is_that_of_the_pass_where_it_is_the_higher(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    """An entry whose pass took much memory, as it would with a large model, charges it to who reads the entry."""
    spec = spec_of(tiny_gpt2, mail, "auto", method="last_block")
    settings = {"folder": tmp_path}
    usual = run_one(spec, cache=settings).record.cost.peak_memory_bytes
    ballast = run_one(spec, memory_baseline=-(2**33), cache={"folder": tmp_path / "heavy"}).record.cost
    assert ballast.peak_memory_bytes >= 2**33 > usual
    assert run_one(spec, cache={"folder": tmp_path / "heavy"}).record.cost.peak_memory_bytes >= 2**33


def test_records_of_earlier_versions_say_what_training_cost_alone() -> None:
    for file in (Path(__file__).parent / "pins" / "labels" / "runs").glob("*/run.json"):
        stored = json.loads(file.read_text(encoding="utf-8"))["cost"]
        cost = Cost.model_validate(stored)
        assert cost.training_seconds == stored["train_seconds"] + (stored["cache_seconds_alone"] or 0)
        if stored["flops"] is None:
            assert cost.training_flops is None
        else:
            assert cost.training_flops == stored["flops"] - stored["cache_flops"] + stored["cache_flops_alone"]
        assert {name: getattr(cost, name) for name in stored} == stored
    assert Cost().training_seconds is None
    assert Cost(training_seconds=3.0, train_seconds=1.0).training_seconds == 3.0


# -- beside others ---------------------------------------------------------------------------------

HOLD = "import sys; from pathlib import Path; from whichtune.measure.neighbours import Neighbours\n"
HOLD += "with Neighbours(Path(sys.argv[1])): print('here', flush=True); sys.stdin.read()"


def test_runs_of_other_processes_are_seen_while_they_last(tmp_path: Path) -> None:
    place = tmp_path / "running"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline()
        with Neighbours(place) as neighbours:
            assert neighbours.most == 2
            other.kill()  # it leaves its mark
            other.wait()
            assert neighbours.look() == 2  # the most, not the last
        assert len([*place.iterdir()]) == 0
        with Neighbours(place) as neighbours:
            assert neighbours.look() == 1
    finally:
        other.kill()
        other.wait()
        other.stdin.close()
        other.stdout.close()


def test_nobody_is_seen_where_no_mark_can_be_left(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Neighbours(tmp_path / "file" / "running") as neighbours:
        assert neighbours.look() == 1


def test_seconds_of_a_shared_machine_are_marked(tmp_path: Path) -> None:
    view = View(Summary.model_validate(ordinary(tmp_path).read_json("summary.json")))
    assert shared_machine(view) == []
    assert not any("†" in cell for row in cells(view)[1] for cell in row)
    runs = [with_jobs(run, {"lora": 2}.get(run.label, 1), {"full": 3}.get(run.label, 1)) for run in view.summary.runs]
    beside = View(view.summary.model_copy(update={"runs": runs}))
    header, rows = cells(beside)
    marked = {(row[0], title) for row in rows for title, cell in zip(header, row, strict=True) if "†" in cell}
    timed = ("train s", "longest epoch s", "ms/text")
    names = [row[0] for row in rows if row[0].startswith(("lora", "full"))]
    assert marked == {(name, title) for name in names for title in timed}
    assert shared_machine(beside) == [
        "† Seconds measured while 2 runs shared the machine: lora.",
        "† Seconds measured while 3 runs shared the machine: full.",
    ]
    everywhere = [with_jobs(run, 2) for run in view.summary.runs]
    view = View(view.summary.model_copy(update={"runs": everywhere}))
    assert shared_machine(view) == ["† Seconds measured while 2 runs shared the machine."]


def test_what_sharing_saved_stands_apart(tmp_path: Path) -> None:
    view = View(Summary.model_validate(ordinary(tmp_path).read_json("summary.json")))
    assert shared_passes(view) == []
    shared = {"cache_seconds": 0.1, "cache_seconds_alone": 13.5, "cache_flops": 0, "cache_flops_alone": 10**9}
    runs = []
    for run in view.summary.runs:
        if run.label == "head_only":
            cost = Cost(train_seconds=0.2, flops=5, **(shared if run.seed else {**shared, "cache_seconds": 13.6}))
            run = run.model_copy(update={"cost": cost})
        runs.append(run)
    (note,) = shared_passes(View(view.summary.model_copy(update={"runs": runs})))
    assert note.endswith("less was paid: head_only paid 14.4 s of 41.1 s in 3 runs.")
