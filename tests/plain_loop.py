"""Training of a GPT-2 with a linear head as a plain loop, apart from whichtune: no batches, no cache, no shortcuts.

Only the random draws (data order, initial head) come from whichtune's streams, so that both start alike.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, GPT2Model

from whichtune.seeding import DATA_ORDER, HEAD, generator
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec

STEPS, SEED, RATE, WIDTH, BATCH = 12, 3, 2e-3, 32, 8


def plain_spec(task: str, settings: dict[str, object], data: Path, model: Path, method: str, plan: str) -> RunSpec:
    """The run that `plain_losses` repeats."""
    return RunSpec(
        label="run",
        task=task,
        task_settings=settings,
        data=DataSettings(source=str(data)),
        model=str(model),
        method=method,
        token_position="last_nonpad",
        padding="dynamic",
        context_length=64,
        epochs=9,
        max_steps=STEPS,
        batch_size=BATCH,
        learning_rate=RATE,
        schedule="constant",
        warmup_steps=0,
        gradient_clip=None,
        evaluation_interval=1,
        evaluation_batches=1,
        seed=SEED,
        plan=plan,
    )


def plain_losses(
    spec: RunSpec, texts: list[str], outputs: int, loss_of: Callable[[Tensor, list[int]], Tensor]
) -> list[float]:
    """Losses of its steps; `loss_of` outputs (B, K) and the rows that they are of."""
    tokens = AutoTokenizer.from_pretrained(spec.model)(texts)["input_ids"]
    model = GPT2Model.from_pretrained(spec.model, attn_implementation="eager").eval()
    drawn, bound, shapes = generator(SEED, HEAD), WIDTH**-0.5, ((outputs, WIDTH), (outputs,))
    weight, bias = (torch.empty(s).uniform_(-bound, bound, generator=drawn).requires_grad_() for s in shapes)
    last = [*model.h[-1].parameters(), *model.ln_f.parameters()]
    inner = last if spec.method == "last_block" else model.parameters()
    optimiser = torch.optim.AdamW([weight, bias, *inner], lr=RATE, weight_decay=0.01)
    losses, order = [], generator(SEED, DATA_ORDER)
    while len(losses) < STEPS:
        rows = torch.randperm(len(texts), generator=order).tolist()
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            states = [model(torch.tensor([tokens[r]])).last_hidden_state[0, -1] for r in chosen]
            value = loss_of(torch.stack(states) @ weight.T + bias, chosen)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            losses.append(value.item())
    return losses[:STEPS]
