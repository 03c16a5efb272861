"""Peak memory of training by each method, beside transformers.Trainer with PEFT in the same configuration.

    python benchmarks/method_memory.py --data SMSSpamCollection.tsv --model FOLDER [--methods lora,ia3] [--out FILE.md]

Each training is a process of its own on one thread: 20 steps of 16 texts, padded to the batch's longest, AdamW, no
dropout, float32. What is measured is the process's anonymous memory at its highest in training, above what it had with
the libraries and the data read; of whichtune it is what the run's record says. `plan off` is whichtune without its
compute plan. PEFT's configuration is the one that whichtune uses, field by field; the peer's model is the family's own
`ForSequenceClassification`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

STEPS, BATCH, RATE = 20, 16, 1e-4
METHODS = (
    *("head_only", "last_block", "full", "bitfit", "lora", "dora", "rslora", "pissa", "adalora", "loha", "lokr", "oft"),
    *("boft", "hra", "ia3", "vera", "randlora", "fourierft", "c3a", "miss", "shira", "ln_tuning"),
)


def study(data: Path, model: Path, method: str, plan: str) -> dict[str, Any]:
    """A study of one run."""
    return {
        "data": {"source": f"sms_spam={data}", "train_limit": 400, "validation_limit": 16, "test_limit": 16},
        "model": str(model),
        "methods": [method],
        "baselines": [],
        "seeds": [0],
        "plan": plan,
        "device": "cpu",
        "settings": {"batch_size": BATCH, "max_steps": STEPS, "learning_rate": RATE, "evaluation_batches": 1},
    }


def one_by_whichtune(asked: dict[str, Any]) -> int:
    """A run; gives the bytes of its training's peak, as its record has them."""
    from whichtune.compare import prepare
    from whichtune.measure.cost import anonymous_bytes
    from whichtune.runs.run import run_one
    from whichtune.study.load import parse_study

    spec = prepare(parse_study(asked["study"], "method_memory"))[0].specs[0]
    with tempfile.TemporaryDirectory() as cache:
        record = run_one(spec, memory_baseline=anonymous_bytes(), cache={"folder": Path(cache)}).record
    return record.cost.peak_memory_bytes or 0


def one_by_trainer(asked: dict[str, Any]) -> int:
    """The same number of steps by transformers.Trainer; gives the bytes of their peak, sampled as whichtune does."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    from whichtune.compare import prepare
    from whichtune.data.splits import load_dataset
    from whichtune.measure.cost import MemoryMonitor, anonymous_bytes
    from whichtune.study.load import parse_study

    spec = prepare(parse_study(asked["study"], "method_memory"))[0].specs[0]
    dataset = load_dataset(spec.data)
    baseline = anonymous_bytes()
    tokenizer = AutoTokenizer.from_pretrained(spec.model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForSequenceClassification.from_pretrained(spec.model, num_labels=len(dataset.labels))
    model.config.pad_token_id = tokenizer.pad_token_id
    for name in [
        name for name in model.config.to_dict() if "drop" in name and isinstance(getattr(model.config, name), float)
    ]:
        setattr(model.config, name, 0.0)
    for module in model.modules():
        if type(module).__name__ == "Dropout":
            module.p = 0.0
    part = dataset.splits["train"]
    rows = [
        {
            **tokenizer(
                text, truncation=True, max_length=spec.context_length if isinstance(spec.context_length, int) else 512
            ),
            "labels": int(label),
        }
        for text, label in zip(part.texts, part.labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as place:
        settings = TrainingArguments(
            place,
            max_steps=STEPS,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            save_strategy="no",
            report_to=[],
            logging_steps=STEPS,
            use_cpu=True,
            disable_tqdm=True,
        )
        with MemoryMonitor(torch.device("cpu"), baseline) as memory:
            Trainer(adapted(model, spec), settings, train_dataset=rows, processing_class=tokenizer).train()
    return memory.peak


def adapted(model: Any, spec: Any) -> Any:
    """The model with what the method trains."""
    import copy

    from peft import LoraConfig, get_peft_model
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    from peft.utils import PeftType

    from whichtune.methods import METHODS as KNOWN
    from whichtune.methods.peft_method import PeftMethod
    from whichtune.models.partition import blocks_of
    from whichtune.models.targets import find_targets

    method = KNOWN[spec.method]
    own = method.Settings(**spec.method_settings)
    base = model.base_model
    if isinstance(method, PeftMethod):
        fields = {**method.fields(own), **method.layers(copy.deepcopy(base), own)}
        config = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(method.type_of(own))](task_type="SEQ_CLS", **fields)
        return get_peft_model(model, config)
    if spec.method == "lora":
        targets = find_targets(base, own.lora_targets)
        return get_peft_model(
            model, LoraConfig(task_type="SEQ_CLS", r=own.lora_rank, lora_alpha=own.lora_alpha, target_modules=targets)
        )
    head = {id(p) for name, p in model.named_parameters() if not name.startswith(model.base_model_prefix)}
    trained = {
        "head_only": lambda name, p: False,
        "last_block": lambda name, p: any(p is q for q in blocks_of(base)[-1].parameters()),
        "full": lambda name, p: True,
        "bitfit": lambda name, p: name.endswith("bias"),
    }[spec.method]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(id(parameter) in head or trained(name, parameter))
    return model


def worker(asked: dict[str, Any]) -> None:
    """One training in this process; prints the bytes of its peak."""
    import importlib

    import torch
    from transformers.utils import logging

    for name in ("peft", "transformers.trainer", "whichtune.runs.run"):
        importlib.import_module(name)
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    peak = (one_by_trainer if asked["way"] == "trainer" else one_by_whichtune)(asked)
    print(json.dumps({"peak": peak}))


def measured(data: Path, model: Path, method: str) -> dict[str, float | None]:
    """Peaks of the three ways in MiB; None where one failed."""
    found: dict[str, float | None] = {}
    for way, plan in (("trainer", "auto"), ("plan off", "off"), ("whichtune", "auto")):
        asked = json.dumps({"study": study(data, model, method, plan), "way": way})
        ended = subprocess.run(
            [sys.executable, __file__, "--as-worker", asked], capture_output=True, text=True, check=False
        )
        if ended.returncode:
            print(f"{method}, {way}: {ended.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        found[way] = json.loads(ended.stdout.splitlines()[-1])["peak"] / 2**20 if not ended.returncode else None
    return found


def line(method: str, peaks: dict[str, float | None]) -> str:
    """A row of the table."""
    shown = ["" if peaks[way] is None else f"{peaks[way]:,.0f}" for way in ("trainer", "plan off", "whichtune")]
    ratios = [
        "" if peaks[way] is None or peaks["trainer"] is None else f"{peaks[way] / peaks['trainer']:.2f}"  # type: ignore[operator]
        for way in ("plan off", "whichtune")
    ]
    return "| " + " | ".join([method, *shown, *ratios]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--as-worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.as_worker:
        worker(json.loads(asked.as_worker))
        return
    lines = [
        "| method | Trainer, MiB | whichtune, plan off | whichtune | ratio, plan off | ratio |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for method in asked.methods.split(","):
        lines.append(line(method, measured(asked.data.resolve(), asked.model.resolve(), method)))
        print(lines[-1], flush=True)
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
