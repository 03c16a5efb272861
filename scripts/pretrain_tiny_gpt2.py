"""Pretrain the embedded tiny GPT-2 on plain text, resumably and with a fixed seed.

    python scripts/pretrain_tiny_gpt2.py --corpus ../shared/data/wikipedia-corpus --work scratch/pretrain \
        --steps 3000 --export src/whichtune/embedded/tiny-gpt2

The learning rate warms up, stays level, and falls linearly to zero over the last part of the run
("warm-up, stable, decay": Hu et al. 2024, MiniCPM). Everything before the decay is the same whatever
`--steps` is, so a run that was stopped can be resumed with another `--steps` as long as its decay has
not begun, and the result is that of an uninterrupted run. The order of the data is a function of the
seed and the step, and nothing else draws random numbers after the initialisation.

The matrices inside the blocks are trained with Muon (Jordan et al. 2024), all else with AdamW.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
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


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal: every direction of a matrix moves by the same amount.

    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). `torch.optim.Muon`
    works in bfloat16, which most CPUs only emulate; this one stays in float32. Parameters are matrices
    (in, out) as GPT-2's Conv1D holds them; one that holds several side by side (queries, keys, values)
    is orthogonalised piece by piece: `pieces` of its group says how many.
    """

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "pieces": 1})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                buffer = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                buffer.lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(buffer, group["momentum"])  # Nesterov's look ahead
                pieces = [orthogonalise(piece) for piece in update.chunk(group["pieces"], dim=1)]
                scale = math.sqrt(max(1.0, pieces[0].shape[1] / pieces[0].shape[0]))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(torch.cat(pieces, dim=1), alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor, iterations: int = 5) -> Tensor:
    """A matrix with the same singular vectors and singular values near 1 (quintic Newton-Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315  # Jordan et al.: steepest at zero, values settle between 0.7 and 1.2
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


# ---- text and tokens


def read_articles(path: Path) -> list[str]:
    """Articles of a text file (plain or .xz), which two blank lines part."""
    raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    return [article.strip("\n") for article in raw.decode("utf-8").split("\n\n\n") if article.strip()]


def corpus_file(corpus: Path, split: str) -> Path:
    for name in (f"{split}.txt.xz", f"{split}.txt"):
        if (corpus / name).is_file():
            return corpus / name
    raise SystemExit(f"{corpus} holds neither {split}.txt.xz nor {split}.txt.")


def train_tokenizer(articles: list[str], vocabulary: int, positions: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of `vocabulary` tokens; `<|endoftext|>` (id 0) ends a text and pads."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(articles, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=positions,
    )


def encode(articles: list[str], tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """All articles as one row of token ids (uint16), each followed by the end-of-text token."""
    rows = tokenizer.backend_tokenizer.encode_batch([article + "\n" for article in articles])
    end = tokenizer.eos_token_id
    return np.concatenate([np.array([*row.ids, end], dtype=np.uint16) for row in rows])


def training_batch(tokens: np.ndarray, settings: Settings, step: int) -> Tensor:
    """Token ids (B, T + 1) of `step`: each epoch has its own offset of the cuts and its own order."""
    length = settings.sequence_length(step)
    size = settings.tokens_per_step // length
    steps_per_epoch = max(1, (len(tokens) - length - 1) // length // size)
    epoch, index = divmod(step, steps_per_epoch)
    rng = np.random.default_rng([settings.seed, length, epoch])
    offset = int(rng.integers(length))
    starts = offset + length * rng.permutation((len(tokens) - 1 - offset) // length)
    rows = [tokens[start : start + length + 1] for start in starts[index * size : (index + 1) * size]]
    return torch.from_numpy(np.stack(rows).astype(np.int64))


# ---- model and optimisers


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


def cuts(tokens: np.ndarray, length: int, batch: int = 4) -> Iterator[Tensor]:
    """Rows (B, T + 1), each beginning with the last token of the one before; the rest comes last."""
    whole = (len(tokens) - 1) // length
    for first in range(0, whole, batch):
        starts = range(first * length, min(first + batch, whole) * length, length)
        yield torch.from_numpy(np.stack([tokens[s : s + length + 1] for s in starts]).astype(np.int64))
    if len(tokens) - 1 > whole * length:
        yield torch.from_numpy(tokens[None, whole * length :].astype(np.int64))


# ---- the run


def save_atomically(state: dict[str, Any], path: Path) -> None:
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def check_same_run(saved: dict[str, Any], settings: Settings, step: int) -> None:
    """A run goes on only with its own settings; `steps` may differ while neither decay has begun."""
    asked = asdict(settings)
    wrong = [key for key in asked if key != "steps" and saved[key] != asked[key]]
    if saved["steps"] != settings.steps and step > min(Settings(**saved).decay_begins, settings.decay_begins):
        wrong.append("steps (the decay has begun)")
    if wrong:
        raise SystemExit(f"The checkpoint was made with other settings: {', '.join(wrong)}.")


def pretrain(corpus: Path, work: Path, settings: Settings, save_every: int) -> GPT2LMHeadModel:
    """Train from the newest checkpoint in `work`, or from the start; returns the trained model."""
    work.mkdir(parents=True, exist_ok=True)
    train_articles = read_articles(corpus_file(corpus, "train"))
    if not (work / "tokenizer").is_dir():
        train_tokenizer(train_articles, settings.vocabulary, settings.positions).save_pretrained(
            work / "tokenizer"
        )
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    train_tokens = encode(train_articles, tokenizer)
    valid_tokens = encode(read_articles(corpus_file(corpus, "valid")), tokenizer)[:VALIDATION_TOKENS]

    model = new_model(settings, tokenizer.eos_token_id).train()
    optimisers = make_optimisers(model, settings)
    step, seconds = 0, 0.0
    checkpoint = work / "checkpoint.pt"
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        check_same_run(state["settings"], settings, state["step"])
        model.load_state_dict(state["model"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        step, seconds = state["step"], state["seconds"]
    log = work / "log.jsonl"
    began, recent = time.perf_counter(), []

    while step < settings.steps:
        factor = settings.learning_rate_factor(step)
        loss = accumulate_gradients(model, training_batch(train_tokens, settings, step), settings)
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["full_lr"] * factor
            optimiser.step()
            optimiser.zero_grad()
        step += 1
        recent.append(loss)
        if step % 10 == 0 or step == settings.steps:
            line: dict[str, Any] = {
                "step": step,
                "tokens": step * settings.tokens_per_step,
                "train_loss": round(sum(recent) / len(recent), 4),
                "learning_rate_factor": round(factor, 4),
                "gradient_norm": round(float(norm), 3),
            }
            if step % save_every == 0 or step == settings.steps:
                line["validation_loss"] = round(validation_loss(model, valid_tokens, settings.positions), 4)
            line["seconds"] = round(seconds + time.perf_counter() - began, 1)
            with log.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            recent = []
        if step % save_every == 0 or step == settings.steps:
            state = {
                "settings": asdict(settings),
                "step": step,
                "seconds": seconds + time.perf_counter() - began,
                "model": model.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in optimisers],
            }
            save_atomically(state, checkpoint)
    return model


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpus", type=Path, required=True, help="folder with train.txt[.xz] and valid.txt[.xz]"
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="checkpoint, tokenizer and log; resumed if there"
    )
    parser.add_argument(
        "--export", type=Path, help="write the model in float16 and the tokenizer here at the end"
    )
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    for name, default in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    arguments = parser.parse_args()
    settings = Settings(**{name: getattr(arguments, name) for name in asdict(Settings())})
    torch.set_num_threads(arguments.threads)
    model = pretrain(arguments.corpus, arguments.work, settings, arguments.save_every)
    if arguments.export:
        export(model, arguments.work, arguments.export)


if __name__ == "__main__":
    main()
