"""The smallest study by Ray, where Ray is installed; `make test-cluster` has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_executor import study_of
from whichtune.compare import compare
from whichtune.executors.base import ExecutorOptions
from whichtune.executors.cluster import RayExecutor
from whichtune.records.record import RunStatus


def test_a_study_by_ray(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        study = study_of(mail, tiny_gpt2, methods=["head_only"], seeds=[0])
        told: list[dict] = []
        there = compare(
            study, tmp_path / "there", executor=RayExecutor(ExecutorOptions(threads=1)), on_event=told.append
        )
        assert ray.is_initialized()  # what the program has connected is left as it is
    finally:
        ray.shutdown()
    assert [record.status for record in there.records] == [RunStatus.COMPLETED] * 2
    assert there.records[0].spec["model"] == str(tiny_gpt2)
    assert {"start", "phase", "step", "end"} <= {event["event"] for event in told}
