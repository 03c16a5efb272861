"""Where the time of runs went: what records know of it, and `show --time`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whichtune.cli.app import app
from whichtune.compare import compare
from whichtune.records.record import Cost, RunRecord
from whichtune.records.store import StudyFolder
from whichtune.stats.costs import seconds_of_run
from whichtune.stats.phases import KNOWN, PHASES, medians_of, share_of_steps, total_of
from whichtune.study.load import parse_study


def seconds_by_name(cost: Cost) -> dict[str, float | None]:
    return {phase.name: phase.of(cost) for phase in PHASES}


def test_every_second_of_a_run_is_in_one_phase() -> None:
    cost = Cost(
        load_seconds=1.0,
        check_seconds=0.5,
        cache_seconds=2.0,
        train_seconds=4.0,
        evaluate_seconds=3.0,
        curve_seconds=1.0,
        latency_seconds=0.25,
        save_seconds=0.25,
        total_seconds=12.0,
    )
    found = seconds_by_name(cost)
    assert (found["curves"], found["final"], found["other"]) == (1.0, 2.0, 1.0)
    assert total_of(cost) == seconds_of_run(cost) == 12.0
    assert share_of_steps([cost]) == pytest.approx(4 / 12)


def test_records_of_earlier_versions_count_their_curves_once() -> None:
    """Evaluations for the curves are part of `evaluate_seconds`."""
    cost = Cost(load_seconds=1.0, cache_seconds=0.0, train_seconds=4.0, evaluate_seconds=3.0, curve_seconds=1.0)
    assert seconds_of_run(cost) == total_of(cost) == 8.0
    assert seconds_by_name(cost)["other"] is None
    assert share_of_steps([Cost()]) is None


def test_medians_are_of_the_runs_that_know_a_phase() -> None:
    costs = [Cost(load_seconds=1.0), Cost(load_seconds=3.0), Cost(train_seconds=2.0)]
    found = dict(zip((phase.name for phase in PHASES), medians_of(costs), strict=True))
    assert (found["load"], found["steps"], found["check"]) == (2.0, 2.0, None)


@pytest.fixture(scope="module")
def folder(mail: Path, tiny_gpt2: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    place = tmp_path_factory.mktemp("timed") / "study"
    study = {"data": str(mail), "model": str(tiny_gpt2), "methods": ["full"], "baselines": ["majority"]}
    compare(parse_study({**study, "settings": {"epochs": 1}, "seeds": [0, 1]}, "a test"), place)
    return StudyFolder(place)


def records(folder: StudyFolder) -> list[RunRecord]:
    return [RunRecord.model_validate_json(path.read_text()) for path in folder.path.glob("runs/*/run.json")]


def test_a_run_knows_all_its_seconds(folder: StudyFolder) -> None:
    for record in records(folder):
        cost = record.cost
        assert cost.total_seconds is not None
        parts = [seconds for phase in KNOWN if (seconds := phase.of(cost)) is not None]
        assert min(parts) >= 0
        assert sum(parts) <= cost.total_seconds
        assert cost.save_seconds
        assert cost.latency_seconds
        assert (cost.check_seconds is None) == (record.method == "majority")


def test_show_tells_where_a_runs_time_went(folder: StudyFolder) -> None:
    result = CliRunner().invoke(app, ["show", str(folder.path), "full:0", "--time"])
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert [line[0] for line in lines if line[0] in {*seconds_by_name(Cost()), "together"}] == [
        *("load", "check", "frozen", "steps", "curves", "final", "timing", "saving", "other", "together"),
    ]
    (record,) = (record for record in records(folder) if record.label == "full" and record.seed == 0)
    assert float(lines[-1][1]) == pytest.approx(record.cost.total_seconds, rel=0.01)


def test_show_tells_where_the_rows_time_went(folder: StudyFolder) -> None:
    result = CliRunner().invoke(app, ["show", str(folder.path), "--time"])
    assert result.exit_code == 0
    assert "3 runs took" in result.stdout
    assert {"full", "majority"} <= {line.split()[0] for line in result.stdout.splitlines() if line.strip()}


@pytest.mark.slow
def test_doctor_sets_the_steps_beside_products_of_matrices(tiny_gpt2: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--speed", "--model", str(tiny_gpt2), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    peak, *rows = result.stdout.strip().splitlines()
    assert peak.startswith("products of matrices")
    assert [row.split("  ")[0] for row in rows] == [
        "full, steps",
        "lora, steps",
        "frozen blocks, the pass through them",
    ]
    assert all(re.search(r"[0-9.,]+ GFLOP/s, +[0-9]+ %$", row) for row in rows)
