"""Draws of a search over `head_only`: one, many as one problem, and as many one after the other.

    python benchmarks/heads.py --data sms_spam=SMSSpamCollection.tsv --model embedded [--draws 100] [--repeats 3]

Each way begins with an empty cache, makes the pass through the frozen model and runs on one thread; the ways
follow one another in every repeat. Told are the median seconds of the search's runs, from an executor that has started
its server to the last record.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from whichtune.compare import prepare
from whichtune.executors import local
from whichtune.records.store import StudyFolder
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tuning.search import draws_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="labelled texts, or NAME=FILE")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--texts", type=int, default=1000, help="training texts")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    specs = draws(arguments)
    ways = {"one draw": (specs[:1], 128), "as one problem": (specs, 128), "one after the other": (specs, 1)}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, (each, most) in ways.items():
            found[name].append(seconds(each, most))
    told = {name: round(median(times), 2) for name, times in found.items()}
    one, together, apart = told.values()
    ratios = {"to one draw": round(together / one, 2), "saved": round(apart / together, 1)}
    print(json.dumps({"draws": len(specs), "median seconds": told, "times": ratios, "all": found}, indent=1))


def draws(arguments: argparse.Namespace) -> list[RunSpec]:
    """The draws of a search over head_only."""
    data = {"source": arguments.data, "train_limit": arguments.texts, "validation_limit": 150, "test_limit": 300}
    study = {"data": data, "model": arguments.model, "methods": ["head_only"], "seeds": [0], "tuning": arguments.draws}
    expansion, dataset = prepare(parse_study(study, "the study"))
    return [draw.spec for draw in draws_of(expansion, dataset.without_test())["head_only"]]


def seconds(specs: Sequence[RunSpec], most: int) -> float:
    """What it takes to make these runs, at most so many as one problem."""
    local.MOST_TOGETHER = most  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as name, local.LocalExecutor(threads=1) as executor:
        os.environ["WHICHTUNE_CACHE"] = str(Path(name) / "cache")
        folder = StudyFolder(Path(name) / "study", create=True)
        executor.execute(specs[:0], folder, False, lambda event: None)
        executor.warm_up()
        time.sleep(5)  # its imports
        begin = time.perf_counter()
        if executor.execute(specs, folder, False, lambda event: None) != len(specs):
            raise SystemExit("Some runs were not made.")
        return time.perf_counter() - begin


if __name__ == "__main__":
    main()
