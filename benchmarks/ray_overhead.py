"""What Ray costs beside the local executor: many tiny runs, two at a time, by each of them.

    python benchmarks/ray_overhead.py             # 200 runs by each

Both make the same runs of the embedded model on two cores with one thread each, and both are warm: their first two runs
are not counted. What is told is wall time; run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from whichtune.compare import prepare
from whichtune.executors.base import EXECUTORS, ExecutorOptions
from whichtune.records.events import Event
from whichtune.records.store import StudyFolder
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec

FIRST = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    os.environ["WHICHTUNE_CACHE"] = tempfile.mkdtemp()
    settings = {"epochs": 1, "context_length": 24, "max_steps": 4}
    data = {"source": "messages", "train_limit": 100, "validation_limit": 50, "test_limit": 50}
    value = {"data": data, "methods": ["head_only"], "seeds": list(range(arguments.runs)), "settings": settings}
    specs = prepare(parse_study({**value, "baselines": [], "device": "cpu"}, "benchmark"))[0].specs
    print(f"{len(specs)} runs, {arguments.jobs} at a time, load of the machine before: {os.getloadavg()[0]:.1f}")
    seconds = {name: measured(name, specs, arguments.jobs) for name in ("local", "ray")}
    print(f"ray / local: {seconds['ray'] / seconds['local']:.2f}")
    more = (seconds["ray"] - seconds["local"]) * arguments.jobs / (len(specs) - FIRST)
    print(f"a run by ray takes {1000 * more:.0f} ms more than one by local")


def measured(name: str, specs: list[RunSpec], jobs: int) -> float:
    """Seconds of all runs but the first, made by a warm executor."""
    os.environ["RAY_ADDRESS"] = "local"  # a cluster of its own, whatever else the machine is part of
    begins: dict[str, float] = {}
    waits: list[float] = []

    def listen(event: Event) -> None:
        if event["event"] == "start":
            begins[event["run_id"]] = time.monotonic()
        if event["event"] == "phase" and event["phase"] == "load":
            waits.append(time.monotonic() - begins[event["run_id"]])

    folder = StudyFolder(Path(tempfile.mkdtemp()), create=True)
    began = time.monotonic()
    with EXECUTORS[name](ExecutorOptions(threads=1, jobs=jobs)) as executor:
        executor.warm_up()
        executor.execute(specs[:FIRST], folder, False, lambda event: None)
        warm = time.monotonic()
        executor.execute(specs[FIRST:], folder, False, listen)
        ended = time.monotonic()
    waits.sort()
    first, all_of_them = warm - began, ended - warm
    middle, late = waits[len(waits) // 2], waits[9 * len(waits) // 10]
    print(
        f"{name:6} {all_of_them:6.1f} s warm; {first:.1f} s until the first {FIRST} were made; from a run's start to "
        f"its first news {middle:.2f} s (median), {late:.2f} s (90th percentile)",
        flush=True,
    )
    return all_of_them


if __name__ == "__main__":
    main()
