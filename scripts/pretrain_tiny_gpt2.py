"""Pretrain the embedded tiny GPT-2 on plain text, resumably and with a fixed seed.

    python scripts/pretrain_tiny_gpt2.py --corpus ../shared/data/wikipedia-corpus --work scratch/pretrain \
        --steps 3000 --export src/whichtune/embedded/tiny-gpt2

The learning rate warms up, stays level, and falls linearly to zero over the last part of the run
("warm-up, stable, decay": Hu et al. 2024, MiniCPM). Nothing before the decay depends on `--steps` or
`--decay-fraction`, so a run that was stopped can be resumed with others as long as its decay has not begun,
and the result is that of an uninterrupted run. The order of the data is a function of the
seed and the step, and nothing else draws random numbers after the initialisation.

The matrices inside the blocks are trained with Muon (Jordan et al. 2024), all else with AdamW.

Where cores are shared with other work, processes that meet once a step wait less than threads do:

    torchrun --nproc-per-node 2 scripts/pretrain_tiny_gpt2.py --threads 1 ...
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from muon import Muon
from pretraining_text import corpus_file, cuts, encode, read_articles, train_tokenizer, training_batch

DECAY_SETTINGS = ("steps", "decay_fraction", "decay_length")  # nothing before the decay depends on them
LOG_EVERY = 10  # steps
VALIDATION_TOKENS = 30_000  # for the log; the model card's figures are of the whole validation text


@dataclass(frozen=True)
class Settings:
    """Everything that the weights depend on, apart from the text and the versions of the libraries."""

    steps: int = 4000
    seed: int = 0
    vocabulary: int = 4096
    positions: int = 512
    width: int = 192
    blocks: int = 4
    heads: int = 6
    tokens_per_step: int = 4096
    tokens_at_once: int = 2048  # of a step's tokens, to keep the logits in the processor's cache
    stable_length: int = 256  # tokens in a sequence before the decay
    decay_length: int = 512  # and in it: the later positions are learned last, which costs less
    warmup_steps: int = 50
    decay_fraction: float = 0.25
    muon_learning_rate: float = 0.02
    adam_learning_rate: float = 0.004
    weight_decay: float = 0.05
    gradient_clip: float = 1.0

    @property
    def decay_begins(self) -> int:
        return self.steps - round(self.steps * self.decay_fraction)

    def sequence_length(self, step: int) -> int:
        return self.stable_length if step < self.decay_begins else self.decay_length

    def learning_rate_factor(self, step: int) -> float:
        """Between 0 and 1: the share of the full learning rate at `step` (counted from 0)."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = (self.steps - step) / max(1, self.steps - self.decay_begins)
        return min(warm, left, 1.0)


def new_model(settings: Settings, end_of_text: int) -> GPT2LMHeadModel:
    """GPT-2 with its own initialisation: normal(0, 0.02), residual projections divided by sqrt(2 blocks)."""
    torch.manual_seed(settings.seed)
    config = GPT2Config(
        vocab_size=settings.vocabulary,
        n_positions=settings.positions,
        n_embd=settings.width,
        n_layer=settings.blocks,
        n_head=settings.heads,
        activation_function="gelu_pytorch_tanh",  # GPT-2's gelu_new, computed in one kernel
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
        use_cache=False,
    )
    return GPT2LMHeadModel(config)


