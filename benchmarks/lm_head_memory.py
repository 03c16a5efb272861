"""Memory of training a language model's head: cross-entropy in chunks against logits of all positions.

    python benchmarks/lm_head_memory.py [--texts 16] [--tokens 256] [--tied untie] [--device cpu] [--out memory.json]

GPT-Neo 125M's shapes with random weights (vocabulary 50,257, width 768, 12 blocks), one optimiser step of
AdamW in float32. The plain way is transformers' own: `model(input_ids, labels=input_ids).loss`. The other
computes the same hidden states and `chunked_cross_entropy`. Memory is the peak of the step above what lies
there when it begins, weights and optimiser state; the gradient itself counts. Each way has a process of its
own. With `--tied train_both` the embeddings train with the head, so that the step goes back through every
block; gradient checkpointing is then on in both ways. About two minutes on one thread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from whichtune.measure.cost import MemoryMonitor, anonymous_bytes, trim_memory
from whichtune.models.chunked_loss import chunked_cross_entropy
from whichtune.models.tying import apply_tying

WAYS = ("plain", "chunked")


def model_of(tied: str, device: torch.device) -> Any:
    """GPT-Neo 125M with random weights, whose head alone is set to train."""
    torch.manual_seed(0)
    config = GPTNeoConfig(hidden_size=768, num_layers=12, num_heads=12, attention_types=[[["global", "local"], 6]])
    model = GPTNeoForCausalLM(config).eval()
    apply_tying(model.transformer, model.lm_head, tied)  # type: ignore[arg-type]
    model.requires_grad_(False)
    model.lm_head.requires_grad_(True)
    if tied == "train_both":
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()  # transformers checkpoints in training only; this model has no dropout
    return model.to(device)


def loss_of(model: Any, ids: torch.Tensor, way: str) -> torch.Tensor:
    """Mean loss of the next token over all positions."""
    if way == "plain":
        loss: torch.Tensor = model(input_ids=ids, labels=ids, use_cache=False).loss
        return loss
    hidden = model.transformer(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
    labels = ids[:, 1:].flatten()
    return chunked_cross_entropy(hidden, model.lm_head.weight, labels) / len(labels)


def measure(way: str, texts: int, tokens: int, tied: str, device: torch.device) -> dict[str, float]:
    """Loss, seconds, and peak bytes above weights and optimiser state of one step."""
    model = model_of(tied, device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step(ids: torch.Tensor) -> float:
        loss = loss_of(model, ids, way)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.item()

    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(model.config.vocab_size, (texts, tokens), generator=draw).to(device)
    step(ids[:1, :4])  # makes the optimiser's state
    trim_memory()
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else anonymous_bytes()
    begin = time.perf_counter()
    with MemoryMonitor(device, 0) as memory:
        loss = step(ids)
    return {"loss": loss, "seconds": time.perf_counter() - begin, "bytes": memory.peak - before}


def in_own_process(way: str, arguments: list[str]) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments, "--way", way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=16, help="texts in the batch")
    parser.add_argument("--tokens", type=int, default=256, help="tokens of each text")
    parser.add_argument("--tied", choices=["untie", "train_both"], default="untie")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.way:
        found = measure(options.way, options.texts, options.tokens, options.tied, torch.device(options.device))
        print(json.dumps(found))
        return
    figures = {way: in_own_process(way, sys.argv[1:]) for way in WAYS}
    for way, figure in figures.items():
        print(f"{way:8} loss {figure['loss']:.6f}  {figure['bytes'] / 1e6:8,.0f} MB  {figure['seconds']:6.1f} s")
    share = figures["chunked"]["bytes"] / figures["plain"]["bytes"]
    apart = abs(figures["chunked"]["loss"] - figures["plain"]["loss"])
    print(f"chunked takes {share:.3f} of the plain way's memory; losses differ by {apart:.1e}")
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
