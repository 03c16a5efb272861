"""Runs made side by side are the runs that are made one after the other."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest

from command import inside
from test_executor import (
    servers_of,
    start_cli,
    steady,
    study_of,
    wait_for,
    wait_for_the_end_of,
    write_study,
)
from whichtune.compare import compare, prepare
from whichtune.executors.order import well_ordered
from whichtune.records.record import RunStatus
from whichtune.records.store import StudyFolder


@pytest.mark.slow
def test_two_jobs_make_the_same_runs(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    study = study_of(mail, tiny_gpt2)
    under_way: set[str] = set()
    most = 0

    def count(event: dict) -> None:
        nonlocal most
        if event["event"] == "start":
            under_way.add(event["run_id"])
        if event["event"] == "end":
            under_way.remove(event["run_id"])
        most = max(most, len(under_way))

    together = compare(study, tmp_path / "together", threads=1, jobs=2, on_event=count)
    assert most == 2
    assert together.started == 5
    alone = compare(study, tmp_path / "alone", threads=1)
    assert steady(together) == steady(alone)
    assert compare(study, tmp_path / "together", jobs=2).started == 0


def test_long_runs_come_early_where_jobs_run_side_by_side(tiny_gpt2: Path, mail: Path) -> None:
    methods = ["head_only", "last_block", "last_two_blocks", "full", "linear_probe", "lora"]
    specs = prepare(study_of(mail, tiny_gpt2, methods=methods, seeds=[0]))[0].specs
    assert [spec.label for spec in well_ordered(specs, 1)] == [*methods, "majority"]
    side_by_side = ["head_only", "last_block", "full", "lora", "last_two_blocks", "linear_probe", "majority"]
    assert [spec.label for spec in well_ordered(specs, 2)] == side_by_side


def test_a_failed_run_is_not_tried_again_by_the_other_job(mail: Path, tmp_path: Path) -> None:
    runs = [{"method": "last_blocks", "label": "too deep", "blocks": 9}, {"method": "head_only", "label": "fine"}]
    result = compare(study_of(mail, Path("embedded"), methods=[], runs=runs), tmp_path / "s", threads=1, jobs=3)
    assert result.started == 5
    assert [r.status for r in result.records].count(RunStatus.FAILED) == 2


@pytest.mark.usefixtures("real_servers")
@pytest.mark.slow
def test_a_server_that_dies_costs_one_run(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    """Two jobs are one server and another forked from it; the second is killed, and started anew for what is left."""
    killed: list[psutil.Process] = []

    def kill_the_second(event: dict) -> None:
        if event["event"] != "step" or killed:
            return
        (first,) = servers_of(psutil.Process())
        for second in (child for child in first.children() if child.children()):
            killed.extend(second.children())
            second.kill()

    result = compare(study_of(mail, tiny_gpt2), tmp_path / "s", threads=1, jobs=2, on_event=kill_the_second)
    assert killed
    assert not any(run.is_running() and run.status() != psutil.STATUS_ZOMBIE for run in killed)
    statuses = [record.status for record in result.records]
    assert statuses.count(RunStatus.FAILED) == 1
    assert statuses.count(RunStatus.COMPLETED) == 4
    assert compare(study_of(mail, tiny_gpt2), tmp_path / "s", threads=1, jobs=2).started == 1


@pytest.mark.usefixtures("real_servers")
def test_what_a_listener_raises_ends_all_jobs(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    def refuse(event: dict) -> None:
        if event["event"] == "step":
            raise RuntimeError("enough")

    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(RuntimeError, match="enough"):
        compare(study_of(mail, tiny_gpt2), tmp_path / "s", threads=1, jobs=2, on_event=refuse)
    assert set(psutil.Process().children(recursive=True)) <= before
    assert not list((tmp_path / "s" / "runs").glob(".*"))
    records = [StudyFolder(tmp_path / "s").read_run(path.name) for path in (tmp_path / "s" / "runs").iterdir()]
    assert all(record is None or record.status is RunStatus.COMPLETED for record in records)


@pytest.mark.slow
def test_interrupting_two_jobs_leaves_no_half_and_no_process(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    file, out = write_study(mail, tiny_gpt2, tmp_path), tmp_path / "s"
    process = start_cli(file, out, "--jobs", "2")
    wait_for(lambda: len(list(out.glob("runs/*/run.json"))) >= 2, process)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in text
    wait_for_the_end_of(family)
    statuses = [run["status"] for run in json.loads((out / "summary.json").read_text())["runs"]]
    assert set(statuses) == {"completed", "interrupted"}
    inside("compare", str(file), "--out", str(out), "--threads", "1", "--jobs", "2")
