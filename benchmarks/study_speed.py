"""A whole study by whichtune beside a careful script with transformers.Trainer and PEFT, side by side.

    python benchmarks/study_speed.py --data SMSSpamCollection.tsv --model FOLDER [--texts N] [--epochs 3] [--out FILE]
    python benchmarks/study_speed.py --data SMSSpamCollection.tsv --gpt2-small TOKENIZER --texts 200 --epochs 1

Both make the same rows on the same training, validation and test texts: the same model, batches of 16, padding to the
batch's longest text, AdamW with the same rate, decay, warm-up and clipping, no dropout, an evaluation after each epoch
and one of the test texts at the end. Each runs on a core of its own, pinned, with one thread, at the same time. The
script's time is that of one seed, times the seeds; whichtune's study is begun with one seed and extended to three;
for more seeds the time that a further seed took is added. `--frozen` leaves out the rows that train every block.

The floor of a way is the time that its training's operations (torch's counter) would take at the rate at which the
same core multiplies matrices of the model's shapes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FROZEN = ["head_only", "last_block", "last_two_blocks"]
METHODS = [*FROZEN, "full", "lora"]
PHASES = (
    *("load_seconds", "check_seconds", "cache_seconds", "train_seconds", "curve_seconds", "evaluate_seconds"),
    *("latency_seconds", "save_seconds", "total_seconds"),
)
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the SMS data: a label and a text a line")
    parser.add_argument("--model", type=Path, help="folder of a pretrained model")
    parser.add_argument(
        "--gpt2-small", type=Path, help="GPT-2 small's shape with random weights; its tokenizer's folder"
    )
    parser.add_argument("--texts", type=int, help="training texts; without: all")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--frozen", action="store_true", help="only the rows with frozen blocks")
    parser.add_argument("--seeds", type=int, default=3, help="seeds that whichtune makes")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--as-script", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_script:
        script(json.loads(arguments.as_script.read_text()))
        return
    with tempfile.TemporaryDirectory() as name:
        found = side_by_side(arguments, Path(name))
    print(json.dumps(found, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


# -- both, each on its core ------------------------------------------------------------------------


def side_by_side(arguments: argparse.Namespace, place: Path) -> dict[str, Any]:
    model = arguments.model or gpt2_small(arguments.gpt2_small, place / "gpt2-small")
    rows = FROZEN if arguments.frozen else METHODS
    study = the_study(arguments, model, rows)
    (place / "study.yaml").write_text(json.dumps(study))
    work, operations = prepared(study, place)
    (place / "work.json").write_text(json.dumps(work))
    first, second = sorted(os.sched_getaffinity(0))[:2]
    rate = rate_of(work["width"], first)
    peer = pinned([sys.executable, __file__, "--as-script", str(place / "work.json")], first, place)
    mine, records = by_whichtune(arguments.seeds, place, second)
    peer.wait()
    if peer.returncode:
        raise SystemExit("The script failed.")
    theirs: dict[str, dict[str, float]] = json.loads((place / "script.json").read_text())
    return summed(theirs, mine, records, operations, rate)


def the_study(arguments: argparse.Namespace, model: Path, rows: list[str]) -> dict[str, Any]:
    """A study file's content."""
    data: dict[str, Any] = {"source": f"sms_spam={arguments.data.resolve()}", "split": "reference"}
    if arguments.texts:
        data["train_limit"] = arguments.texts
    return {
        "data": data,
        "model": str(model.resolve()),
        "methods": rows,
        "baselines": [],
        "seeds": [0],
        "settings": {"batch_size": BATCH, "epochs": arguments.epochs},
    }


