"""Several runs a GPU on a cluster: as many as their estimates leave room for, as on one machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.conftest import ThreeNodes, started
from test_executor import study_of
from whichtune.compare import compare
from whichtune.executors.base import ExecutorOptions
from whichtune.executors.cluster import RayExecutor
from whichtune.records.record import RunStatus

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("disconnected")]


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What nvidia-smi says of the one GPU that the node has in name."""
    folder = tmp_path_factory.mktemp("bin")
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat {folder}/answer\n")
    tool.chmod(0o755)
    return folder / "answer"


@pytest.fixture(scope="module")
def one_gpu(answer: Path) -> Iterator[ThreeNodes]:
    path = f"{answer.parent}{os.pathsep}{os.environ['PATH']}"
    with started({"num_cpus": 2, "num_gpus": 1, "env_vars": {"PATH": path}}) as cluster:
        yield cluster


@pytest.mark.parametrize("free, at_once", [(100, 1), (400, 2)])
@pytest.mark.usefixtures("one_gpu")
def test_a_second_run_goes_to_a_gpu_where_both_fit(
    answer: Path, free: int, at_once: int, tiny_gpt2: Path, mail: Path, tmp_path: Path
) -> None:
    """Runs compute on the CPU, and take some 65 MiB by their estimate."""
    answer.write_text(f"0, GPU-{free}, A GPU, 81920, {free}\n")
    under_way: set[str] = set()
    most: list[int] = []

    def count(event: dict) -> None:
        if event["event"] == "start":
            assert event["where"].endswith(", GPU 0")
            under_way.add(event["run_id"])
        if event["event"] == "end":
            under_way.discard(event["run_id"])
        most.append(len(under_way))

    options = ExecutorOptions(threads=1, auto_jobs=True, jobs_per_gpu=2)
    study = study_of(mail, tiny_gpt2, seeds=[0, 1], device="cpu", baselines=[])
    result = compare(study, tmp_path / "s", executor=RayExecutor(options, gpus_per_run=0.5), on_event=count)
    assert [record.status for record in result.records] == [RunStatus.COMPLETED] * 4
    assert max(most) == at_once
