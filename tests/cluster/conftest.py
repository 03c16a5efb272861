"""Real clusters of Ray's on this machine: three nodes of one processor each, two of them with a GPU in name alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from whichtune.executors.base import ExecutorOptions
from whichtune.executors.cluster import RayExecutor


@dataclass
class ThreeNodes:
    """A cluster with its nodes, and a way to make executors for it that share its connection."""

    cluster: Any
    nodes: list[Any] = field(default_factory=list)

    def add(self) -> None:
        self.nodes.append(self.cluster.add_node(num_cpus=1, num_gpus=1))

    def remove(self, node: Any) -> None:
        self.cluster.remove_node(node)
        self.nodes.remove(node)

    def executor(self, **more: Any) -> RayExecutor:
        return RayExecutor(ExecutorOptions(threads=1, auto_jobs=True), **more)

    def processes(self, name: str) -> list[psutil.Process]:
        """Processes of this cluster's with such a word in their command: slots are `ray::Slot`."""
        found = []
        for process in psutil.process_iter():
            try:
                if name in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@contextmanager
def started(head: dict[str, Any]) -> Iterator[ThreeNodes]:
    """A cluster of its first node alone, which this process and its children take for theirs."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **head})
        try:
            patch.setenv("RAY_ADDRESS", cluster.address)
            yield ThreeNodes(cluster)
        finally:
            cluster.shutdown()


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[ThreeNodes]:
    with started({"num_cpus": 1}) as three:
        three.add()
        three.add()
        yield three


@pytest.fixture
def disconnected() -> Iterator[None]:
    """Afterwards no driver of an earlier test is connected."""
    yield
    import ray

    ray.shutdown()


@pytest.fixture(autouse=True)
def _hub_offline() -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"


Kill = Callable[[], None]