def make_optimisers(model: GPT2LMHeadModel, settings: Settings) -> list[torch.optim.Optimizer]:
    blocks = {name: p for name, p in model.transformer.h.named_parameters() if p.ndim == 2}
    joint = [p for name, p in blocks.items() if "c_attn" in name]
    single = [p for name, p in blocks.items() if "c_attn" not in name]
    inside = {id(p) for p in blocks.values()}
    others = [p for p in model.parameters() if id(p) not in inside]
    muon = Muon(
        [{"params": joint, "pieces": 3}, {"params": single}],
        lr=settings.muon_learning_rate,
        weight_decay=settings.weight_decay,
    )
    groups = [
        {"params": [p for p in others if p.ndim == 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=settings.adam_learning_rate, betas=(0.9, 0.95), fused=True)
    for optimiser in (muon, adam):
        for group in optimiser.param_groups:
            group["full_lr"] = group["lr"]
    return [muon, adam]


def loss_of(model: nn.Module, rows: Tensor) -> Tensor:
    """Mean cross-entropy in nats of each next token; rows (B, T + 1)."""
    logits = model(input_ids=rows[:, :-1]).logits
    return nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())


def accumulate_gradients(model: nn.Module, rows: Tensor, settings: Settings) -> float:
    """Add the gradient of the mean loss of rows (B, T + 1), a few rows at a time; returns that loss."""
    total = 0.0
    for part in rows.split(max(1, settings.tokens_at_once // (rows.shape[1] - 1))):
        loss = loss_of(model, part) * (len(part) / len(rows))
        loss.backward()
        total += loss.item()
    return total


def average_over_processes(model: nn.Module, loss: float) -> float:
    """Replace gradients by their mean over the processes, which had equal shares; returns the mean loss."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    joint = torch.cat([gradient.flatten() for gradient in gradients] + [torch.tensor([loss])])
    torch.distributed.all_reduce(joint)
    joint /= torch.distributed.get_world_size()
    parts = joint[:-1].split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    return float(joint[-1])


@torch.no_grad()
def validation_loss(model: nn.Module, tokens: np.ndarray, length: int) -> float:
    """Mean loss in nats a token over consecutive cuts of `length` (every token but the first, once)."""
    model.eval()
    total, count = 0.0, 0
    for rows in cuts(tokens, length):
        loss = loss_of(model, rows)
        total += loss.item() * rows[:, 1:].numel()
        count += rows[:, 1:].numel()
    model.train()
    return total / count


def save_atomically(state: dict[str, Any], path: Path) -> None:
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def check_same_run(saved: dict[str, Any], settings: Settings, step: int) -> None:
    """A run goes on only with its own settings; those of the decay may differ while neither has begun."""
    asked = asdict(settings)
    wrong = [key for key in asked if saved[key] != asked[key]]
    if step <= min(Settings(**saved).decay_begins, settings.decay_begins):
        wrong = [key for key in wrong if key not in DECAY_SETTINGS]
    if wrong:
        raise SystemExit(f"The checkpoint of step {step} was made with other settings: {', '.join(wrong)}.")


class Run:
    """A pretraining run as it lies in a folder: tokenizer, checkpoint and log, begun or resumed."""

    def __init__(self, corpus: Path, work: Path, settings: Settings) -> None:
        self.settings, self.checkpoint, self.log = settings, work / "checkpoint.pt", work / "log.jsonl"
        self.processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        self.rank = torch.distributed.get_rank() if self.processes > 1 else 0
        articles = {split: read_articles(corpus_file(corpus, split)) for split in ("train", "valid")}
        if self.rank == 0 and not (work / "tokenizer").is_dir():
            made = train_tokenizer(articles["train"], settings.vocabulary, settings.positions)
            made.save_pretrained(work / "tokenizer")
        if self.processes > 1:
            torch.distributed.barrier()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
        self.train_tokens = encode(articles["train"], tokenizer)
        self.valid_tokens = encode(articles["valid"], tokenizer)[:VALIDATION_TOKENS]
        self.model = new_model(settings, tokenizer.eos_token_id).train()
        self.optimisers = make_optimisers(self.model, settings)
        self.step, self.seconds = 0, 0.0
        if self.checkpoint.is_file():
            self.resume()
        if self.rank == 0:
            self.log.write_text("".join(line + "\n" for line in self.logged()))

    def resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        check_same_run(state["settings"], self.settings, state["step"])
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]

    def logged(self) -> list[str]:
        """Lines of the log up to the checkpoint: what came after it is trained, and logged, again."""
        lines = self.log.read_text().splitlines() if self.log.is_file() else []
        return [line for line in lines if json.loads(line)["step"] <= self.step]

    def save(self) -> None:
        state = {
            "settings": asdict(self.settings),
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        save_atomically(state, self.checkpoint)

    def train_step(self) -> tuple[float, float]:
        """One optimiser step; returns the loss before it and the norm of its gradient."""
        settings = self.settings
        length = settings.sequence_length(self.step)
        rows = training_batch(self.train_tokens, self.step, settings.seed, length, settings.tokens_per_step)
        rows = rows[self.rank :: self.processes]
        loss = accumulate_gradients(self.model, rows, settings)
        if self.processes > 1:
            loss = average_over_processes(self.model, loss)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), settings.gradient_clip)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["full_lr"] * settings.learning_rate_factor(self.step)
            optimiser.step()
            optimiser.zero_grad()
        self.step += 1
        return loss, float(norm)

    def write_log(self, losses: list[float], norm: float, validate: bool) -> None:
        line: dict[str, Any] = {
            "step": self.step,
            "tokens": self.step * self.settings.tokens_per_step,
            "train_loss": round(sum(losses) / len(losses), 4),
            "learning_rate_factor": round(self.settings.learning_rate_factor(self.step - 1), 4),
            "gradient_norm": round(norm, 3),
        }
        if validate:
            loss = validation_loss(self.model, self.valid_tokens, self.settings.positions)
            line["validation_loss"] = round(loss, 4)
        line["seconds"] = round(self.seconds, 1)
        with self.log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def pretrain(
    corpus: Path, work: Path, settings: Settings, save_every: int = 100, stop_at: int | None = None
) -> GPT2LMHeadModel:
    """Train from the newest checkpoint in `work`, or from the start; returns the trained model.

    `stop_at` ends this part of the run after that step, saved so that it can go on later.
    """
    work.mkdir(parents=True, exist_ok=True)
    run = Run(corpus, work, settings)
    end = min(settings.steps, stop_at or settings.steps)
    losses: list[float] = []
    while run.step < end:
        began = time.perf_counter()
        loss, norm = run.train_step()
        losses.append(loss)
        run.seconds += time.perf_counter() - began
        if run.rank > 0:
            continue
        at_mark = run.step % save_every == 0 or run.step == end
        if at_mark or run.step % LOG_EVERY == 0:
            run.write_log(losses, norm, validate=at_mark)
            losses = []
        if at_mark:
            run.save()
    return run.model


def export(model: GPT2LMHeadModel, work: Path, folder: Path) -> None:
    """Write a folder that AutoModelForCausalLM and AutoTokenizer load: float16, with settings and log."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.use_cache = True
    model.half().eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.copyfile(work / "log.jsonl", folder / "pretraining_log.jsonl")
    state = torch.load(work / "checkpoint.pt", weights_only=True)
    (folder / "pretraining_settings.json").write_text(json.dumps(state["settings"], indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="folder with train.txt[.xz] and valid.txt[.xz]")
    parser.add_argument("--work", type=Path, required=True, help="checkpoint, tokenizer and log; resumed if there")
    parser.add_argument("--export", type=Path, help="write the model in float16 and the tokenizer here at the end")
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    for name, default in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--stop-at", type=int, help="stop after this step, to go on later")
    arguments = parser.parse_args()
    settings = Settings(**{name: getattr(arguments, name) for name in asdict(Settings())})
    torch.set_num_threads(arguments.threads)
    if "WORLD_SIZE" in os.environ:
        torch.distributed.init_process_group("gloo")
    model = pretrain(arguments.corpus, arguments.work, settings, arguments.save_every, arguments.stop_at)
    if torch.distributed.is_initialized():
        first = torch.distributed.get_rank() == 0
        torch.distributed.destroy_process_group()
        if not first:
            return
    if arguments.export:
        export(model, arguments.work, arguments.export)


if __name__ == "__main__":
    main()
