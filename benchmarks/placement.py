"""How early a study ends on 1 to 1,000 workers, and what the driver's memory does: the real hand-out of runs, simulated
machines and a simulated clock.

    python benchmarks/placement.py                # the table of benchmarks/placement.md, minutes
    python benchmarks/placement.py --passes       # passes through frozen blocks on machines of four workers each
    python benchmarks/placement.py --memory       # 10,000 runs brought home on 1,000 workers, and the driver's memory

Runs take what they are estimated to take, times a row's own error and a run's own scatter, both log-normal: how long a
run really takes is known when it ends. The bound is what no schedule is under: the longest run, or all work shared
equally. Nothing here was measured on a cluster.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import json
import math
import random
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from whichtune.executors import shift as shifts
from whichtune.executors.base import ExecutorOptions, RunRequest
from whichtune.executors.hands import Hand, Need
from whichtune.executors.parcels import Packer
from whichtune.executors.passes import Passes
from whichtune.executors.shift import Shift
from whichtune.executors.slot import About, News
from whichtune.records.record import RunStatus
from whichtune.records.store import StudyFolder
from whichtune.runs.run import base_record
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec
from whichtune.version import VERSION

NEED = Need(1, 0, 0)
# Seconds of a run by method, against one another: of a GPT-2 on 5,000 texts.
ROWS = {"linear_probe": 20, "head_only": 25, "last_block": 60, "last_two_blocks": 90, "lora": 260, "full": 400}
MODELS = (0.3, 1.0, 3.0, 8.0, 20.0)  # times of five models against one another
ROW_ERROR, RUN_SCATTER = 0.25, 0.05  # standard deviations of the logarithm
MINUTES = 60
# Seconds of the pass that a model's cheap rows share; the others make none.
PASS_SECONDS = 15
WORKERS = 4  # of a machine, which has one cache
SHARES = ("linear_probe", "head_only", "last_block", "last_two_blocks")


@dataclass
class Guess:
    """In place of the estimates: seconds by run id, and those of them that a pass takes."""

    by_run: dict[str, float] = field(default_factory=dict)
    passes: dict[str, float] = field(default_factory=dict)

    def seconds(self, spec: RunSpec) -> float:
        return self.by_run.get(spec.run_id, 0.0)

    def pass_seconds(self, spec: RunSpec) -> float:
        return self.passes.get(spec.run_id, 0.0)

    def memory(self, spec: RunSpec) -> int:
        return 0


@dataclass
class Simulated:
    """A cluster whose slots answer when their time has come, by a clock that jumps to the next answer."""

    seconds: dict[str, float]
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    now: float = 0.0
    coming: list[tuple[float, int, Any]] = field(default_factory=list)
    number: int = 0
    host: int = 0
    machine: int = 1  # workers on one, with a cache
    passes: dict[str, float] = field(default_factory=dict)  # seconds of a run for its pass
    of_passes: float = 0.0  # seconds
    there: dict[tuple[str, str], float] = field(default_factory=dict)  # when a machine's cache has a pass

    def hire(self, need: Need) -> Hand:
        self.host += 1
        cache = f"machine-{(self.host - 1) // self.machine}"
        about = About(host=f"worker-{self.host}", version=VERSION, pid=0, gpus=[], cache=cache)
        remote = SimpleNamespace(
            about=self._method(lambda: (0.0, about)),
            find=self._method(lambda parcels: (0.0, ["" for _ in parcels])),
            begin=self._method(lambda request, texts, seconds: self._begin(request, cache)),
            forget=SimpleNamespace(remote=lambda run_id: None),
        )
        return Hand(remote, need)

    def let_go(self, hand: Hand) -> None:
        raise AssertionError("no slot is lost here")

    def answers(self, open_: Collection[Any], seconds: float) -> list[tuple[Any, Any, Exception | None]]:
        at, number, answer = heapq.heappop(self.coming)
        self.now = at
        return [(number, answer, None)]

    def _method(self, made: Any) -> SimpleNamespace:
        def remote(*arguments: object) -> int:
            seconds, answer = made(*arguments)
            self.number += 1
            heapq.heappush(self.coming, (self.now + seconds, self.number, answer))
            return self.number

        return SimpleNamespace(remote=remote)

    def _begin(self, request: RunRequest, cache: str) -> tuple[float, News]:
        run_id = request.spec.run_id
        files = self.files.pop(run_id, {})
        taken = self.seconds[run_id]
        if run_id in self.passes:  # it makes the pass, waits for who makes it, or finds it
            here = (request.shared, cache)
            pass_seconds = self.passes[run_id]
            self.of_passes += pass_seconds if here not in self.there else 0.0
            there = self.there.setdefault(here, self.now + pass_seconds)
            taken += max(0.0, there - self.now) - pass_seconds
        return taken, News(code=0, sizes={name: len(b) for name, b in files.items()}, files=files)


class Unstored(Shift):
    """Brings nothing home: where only the clock is looked at."""

    def _bring_home(self, hand: Hand, spec: RunSpec, news: News):
        yield from ()

    def _end(self, hand: Hand, spec: RunSpec) -> None:
        self.choice.trains(hand, spec)


def study(
    runs: int, chance: random.Random, models: Sequence[float] = MODELS
) -> tuple[list[RunSpec], dict[str, float], dict[str, float]]:
    """Specs in a study's order, what they are estimated to take and what they take."""
    rows = [(method, model) for model in range(len(models)) for method in ROWS]
    errors = {row: math.exp(chance.gauss(0, ROW_ERROR)) for row in rows}
    specs, guessed, taken = [], {}, {}
    for number in range(runs):
        method, model = rows[number % len(rows)]
        spec = RunSpec(
            label=f"{method}, model {model}",
            method=method,
            model=f"model-{model}",
            data=DataSettings(),
            learning_rate=1e-3 * (1 + model),
            seed=number // len(rows),
            fingerprints={"weights": str(model)},
        )
        specs.append(spec)
        guessed[spec.run_id] = ROWS[method] * models[model]
        taken[spec.run_id] = guessed[spec.run_id] * errors[method, model] * math.exp(chance.gauss(0, RUN_SCATTER))
    return specs, guessed, taken


