"""Studies on a cluster are the studies of one machine, whatever happens to the cluster meanwhile."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.conftest import ThreeNodes
from test_executor import start_cli, steady, study_of, wait_for, wait_for_the_end_of, write_study
from whichtune.compare import compare
from whichtune.records.record import RunStatus
from whichtune.result import Result

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("disconnected")]
SLOT = "ray::Slot"


def figures(result: Result) -> list[dict]:
    """The runs without what depends on which of two runs that share a pass came first."""
    runs = steady(result)
    for run in runs:
        run["shortcuts"].get("used", {}).pop("cache_made", None)
    return runs


def made_anew(labels_and_seeds: list[tuple[str, int | None]]) -> set[tuple[str, int | None]]:
    return {one for one in labels_and_seeds if labels_and_seeds.count(one) > 1}


def test_the_summary_is_that_of_one_machine(
    three_nodes: ThreeNodes, tiny_gpt2: Path, mail: Path, tmp_path: Path
) -> None:
    study = study_of(mail, tiny_gpt2, methods=["head_only", "last_block", "full", "linear_probe"], device="cpu")
    told: list[dict] = []
    there = compare(study, tmp_path / "there", executor=three_nodes.executor(), save="all", on_event=told.append)
    here = compare(study, tmp_path / "here", threads=1, save="all")
    assert figures(there) == figures(here)
    assert there.started == 9
    assert all(event["where"] for event in told if event["event"] == "start")
    first = [event["label"] for event in told if event["event"] == "start"]
    assert first[:2] == ["full", "full"]
    assert first[-1] == "majority"
    for record in there.records:
        left, right = (
            {file.name for file in (tmp_path / place / "runs" / record.run_id).iterdir()} for place in ("there", "here")
        )
        assert left == right
    assert compare(study, tmp_path / "there", executor=three_nodes.executor()).started == 0


def test_runs_wait_for_the_gpus_that_they_ask_for(
    three_nodes: ThreeNodes, tiny_gpt2: Path, mail: Path, tmp_path: Path
) -> None:
    under_way: set[str] = set()
    most = 0

    def count(event: dict) -> None:
        nonlocal most
        if event["event"] == "start" and event["label"] != "majority":
            under_way.add(event["run_id"])
        if event["event"] == "end":
            under_way.discard(event["run_id"])
        most = max(most, len(under_way))

    study = study_of(mail, tiny_gpt2, seeds=[0, 1, 2], device="cpu")
    result = compare(study, tmp_path / "s", executor=three_nodes.executor(gpus_per_run=1), on_event=count)
    assert [record.status for record in result.records] == [RunStatus.COMPLETED] * 7
    assert most == 2  # three processors, two GPUs


def disturbed(three: ThreeNodes, study: object, folder: Path, fault: Callable[[], None], after: int = 2) -> list[dict]:
    """A study's events; the fault comes with the first step after so many runs have begun."""
    told: list[dict] = []
    done = []

    def listen(event: dict) -> None:
        told.append(event)
        begun = sum(one["event"] == "start" for one in told)
        if event["event"] == "step" and begun >= after and not done:
            done.append(True)
            fault()

    result = compare(study, folder, executor=three.executor(), on_event=listen)
    assert done
    assert all(record.status is RunStatus.COMPLETED for record in result.records), [r.error for r in result.records]
    return told


def test_a_node_that_is_removed_costs_no_run(
    three_nodes: ThreeNodes, tiny_gpt2: Path, mail: Path, tmp_path: Path
) -> None:
    study = study_of(
        mail, tiny_gpt2, methods=["full", "lora"], device="cpu", settings={"epochs": 6, "context_length": 40}
    )
    told = disturbed(three_nodes, study, tmp_path / "s", lambda: three_nodes.remove(three_nodes.nodes[0]), after=3)
    three_nodes.add()
    lost = [event["text"] for event in told if event["event"] == "note" and "Made again" in event["text"]]
    assert len(lost) == 1
    assert "lost with its slot on" in lost[0]


def test_a_slot_that_is_killed_costs_no_run(
    three_nodes: ThreeNodes, tiny_gpt2: Path, mail: Path, tmp_path: Path
) -> None:
    study = study_of(
        mail, tiny_gpt2, methods=["full", "lora"], device="cpu", settings={"epochs": 6, "context_length": 40}
    )

    def kill() -> None:
        three_nodes.processes(SLOT)[0].kill()

    told = disturbed(three_nodes, study, tmp_path / "s", kill)
    assert sum(event["event"] == "start" for event in told) == 6  # five runs, one of them twice


def test_a_full_object_store_costs_no_run(three_nodes: ThreeNodes, tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    import ray

    study = study_of(mail, tiny_gpt2, methods=["full"], device="cpu")
    executor = three_nodes.executor()
    with executor:
        executor.warm_up()
        size = int(ray.cluster_resources()["object_store_memory"] / 3 * 0.3)
        kept = [ray.put(bytes(size)) for _ in range(4)]  # more than the store of the driver's node holds
        result = compare(study, tmp_path / "s", executor=executor, save="all")
        assert len(kept) == 4
    assert all(record.status is RunStatus.COMPLETED for record in result.records)


def cli(mail: Path, model: Path, folder: Path, *more: str):
    file = write_study(mail, model, folder)
    return start_cli(file, folder / "s", "--executor", "ray", "--device", "cpu", *more)


def complete(folder: Path) -> int:
    return len(list(folder.glob("s/runs/*/run.json")))


def test_ctrl_c_leaves_nothing_running(three_nodes: ThreeNodes, tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    process = cli(mail, tiny_gpt2, tmp_path)
    wait_for(lambda: complete(tmp_path) >= 2, process)
    family = [*three_nodes.processes(SLOT), *three_nodes.processes("whichtune.executors.nursery")]
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate()
    assert process.returncode == 130, text
    assert "the same command resumes" in text
    wait_for_the_end_of(family)
    assert not list((tmp_path / "s" / "runs").glob(".*"))
    statuses = [run["status"] for run in json.loads((tmp_path / "s" / "summary.json").read_text())["runs"]]
    assert "interrupted" in statuses
    again = cli(mail, tiny_gpt2, tmp_path)
    text, _ = again.communicate()
    assert again.returncode == 0, text
    assert "complete, kept" in text


def test_a_killed_driver_takes_its_slots_along_and_resumes(
    three_nodes: ThreeNodes, tiny_gpt2: Path, mail: Path, tmp_path: Path
) -> None:
    process = cli(mail, tiny_gpt2, tmp_path)
    wait_for(lambda: complete(tmp_path) >= 2, process)
    family = [*three_nodes.processes(SLOT), *three_nodes.processes("whichtune.executors.nursery")]
    before = complete(tmp_path)
    process.kill()
    process.wait()
    wait_for_the_end_of(family)
    again = cli(mail, tiny_gpt2, tmp_path)
    text, _ = again.communicate()
    assert again.returncode == 0, text
    assert int(text.split(" runs made.")[0].split()[-1]) <= 7 - before


def test_two_studies_share_a_cluster(three_nodes: ThreeNodes, tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
    both = [cli(mail, tiny_gpt2, place, "--jobs", "1") for place in places]
    texts = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    assert [complete(place) for place in places] == [7, 7]
