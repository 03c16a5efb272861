"""What computing only what is needed saves: operations exactly, and seconds of single steps.

    python benchmarks/plan_speed.py --data ../shared/data [--times 5] [--out plan.json]

GPT-2-small's configuration with random weights, the SMS data at its real lengths, five epochs. Operations
are torch's own count (FlopCounterMode), extended to all batches exactly. Seconds are medians of single
steps on one thread, the ways taken in turn, times the steps of a run; "run 1" pays for the cache, "run 2"
shares it. `--trainer` adds steps of transformers.Trainer on the same batches.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2Model, GPT2Tokenizer
from transformers.utils import logging

from whichtune.data.encoding import encode
from whichtune.data.splits import load_dataset
from whichtune.measure.cost import Timers
from whichtune.methods import METHODS
from whichtune.models.causality import remove_causal_mask
from whichtune.models.heads import Classifier, new_head
from whichtune.runs.preview import describe_plan, training_batches
from whichtune.seeding import HEAD, generator
from whichtune.shortcuts.boundary import make_plan, texts_of
from whichtune.shortcuts.frozen_blocks import Filled
from whichtune.shortcuts.planned import PlannedForward
from whichtune.shortcuts.prepared import CacheSettings, lower_pass
from whichtune.shortcuts.texts import Want
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec
from whichtune.tasks.classification.objective import ClassificationObjective
from whichtune.training.forward import PlainForward
from whichtune.training.trainer import Trainer, steps_in_total


@dataclass
class Line:
    """One line of the table. `rows`: of the published study's 14 GPT-2-small rows, those that it is."""

    name: str
    method: str
    settings: dict[str, Any]
    method_settings: dict[str, Any] = field(default_factory=dict)


PADDED = {"padding": "right", "attend_to_padding": True}
REAL = {"token_position": "last_nonpad", "padding": "dynamic"}
LORA = {"lora_rank": 16, "lora_alpha": 16, "lora_scaling": "alpha"}
LINES = [
    Line("last block, last of 120 padded", "last_block", {"token_position": "last", **PADDED}),
    Line("last two blocks, last of 120 padded", "last_two_blocks", {"token_position": "last", **PADDED}),
    Line("head only, last of 120 padded", "head_only", {"token_position": "last", **PADDED}),
    Line("last block, last real, dynamic", "last_block", REAL),
    Line("last block, last real, padded", "last_block", {"token_position": "last_nonpad", **PADDED}),
    Line("last block, first token", "last_block", {"token_position": "first", **PADDED}),
    Line("full, last real, padded", "full", {"token_position": "last_nonpad", **PADDED}),
    Line("full, last real, dynamic", "full", REAL),
    Line("LoRA r = 16, last real, dynamic", "lora", REAL, LORA),
]
# The published study's rows for GPT-2 small, by their number.
STUDY = {
    1: Line("1", "last_block", {"token_position": "last", **PADDED}),
    2: Line("2", "last_block", {"token_position": "first", **PADDED}),
    3: Line("3", "head_only", {"token_position": "last", **PADDED}),
    4: Line("4", "last_two_blocks", {"token_position": "last", **PADDED}),
    5: Line("5", "full", {"token_position": "last", **PADDED}),
    10: Line("10", "full", {"token_position": "last", **PADDED}),
    11: Line("11", "lora", {"token_position": "last", **PADDED}, {**LORA, "lora_head": True}),
    13: Line("13", "last_block", {"token_position": "last", "context_length": 1024, **PADDED}),
    14: Line("14", "last_block", {"token_position": "last", "padding": "none", "batch_size": 1}),
    15: Line(
        "15", "last_block", {"token_position": "last", "padding": "none", "batch_size": 1, "accumulation_steps": 8}
    ),
    16: Line("16", "last_block", {"token_position": "last_nonpad", **PADDED}),
    17: Line("17", "last_block", {"token_position": "last", "causal_mask": False, **PADDED}),
    18: Line("18", "last_block", {"token_position": "last", **PADDED}),
    19: Line("19", "last_block", {"token_position": "mean", **PADDED}),
}


def spec_of(line: Line) -> RunSpec:
    """The run of a line; five epochs in batches of eight unless it says otherwise."""
    settings = {"epochs": 5, "batch_size": 8, "drop_last": True, "learning_rate": 5e-5, "weight_decay": 0.1, "seed": 0}
    return RunSpec(
        label=line.name,
        data=DataSettings(),
        model="gpt2",
        weights="random",
        method=line.method,
        method_settings=line.method_settings,
        gradient_clip=None,
        schedule="constant",
        **{**settings, **line.settings},
    )