def simulate(specs: list[RunSpec], order: list[RunSpec], taken: dict[str, float], workers: int) -> float:
    """Seconds from the first run's start to the last one's end."""
    with tempfile.TemporaryDirectory() as name:
        folder = StudyFolder(Path(name), create=True)
        cluster = Simulated(taken)
        shift = _shift(Unstored, specs, order, folder, cluster)
        shift.work([cluster.hire(NEED) for _ in range(min(workers, len(specs)))])
        return cluster.now


class NoPacker(Packer):
    """Models that exist in name alone are not sent."""

    def model_of(self, spec: RunSpec) -> None:
        return None


def _shift(
    kind: type[Shift],
    specs: list[RunSpec],
    order: list[RunSpec],
    folder: StudyFolder,
    cluster: Simulated,
    expected: Guess | None = None,
    affinity: bool = False,
):
    return kind(
        specs=specs,
        waiting=order,
        folder=folder,
        save=False,
        tell=lambda event: None,
        options=ExecutorOptions(threads=1),
        expected=expected or Guess(),
        packer=NoPacker(),
        gpus=lambda spec: 0.0,
        slots=cluster,
        passes=Passes(affinity),
    )


def table(arguments: argparse.Namespace) -> None:
    print("| runs | workers | bound | longest first | over the bound | in the study's order | over the bound |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    worst = 0.0
    for runs in (150, 1000, 10000):
        for workers in (1, 2, 4, 8, 16, 64, 256, 1000):
            if workers > runs:
                continue
            found = [compared(runs, workers, seed) for seed in range(arguments.repeats)]
            bound, first, plain = (sum(column) / len(found) for column in zip(*found, strict=True))
            over = max(one[1] / one[0] for one in found) - 1
            worst = max(worst, over)
            cells = [f"{runs:,}", f"{workers:,}", f"{bound / MINUTES:.1f} min"]
            for value in (first, plain):
                cells += [f"{value / MINUTES:.1f} min", f"{100 * (value / bound - 1):.1f} %"]
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\nThe worst of all longest-first schedules is {100 * worst:.1f} % over its bound.")


def compared(runs: int, workers: int, seed: int) -> tuple[float, float, float]:
    """The bound, and the two orders' times, in seconds."""
    specs, guessed, taken = study(runs, random.Random(f"{runs} {workers} {seed}"))
    longest_first = sorted(specs, key=lambda spec: -guessed[spec.run_id])
    bound = max(max(taken.values()), sum(taken.values()) / workers)
    return bound, simulate(specs, longest_first, taken, workers), simulate(specs, specs, taken, workers)


def passes_table(arguments: argparse.Namespace) -> None:
    head = ("runs", "models", f"machines of {WORKERS}", *2 * ("passes", "over the bound"), "work saved")
    print(f"| {' | '.join(head)} |\n|{' ---: |' * len(head)}")
    worst = 0.0
    for runs, models in ((150, 1), (150, 5), (1000, 5), (1000, 40)):
        for machines in (2, 4, 16, 64):
            if machines * WORKERS > runs // 2:
                continue
            cells, works = [f"{runs:,}", str(models), str(machines)], []
            for affinity in (False, True):
                found = [placed(runs, models, machines, affinity, seed) for seed in range(arguments.repeats)]
                count, over, work = (sum(column) / len(found) for column in zip(*found, strict=True))
                cells += [f"{count:.0f}", f"{100 * over:.1f} %"]
                works.append(work)
                worst = max(worst, *(one[1] for one in found)) if affinity else worst
            cells.append(f"{100 * (1 - works[1] / works[0]):.1f} %")
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\nThe worst schedule by where passes are is {100 * worst:.1f} % over its bound.")


def placed(runs: int, models: int, machines: int, affinity: bool, seed: int) -> tuple[int, float, float]:
    """Passes that are made, the share by which the study is longer than its bound, and its seconds of work."""
    chance = random.Random(f"{runs} {models} {machines} {seed}")
    specs, guessed, taken = study(runs, chance, [chance.choice(MODELS) for _ in range(models)])
    passes = {
        spec.run_id: PASS_SECONDS * guessed[spec.run_id] / ROWS[spec.method] for spec in specs if spec.method in SHARES
    }
    # A pass takes what it is estimated to take; what is left of a run has its errors.
    own = {run: taken[run] * (1 - passes.get(run, 0.0) / guessed[run]) for run in taken}
    once = {spec.model: passes[spec.run_id] for spec in specs if spec.run_id in passes}
    bound = max(*own.values(), (sum(own.values()) + sum(once.values())) / (machines * WORKERS))
    with tempfile.TemporaryDirectory() as name:
        whole = {run: own[run] + passes.get(run, 0.0) for run in own}
        cluster = Simulated(whole, machine=WORKERS, passes=passes)
        order = sorted(specs, key=lambda spec: -guessed[spec.run_id])
        folder = StudyFolder(Path(name), create=True)
        shift = _shift(Unstored, specs, order, folder, cluster, Guess(guessed, passes), affinity)
        shift.work([cluster.hire(NEED) for _ in range(machines * WORKERS)])
    return len(cluster.there), cluster.now / bound - 1, sum(own.values()) + cluster.of_passes


def memory(runs: int, workers: int) -> None:
    """The driver's memory while runs come home: real files, compared with their checksums and stored."""
    specs, _, taken = study(runs, random.Random(0))
    with tempfile.TemporaryDirectory() as name:
        made = StudyFolder(Path(name) / "made", create=True)
        folder = StudyFolder(Path(name) / "study", create=True)
        (made.path / "study.json").write_text(json.dumps({}))
        files: dict[str, dict[str, bytes]] = {}

        class Lazily(Simulated):
            def _begin(self, request: RunRequest, cache: str) -> tuple[float, News]:
                spec = request.spec
                record = base_record(spec, RunStatus.FAILED, error="simulated")
                made.write_run(record, [{"step": 1, "padding": "x" * 20000}])
                here = made.run_folder(spec.run_id)
                self.files[spec.run_id] = {file.name: file.read_bytes() for file in here.iterdir()}
                made.discard(spec.run_id)
                return super()._begin(request, cache)

        cluster = Lazily(taken, files)
        shift = _shift(Shift, specs, specs, folder, cluster)
        process, began, ends = psutil.Process(), time.monotonic(), 0
        gc.collect()

        def tell(event: Any) -> None:
            nonlocal ends
            if event["event"] != "end":
                return
            ends += 1
            if ends % (runs // 10) == 0:
                rss = process.memory_info().rss / 2**20
                print(f"{ends:>6,} runs stored: {rss:.0f} MiB, {time.monotonic() - began:.0f} s", flush=True)

        shift.tell = tell
        shift.work([cluster.hire(NEED) for _ in range(workers)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="store 10,000 runs and tell the driver's memory")
    parser.add_argument("--passes", action="store_true", help="which machines make the passes that runs share")
    parser.add_argument("--runs", type=int, default=10000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3, help="studies with other errors of their estimates")
    arguments = parser.parse_args()
    shifts.TICK_SECONDS = 0.0  # the clock is simulated
    if arguments.memory:
        memory(arguments.runs, arguments.workers)
    elif arguments.passes:
        passes_table(arguments)
    else:
        table(arguments)


if __name__ == "__main__":
    main()