def prepared(study: dict[str, Any], place: Path) -> tuple[dict[str, Any], dict[str, tuple[int, int]]]:
    """What the script is to do, by whichtune's reading of the data and its defaults; and each row's operations of
    training, the plain way and by its plan alone."""
    from transformers import AutoConfig

    from whichtune.compare import prepare
    from whichtune.data.splits import load_dataset
    from whichtune.methods import METHODS as KNOWN
    from whichtune.runs.preview import preview_run
    from whichtune.study.load import parse_study

    expansion, _ = prepare(parse_study(study, "the study"))
    dataset = load_dataset(expansion.specs[0].data)
    work: dict[str, Any] = {"model": study["model"], "out": str(place / "script.json"), "rows": []}
    operations = {}
    for spec in expansion.specs:
        found = preview_run(spec, dataset)
        operations[spec.method] = (found.flops_plain, found.flops_alone)
        kept = ("method", "learning_rate", "weight_decay", "warmup_ratio", "gradient_clip", "epochs")
        own = {name: getattr(spec, name) for name in kept}
        lora = KNOWN[spec.method].Settings(**spec.method_settings).model_dump() if spec.method == "lora" else None
        work["rows"].append({**own, "lora": lora})
    work["classes"] = len(dataset.labels)
    config = AutoConfig.from_pretrained(study["model"])
    work["width"], work["limit"] = config.hidden_size, config.max_position_embeddings
    work["texts"] = {
        name: {"texts": list(split.texts), "labels": [int(label) for label in split.labels]}
        for name, split in dataset.splits.items()
    }
    return work, operations


def gpt2_small(tokenizer: Path, place: Path) -> Path:
    """GPT-2 small's shape with random weights, in a folder."""
    from transformers import GPT2Config, GPT2Model, GPT2Tokenizer

    GPT2Model(GPT2Config()).save_pretrained(place)
    GPT2Tokenizer.from_pretrained(tokenizer).save_pretrained(place)
    return place


def pinned(command: list[str], core: int, place: Path) -> subprocess.Popen[bytes]:
    """The command begun on one core with one thread and an empty cache of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WHICHTUNE_CACHE": str(place / "cache")}
    return subprocess.Popen(
        command, env=environment, preexec_fn=lambda: os.sched_setaffinity(0, {core}), stdout=subprocess.DEVNULL
    )


def by_whichtune(seeds: int, place: Path, core: int) -> tuple[dict[int, float], list[dict[str, Any]]]:
    """Seconds until the study has one seed, and then each number up to `seeds`; and the costs of the runs of seed 0."""
    command, out = [sys.executable, "-m", "whichtune"], place / "study"
    taken: dict[int, float] = {}
    for seed in range(seeds):
        begin = time.perf_counter()
        if seed:
            step = [*command, "extend", str(out), "--seeds", str(seed)]
        else:
            step = [*command, "compare", str(place / "study.yaml"), "--out", str(out), "--jobs", "1"]
        if pinned(step, core, place).wait():
            raise SystemExit("whichtune failed.")
        taken[seed + 1] = taken.get(seed, 0.0) + time.perf_counter() - begin
    records = [json.loads(path.read_text()) for path in sorted(out.glob("runs/*/run.json"))]
    return taken, [record for record in records if record["seed"] == 0]


def rate_of(width: int, core: int) -> float:
    """Operations a second of one core in the products of a block of this width."""
    import torch

    from whichtune.measure.matmul import matmul_rate

    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    found = matmul_rate(width, torch.device("cpu"))
    os.sched_setaffinity(0, cores)
    return found


def summed(
    theirs: dict[str, dict[str, float]],
    mine: dict[int, float],
    records: list[dict[str, Any]],
    operations: dict[str, tuple[int, int]],
    rate: float,
) -> dict[str, Any]:
    """The ratios of wall time, each row's seconds, and how far training is from its floor."""
    script_seconds = sum(row["together"] for row in theirs.values())
    most = max(mine)
    a_seed = (mine[most] - mine[1]) / (most - 1) if most > 1 else mine[1]
    mine = {**mine, 10: mine[most] + (10 - most) * a_seed}
    rows = {}
    for record in sorted(records, key=lambda record: METHODS.index(record["method"])):
        name, cost = record["method"], record["cost"]
        plain, planned = operations[name]
        rows[name] = {
            "script": {key: round(value, 1) for key, value in theirs[name].items()},
            "whichtune": {key: round(cost[key], 1) for key in PHASES if cost.get(key) is not None},
            "operations": {"script": plain, "whichtune": planned},
            "times the floor": {
                "script": round(theirs[name]["train"] / (plain / rate), 2),
                "whichtune": round(cost["training_seconds"] / (planned / rate), 2),
            },
        }
    return {
        "matmul GFLOP/s of a core": round(rate / 1e9, 1),
        "script, one seed": round(script_seconds, 1),
        "whichtune, by seeds": {seeds: round(seconds, 1) for seeds, seconds in mine.items()},
        "times faster, by seeds": {seeds: round(seeds * script_seconds / spent, 2) for seeds, spent in mine.items()},
        "rows": rows,
    }


