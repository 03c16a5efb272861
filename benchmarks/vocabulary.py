"""Full fine-tuning with the rows of the word embedding that training texts use, beside all rows.

    python benchmarks/vocabulary.py --data sms_spam=SMSSpamCollection.tsv --model FOLDER [--steps 40] [--repeats 3]

Each way makes the same run in a process of its own, on one thread, in turn: `compare`'s own, and the same with every
row of the vocabulary trained. Told are the medians of seconds a step and of peak memory, and the last losses of both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from statistics import median
from typing import Any

WAYS = {"all rows": 0.0, "rows in use": 0.75}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="labelled texts, or NAME=FILE")
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", type=int, default=1000, help="training texts")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--most-used", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.most_used is not None:
        print(json.dumps(one_run(arguments)))
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    for _ in range(arguments.repeats):
        for name, most in WAYS.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--most-used", str(most)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[name].append(json.loads(told.splitlines()[-1]))
    summed = {
        name: {
            "ms a step": round(median(run["ms a step"] for run in runs), 1),
            "peak MiB": round(median(run["peak MiB"] for run in runs)),
            "rows": runs[0]["rows"],
            "last loss": runs[0]["last loss"],
        }
        for name, runs in found.items()
    }
    print(json.dumps(summed, indent=1))


def one_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The run by one way."""
    import torch

    from whichtune.compare import prepare
    from whichtune.measure.cost import anonymous_bytes, keep_freed_memory
    from whichtune.runs.run import run_one
    from whichtune.shortcuts import vocabulary
    from whichtune.study.load import parse_study

    vocabulary.MOST_USED = arguments.most_used
    torch.set_num_threads(1)
    keep_freed_memory()
    settings = {"max_steps": arguments.steps, "epochs": 50, "batch_size": arguments.batch_size}
    data = {"source": arguments.data, "train_limit": arguments.texts, "validation_limit": 60, "test_limit": 60}
    study = {"data": data, "model": arguments.model, "methods": ["full"], "seeds": [0], "settings": settings}
    expansion, _ = prepare(parse_study({**study, "baselines": []}, "the study"))
    result = run_one(expansion.specs[0], memory_baseline=anonymous_bytes())
    cost, used = result.record.cost, (result.record.shortcuts or {})["used"]
    assert isinstance(used, dict)
    return {
        "ms a step": 1000 * (cost.train_seconds or 0.0) / arguments.steps,
        "peak MiB": (cost.peak_memory_bytes or 0) / 2**20,
        "rows": used.get("vocabulary_rows", "all"),
        "last loss": result.curves[-1]["train_loss"],
    }


if __name__ == "__main__":
    main()