class Bench:
    """Builds classifiers and texts of lines; the data are read once."""

    def __init__(self, data: Path) -> None:
        source = f"sms_spam={data / 'sms-spam' / 'SMSSpamCollection.tsv'}"
        self.dataset = load_dataset(DataSettings(source=source, split="reference"))
        self.tokenizer = GPT2Tokenizer.from_pretrained(data / "gpt2-tokenizer")
        self.tokenizer.pad_token = self.tokenizer.eos_token
        self.device = torch.device("cpu")

    def encoded(self, spec: RunSpec) -> Any:
        return encode(
            self.dataset,
            self.tokenizer,
            context_length=spec.context_length,
            max_length=1024,
            padding=spec.padding or "dynamic",
            attend_to_padding=spec.attend_to_padding,
        )

    def classifier(self, spec: RunSpec) -> Classifier:
        torch.manual_seed(0)
        backbone = GPT2Model(GPT2Config(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, use_cache=False))
        if not spec.causal_mask:
            remove_causal_mask(backbone, "gpt2")
        head = new_head(768, 2, generator(0, HEAD))
        classifier = Classifier(backbone, head, spec.token_position or "last")
        method = METHODS[spec.method]
        method.attach(classifier, method.Settings(**spec.method_settings), 0)
        return classifier

    def operations(self, line: Line) -> dict[str, Any]:
        """Operations of a line's training: the plain way, with its own cache, and sharing one."""
        spec = spec_of(line)
        classifier, encoded = self.classifier(spec), self.encoded(spec)
        plan = make_plan(spec, classifier, encoded)
        shown = describe_plan(spec, plan, classifier, encoded, self.device)
        return {
            "line": line.name,
            "flops_plain": shown.flops_plain,
            "flops_run_1": shown.flops_alone,
            "flops_run_2": shown.flops_shared,
            "ratio_run_1": shown.saving_alone,
            "ratio_run_2": shown.saving_shared,
            "cache_megabytes": shown.cache_bytes / 1e6,
        }

    def seconds(self, line: Line, repeats: int, cache: Path, with_trainer: bool) -> dict[str, float]:
        """Seconds of a line's training, from medians of single steps taken in turn."""
        spec = spec_of(line)
        whole = self.encoded(spec)
        lengths = [len(ids) for ids in whole.splits["train"].tokens]
        size = spec.batch_size
        rows = [row for batch in training_batches(spec, lengths)[: repeats + 1] for row in batch]
        encoded = replace(whole, splits={"train": whole.splits["train"].take(rows)})
        batches = [list(range(at, at + size)) for at in range(0, len(rows), size)]
        planned, lower_seconds = self._planned_trainer(spec, encoded, whole, cache)
        off = spec.model_copy(update={"plan": "off"})
        classifier = self.classifier(off)
        slow = PlainForward(classifier, encoded, self.device, "float32")
        plain = Trainer(classifier, slow, off, Timers(self.device), ClassificationObjective(classifier, slow, off))
        ways: dict[str, Callable[[list[int]], None]] = {
            "plain": lambda rows: plain.step([rows]),
            "planned": lambda rows: planned.step([rows]),
        }
        if with_trainer:
            ways["trainer"] = self._trainer_step(spec, encoded)
        for trainer in (plain, planned):
            trainer._count = lambda group: None  # type: ignore[method-assign]
            trainer.classifier.train()
        measured: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(repeats + 1):
            for name, step in ways.items():
                begin = time.perf_counter()
                step(batches[turn])
                if turn:  # the first is a warm-up
                    measured[name].append(time.perf_counter() - begin)
        steps = steps_in_total(len(lengths), spec)
        step_seconds = {name: statistics.median(values) for name, values in measured.items()}
        found = {f"step_{name}": value for name, value in step_seconds.items()}
        found["cache"] = lower_seconds
        for name in ("plain", "trainer"):
            if name in step_seconds:
                all_steps = steps * step_seconds[name]
                found[f"times_{name}_run_1"] = all_steps / (lower_seconds + steps * step_seconds["planned"])
                found[f"times_{name}_run_2"] = all_steps / (steps * step_seconds["planned"])
        return found

    def _planned_trainer(self, spec: RunSpec, encoded: Any, whole: Any, cache: Path) -> tuple[Trainer, float]:
        """A trainer along the plan for the measured batches' texts, and the seconds of the pass over the lower
        blocks of the whole training split: those of the measured texts, extended by operations."""
        classifier = self.classifier(spec)
        plan = make_plan(spec, classifier, encoded)
        assert plan.partition is not None
        states: dict[str, Filled] = {}
        seconds = 0.0
        if plan.cached != "nothing":
            lower = lower_pass(spec, plan, classifier, self.device, CacheSettings(cache))
            want = Want(plan.boundary, plan.position if plan.cached == "features" else None)
            states["train"] = lower.fill("train", texts_of(plan, encoded, "train"), want)
            few, every = texts_of(plan, encoded, "train"), texts_of(plan, whole, "train")
            seconds = states["train"].alone.seconds
            seconds *= lower.operations([want], every) / lower.operations([want], few)
        texts = {"train": texts_of(plan, encoded, "train")}
        arguments = (classifier, encoded, self.device, "float32", plan.partition, texts, plan.position)
        forward = PlannedForward(*arguments, plan.route, states, plan.cached == "features")
        forward.settle()
        objective = ClassificationObjective(classifier, forward, spec)
        return Trainer(classifier, forward, spec, Timers(self.device), objective), seconds

    def _trainer_step(self, spec: RunSpec, encoded: Any) -> Callable[[list[int]], None]:
        """One step of transformers.Trainer on given rows, with its own defaults for everything not set."""
        import tempfile

        from transformers import Trainer as HuggingFaceTrainer
        from transformers import TrainingArguments

        classifier = self.classifier(spec)

        class WithLoss(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.classifier = classifier

            def forward(self, **named: torch.Tensor) -> dict[str, torch.Tensor]:
                from whichtune.data.batch import Batch

                labels = named["labels"]
                logits = self.classifier(Batch(named["input_ids"], named["lengths"], named.get("mask")))
                return {"loss": torch.nn.functional.cross_entropy(logits, labels)}

        arguments = TrainingArguments(tempfile.mkdtemp(), learning_rate=5e-5, weight_decay=0.1, report_to=[])
        trainer = HuggingFaceTrainer(WithLoss(), arguments)
        trainer.create_optimizer()
        trainer.current_gradient_accumulation_steps = 1

        labels = torch.tensor(encoded.splits["train"].labels)

        def step(rows: list[int]) -> None:
            batch = encoded.batch("train", rows)
            named = {"input_ids": batch.input_ids, "lengths": batch.lengths, "labels": labels[rows]}
            if batch.attention_mask is not None:
                named["mask"] = batch.attention_mask
            trainer.training_step(trainer.model, named)
            trainer.optimizer.step()
            trainer.model.zero_grad()

        return step


def study_total(bench: Bench) -> dict[str, float]:
    """Operations of the published study's 14 GPT-2-small rows, one seed: the plain way, and planned with each
    pass over lower blocks made once and shared."""
    plain = planned = 0
    passes: dict[tuple[Any, ...], int] = {}
    for line in STUDY.values():
        found = bench.operations(line)
        plain += found["flops_plain"]
        planned += found["flops_run_2"]
        shared = tuple(sorted(line.settings.items()))
        kind = ("unpadded",) if _reads_no_padding(line) else shared
        cost = found["flops_run_1"] - found["flops_run_2"]
        # Rows that read the same texts by the same blocks share a pass: the deepest one's is all there is.
        passes[kind] = max(passes.get(kind, 0), cost)
        print(json.dumps({"row": line.name, **found}), flush=True)
    whole = planned + sum(passes.values())
    return {"rows": len(STUDY), "flops_plain": plain, "flops_planned": whole, "ratio": plain / whole}


def _reads_no_padding(line: Line) -> bool:
    return line.settings.get("padding") == "none" or line.settings["token_position"] == "last_nonpad"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sms-spam and gpt2-tokenizer")
    parser.add_argument("--times", type=int, default=0, help="measured steps of each way; 0: operations alone")
    parser.add_argument("--trainer", action="store_true", help="time transformers.Trainer too")
    parser.add_argument("--study", action="store_true", help="add the published study's GPT-2-small rows")
    parser.add_argument("--only", help="lines whose name contains this")
    parser.add_argument("--cache", type=Path, default=Path("plan-benchmark-cache"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    bench = Bench(arguments.data)
    found = []
    for line in LINES:
        if arguments.only and arguments.only not in line.name:
            continue
        row = bench.operations(line)
        if arguments.times:
            shutil.rmtree(arguments.cache, ignore_errors=True)
            row |= bench.seconds(line, arguments.times, arguments.cache, arguments.trainer)
        print(json.dumps(row), flush=True)
        found.append(row)
    result: dict[str, Any] = {"lines": found, "torch": torch.__version__}
    if arguments.study:
        result["study"] = study_total(bench)
        print(json.dumps(result["study"]), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