# -- the script ------------------------------------------------------------------------------------


def script(work: dict[str, Any]) -> None:
    """Every row by transformers.Trainer, its seconds by phase written to the file that is asked for."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    found = {row["method"]: trained(row, work) for row in work["rows"]}
    Path(work["out"]).write_text(json.dumps(found))


def trained(row: dict[str, Any], work: dict[str, Any]) -> dict[str, float]:
    """One row: loaded, trained with an evaluation after each epoch, and judged on the test texts."""
    from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

    begin = time.perf_counter()
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(work["model"])
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = model_of(row, work, tokenizer.pad_token_id)
    sets = {name: tokens_of(part, tokenizer, work["limit"]) for name, part in work["texts"].items()}
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=32,
            num_train_epochs=row["epochs"],
            learning_rate=row["learning_rate"],
            weight_decay=row["weight_decay"],
            warmup_steps=row["warmup_ratio"],
            max_grad_norm=row["gradient_clip"],
            lr_scheduler_type="linear",
            eval_strategy="epoch",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = Trainer(
            model,
            settings,
            train_dataset=sets["train"],
            eval_dataset=sets["validation"],
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        loaded = time.perf_counter()
        evaluated = timed_evaluations(trainer)
        trainer.train()
        ended = time.perf_counter()
        trainer.predict(sets["test"])
        end = time.perf_counter()
    curves = sum(evaluated)
    return {
        "load": loaded - begin,
        "train": ended - loaded - curves,
        "curves": curves,
        "evaluation": end - ended,
        "together": end - begin,
    }


def timed_evaluations(trainer: Any) -> list[float]:
    """Where the seconds of each evaluation of the trainer will be found."""
    seconds: list[float] = []
    own = trainer.evaluate

    def evaluate(*given: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        figures = own(*given, **named)
        seconds.append(time.perf_counter() - begin)
        return figures

    trainer.evaluate = evaluate
    return seconds


def model_of(row: dict[str, Any], work: dict[str, Any], pad: int) -> Any:
    """The model with a classifier, of which the row's part trains; without dropout, as whichtune has it."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(work["model"], num_labels=work["classes"], pad_token_id=pad)
    for name in vars(config):
        if name.endswith(("_pdrop", "_dropout", "_dropout_prob")):
            setattr(config, name, 0.0)
    model = AutoModelForSequenceClassification.from_pretrained(work["model"], config=config)
    if row["method"] == "full":
        return model
    if row["method"] == "lora":
        return with_lora(model, row["lora"])
    base = model.base_model
    base.requires_grad_(False)
    blocks = base.encoder.layer if hasattr(base, "encoder") else base.h
    for block in blocks[len(blocks) - {"head_only": 0, "last_block": 1, "last_two_blocks": 2}[row["method"]] :]:
        block.requires_grad_(True)
    if hasattr(base, "ln_f") and row["method"] != "head_only":
        base.ln_f.requires_grad_(True)
    return model


def with_lora(model: Any, settings: dict[str, Any]) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(
        model,
        LoraConfig(
            task_type="SEQ_CLS",
            r=settings["lora_rank"],
            lora_alpha=settings["lora_alpha"],
            lora_dropout=0.0,
            target_modules="all-linear",
        ),
    )


def tokens_of(part: dict[str, list[Any]], tokenizer: Any, limit: int) -> list[dict[str, Any]]:
    ids = tokenizer(part["texts"], truncation=True, max_length=limit)["input_ids"]
    return [{"input_ids": tokens, "labels": label} for tokens, label in zip(ids, part["labels"], strict=True)]


if __name__ == "__main__":
    main()
