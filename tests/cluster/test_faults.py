"""Two studies at once on a cluster where everything goes that can go, at random moments."""

from __future__ import annotations

import random
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from cluster.conftest import ThreeNodes
from cluster.test_cluster import SLOT, cli, complete
from test_executor import wait_for_the_end_of
from whichtune.records.store import StudyFolder

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("disconnected")]
FAULTS = 5 * ["node", "slot", "server", "driver"]
RUNS = 7
NURSERY = "whichtune.executors.nursery"


@dataclass
class Pair:
    """Two studies, each with the command that makes it, given again whenever it has ended."""

    mail: Path
    model: Path
    places: list[Path]
    under_way: list[subprocess.Popen[str]] = field(default_factory=list)

    def go_on(self) -> None:
        for number, place in enumerate(self.places):
            if number == len(self.under_way):
                self.under_way.append(cli(self.mail, self.model, place, "--jobs", "2"))
            elif self.under_way[number].poll() is not None:
                self.under_way[number].communicate()
                if complete(place) == RUNS:  # there is to be something left to disturb
                    for run in sorted((place / "s" / "runs").iterdir())[:5]:
                        (run / "run.json").unlink()
                self.under_way[number] = cli(self.mail, self.model, place, "--jobs", "2")


def run_servers(three: ThreeNodes) -> list[psutil.Process]:
    """The servers that are forked from a machine's nursery, as runs are from them."""
    parents = {process.pid: process.ppid() for process in three.processes(NURSERY)}
    nurseries = {pid for pid, parent in parents.items() if parent not in parents}
    return [psutil.Process(pid) for pid, parent in parents.items() if parent in nurseries]


def strike(kind: str, three: ThreeNodes, pair: Pair, chance: random.Random) -> bool:
    """A fault of this kind; false where there is nothing that it could strike."""
    if kind == "node":
        three.remove(chance.choice(three.nodes))
        three.add()
        return True
    drivers = [psutil.Process(process.pid) for process in pair.under_way if process.poll() is None]
    found = {"slot": lambda: three.processes(SLOT), "server": lambda: run_servers(three), "driver": lambda: drivers}
    try:
        chance.choice(found[kind]()).kill()
    except (IndexError, psutil.NoSuchProcess):
        return False  # there is none, or it has just ended
    return True


def test_twenty_random_faults(three_nodes: ThreeNodes, tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    """Nodes, slots, run servers and drivers go; both studies are made to their end, and no run is wrong."""
    chance = random.Random(0)
    pair = Pair(mail, tiny_gpt2, [tmp_path / "a", tmp_path / "b"])
    for place in pair.places:
        place.mkdir()
    faults = chance.sample(FAULTS, len(FAULTS))
    while faults:
        pair.go_on()
        while not three_nodes.processes(SLOT) and any(process.poll() is None for process in pair.under_way):
            time.sleep(0.1)
        time.sleep(chance.uniform(0, 5))  # where in a run it strikes is what is tried
        if strike(faults[-1], three_nodes, pair, chance):
            print(f"{faults.pop()}; runs made by now: {[complete(place) for place in pair.places]}", flush=True)
    for process in pair.under_way:
        process.communicate()
    for place in pair.places:
        last = cli(mail, tiny_gpt2, place)
        text, _ = last.communicate()
        assert last.returncode == 0, text
        folder = StudyFolder(place / "s")
        ids = [run.name for run in folder.runs.iterdir()]
        assert len(ids) == RUNS
        assert all(folder.is_complete(run_id) and folder.fault(run_id, weights=True) is None for run_id in ids)
    wait_for_the_end_of([*three_nodes.processes(SLOT), *three_nodes.processes(NURSERY)])
