"""Prompt and prefix tuning the plain way, for GPT-2: every text by itself and unpadded, own attention, own prefix.

Only the random draws come from whichtune's streams.
"""

# fmt: off
import math

import torch
import torch.nn.functional as F

from whichtune.seeding import ADAPTER, DATA_ORDER, HEAD, generator


def blocks(model, x, before, causal=True):
    """(T, D) inputs of the first block to final states, and each block's keys and values (T, D).
    `before`: for each block, keys and values (V, D) that stand before its own; empty ones for none."""
    T, H, kept = len(x), model.config.n_head, []
    for block, (first_k, first_v) in zip(model.h, before, strict=True):
        h = F.layer_norm(x, x.shape[-1:], block.ln_1.weight, block.ln_1.bias, 1e-5)
        q, k, v = (h @ block.attn.c_attn.weight + block.attn.c_attn.bias).chunk(3, dim=-1)
        kept.append((k, v))
        k, v, V = torch.cat([first_k, k]), torch.cat([first_v, v]), len(first_k)
        q, k, v = (t.view(len(t), H, -1).transpose(0, 1) for t in (q, k, v))
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        if causal:
            later = torch.ones(T, T, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(torch.cat([torch.zeros(T, V, dtype=torch.bool), later], dim=1), -1e30)
        a = (scores.softmax(-1) @ v).transpose(0, 1).reshape(T, -1)
        x = x + a @ block.attn.c_proj.weight + block.attn.c_proj.bias
        h = F.layer_norm(x, x.shape[-1:], block.ln_2.weight, block.ln_2.bias, 1e-5)
        m = F.gelu(h @ block.mlp.c_fc.weight + block.mlp.c_fc.bias, approximate="tanh")
        x = x + m @ block.mlp.c_proj.weight + block.mlp.c_proj.bias
    return F.layer_norm(x, x.shape[-1:], model.ln_f.weight, model.ln_f.bias, 1e-5), kept


def train(model, classes, texts, labels, *, kind, count, seed, steps, batch, lr, position="last_nonpad", causal=True):
    """Loss of each of `steps` steps, and a function from token ids to logits (n, C) with the trained weights."""
    model.requires_grad_(False)
    D, L = model.config.n_embd, len(model.h)
    g, shapes = generator(seed, HEAD), [(classes, D), (classes,)]
    W, b = (torch.empty(s).uniform_(-(D**-0.5), D**-0.5, generator=g) for s in shapes)
    first = torch.randint(len(model.wte.weight), (count,), generator=generator(seed, ADAPTER))
    prompt = model.wte.weight[first]
    none = [(torch.empty(0, D), torch.empty(0, D))] * L
    if kind == "prefix":
        made = blocks(model, prompt + model.wpe.weight[:count], none, causal)[1]
        prompt = torch.stack([torch.stack(pair) for pair in made])
    params = [p.clone().requires_grad_() for p in (W, b, prompt)]

    def logits(tokens):
        W, b, prompt = params
        x = model.wte.weight[tokens]
        if kind == "soft":
            x = torch.cat([prompt, x])
            x = blocks(model, x + model.wpe.weight[: len(x)], none, causal)[0][count:]
        else:
            x = blocks(model, x + model.wpe.weight[count : count + len(x)], list(prompt), causal)[0]
        return {"first": x[0], "last_nonpad": x[-1], "mean_nonpad": x.mean(0)}[position] @ W.T + b

    optimiser, losses = torch.optim.AdamW(params, lr=lr, weight_decay=0.01), []
    order = generator(seed, DATA_ORDER)
    while True:
        rows = torch.randperm(len(texts), generator=order).tolist()
        for start in range(0, len(rows), batch):
            group = rows[start : start + batch]
            loss = F.cross_entropy(torch.stack([logits(texts[r]) for r in group]), labels[group])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            if len(losses) == steps:
                return losses, lambda new: torch.stack([logits(t) for t in new]).detach()
