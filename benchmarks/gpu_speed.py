"""Rows of the published SMS study on a GPU: the plain way, the plan, and the plan with its steps recorded.

    python benchmarks/gpu_speed.py --data ../shared/data [--rows 1,3,5,11] [--epochs 5] [--times 2] [--out gpu.json]

GPT-2-small's shape with random weights and GPT-2's tokenizer; texts padded to 120 tokens, batches of 8. The ways are
taken in turn, each with a cache of its own, so that each pays for its pass through frozen blocks. Figures are medians.
`--minilm` has so many epochs of MiniLM's shape beside it, texts at their own lengths, as a study of one's own has them.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertConfig, BertModel, GPT2Config, GPT2Model, GPT2Tokenizer
from transformers.utils import logging

from whichtune.compare import prepare
from whichtune.embedded import model_path
from whichtune.published.reproduce import reproduction_study
from whichtune.records.record import RunRecord
from whichtune.runs.run import run_one
from whichtune.study.load import parse_study
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec, Study
from whichtune.training import captured

WAYS = ("plain", "plan", "recorded")


def gpt2_in(folder: Path, data: Path) -> Path:
    """A folder with a model of GPT-2 small's shape; random weights."""
    torch.manual_seed(0)
    GPT2Model(GPT2Config(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)).save_pretrained(folder)
    GPT2Tokenizer.from_pretrained(data / "gpt2-tokenizer").save_pretrained(folder)
    return folder


def minilm_in(folder: Path) -> Path:
    """A folder with a model of MiniLM's shape and the embedded model's tokenizer; random weights."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def published(data: Path, model: Path, rows: list[int], epochs: int, precision: str) -> Study:
    """The published rows with this model."""
    return reproduction_study(
        "sms-spam",
        rows=rows,
        data=str(data / "sms-spam" / "SMSSpamCollection.tsv"),
        model=str(model),
        assignments=[f"precision={precision}", f"epochs={epochs}"],
        device="cuda",
    )


def own(data: Path, model: Path, epochs: int, precision: str) -> Study:
    """A study as a user makes one: usual settings, five methods."""
    return parse_study(
        {
            "data": {"source": f"sms_spam={data / 'sms-spam' / 'SMSSpamCollection.tsv'}"},
            "model": str(model),
            "methods": ["head_only", "last_block", "full", "lora"],
            "baselines": [],
            "seeds": [0],
            "settings": {"epochs": epochs, "precision": precision},
            "device": "cuda",
        },
        "gpu_speed",
    )


@contextmanager
def taken(way: str) -> Iterator[None]:
    """Steps are recorded inside, or not."""
    before = captured.MOST_RECORDINGS
    captured.MOST_RECORDINGS = before if way == "recorded" else 0
    try:
        yield
    finally:
        captured.MOST_RECORDINGS = before


def run(spec: RunSpec, way: str) -> RunRecord:
    """One run of the row by one way, with a cache of its own."""
    chosen = spec.model_copy(update={"plan": "off" if way == "plain" else "auto"})
    gc.collect()
    torch.cuda.empty_cache()
    with tempfile.TemporaryDirectory() as cache, taken(way):
        return run_one(chosen, cache={"folder": Path(cache)}).record


def figures(record: RunRecord) -> dict[str, float]:
    """What is shown of a run, in seconds and MiB."""
    cost = record.cost
    used = record.shortcuts.get("used")
    recorded = used.get("recorded_steps") if isinstance(used, dict) else None
    test = None if record.metrics is None else record.metrics.test
    assert test is not None
    return {
        "steps": cost.train_seconds or 0.0,
        "pass": cost.cache_seconds or 0.0,
        "curves": cost.curve_seconds or 0.0,
        "memory": (cost.peak_memory_bytes or 0) / 2**20,
        "recorded": float(recorded) if isinstance(recorded, int) else 0.0,
        "test_loss": test.loss or 0.0,
    }


def measured(study: Study, name: str, times: int) -> list[dict[str, object]]:
    """A line for each row and way: medians of `times` runs, the ways in turn."""
    expansion, _ = prepare(study)
    lines: list[dict[str, object]] = []
    for spec in (each for each in expansion.specs if each.role is Role.RUN):
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        run(spec, "plain") if not lines else None  # kernels are loaded, and operations counted
        for _ in range(times):
            for way in WAYS:
                record = run(spec, way)
                found[way].append(figures(record))
                used = record.shortcuts.get("used")
                if isinstance(used, dict) and "not_recorded" in used:
                    print(f"{spec.label}: {used['not_recorded']}", flush=True)
        for way in WAYS:
            medians = {key: statistics.median(each[key] for each in found[way]) for key in found[way][0]}
            line = {"model": name, "row": spec.label, "precision": spec.precision, "way": way, **medians}
            print(json.dumps(line), flush=True)
            lines.append(line)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", default="1,3,5,11")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--precisions", default="float32,bf16")
    parser.add_argument("--minilm", type=int, default=0, metavar="EPOCHS")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    logging.set_verbosity_error()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    lines = []
    with tempfile.TemporaryDirectory() as place:
        gpt2 = gpt2_in(Path(place) / "gpt2", asked.data)
        rows = [int(row) for row in asked.rows.split(",")]
        for precision in asked.precisions.split(","):
            lines += measured(published(asked.data, gpt2, rows, asked.epochs, precision), "gpt2", asked.times)
            if asked.minilm:
                minilm = minilm_in(Path(place) / "minilm")
                lines += measured(own(asked.data, minilm, asked.minilm, precision), "minilm", asked.times)
    if asked.out:
        asked.out.write_text(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
