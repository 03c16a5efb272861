"""The plain way, written apart from whichtune: own padding, own forward loop over GPT-2's blocks, own AdamW.

Only the random draws (data order, initial head) come from whichtune's streams, so that both start alike.
"""

# fmt: off
import math

import torch
import torch.nn.functional as F

from whichtune.seeding import ADAPTER, DATA_ORDER, HEAD, generator, seed_global


def pad(texts, width, pad_id=0):
    width = width or max(map(len, texts))
    ids = torch.tensor([t + [pad_id] * (width - len(t)) for t in texts])
    real = torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t in texts], dtype=torch.bool)
    return ids, real

def hidden(model, ids, real, causal, attend_to_padding, lora):
    """GPT-2 by hand: (B, T) token ids to (B, T, D)."""
    (B, T), H = ids.shape, model.config.n_head
    x = model.wte.weight[ids] + model.wpe.weight[:T]
    allowed = torch.ones(T, T, dtype=torch.bool).tril() if causal else torch.ones(T, T, dtype=torch.bool)
    allowed = allowed.expand(B, 1, T, T)
    if not attend_to_padding:
        allowed = allowed & real[:, None, None, :]
    for i, block in enumerate(model.h):
        h = F.layer_norm(x, x.shape[-1:], block.ln_1.weight, block.ln_1.bias, 1e-5)
        fused = h @ block.attn.c_attn.weight + block.attn.c_attn.bias
        parts = list(fused.split(x.shape[-1], dim=-1))
        parts = [p + adapt(lora, f"h.{i}.attn.c_attn.{n}_proj", h) for p, n in zip(parts, "qkv", strict=True)]
        q, k, v = (p.view(B, T, H, -1).transpose(1, 2) for p in parts)
        scores = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
        a = (scores.masked_fill(~allowed, -1e30).softmax(-1) @ v).transpose(1, 2).reshape(B, T, -1)
        x = x + a @ block.attn.c_proj.weight + block.attn.c_proj.bias + adapt(lora, f"h.{i}.attn.c_proj", a)
        h = F.layer_norm(x, x.shape[-1:], block.ln_2.weight, block.ln_2.bias, 1e-5)
        m = h @ block.mlp.c_fc.weight + block.mlp.c_fc.bias + adapt(lora, f"h.{i}.mlp.c_fc", h)
        m = 0.5 * m * (1 + torch.tanh(math.sqrt(2 / math.pi) * (m + 0.044715 * m**3)))
        x = x + m @ block.mlp.c_proj.weight + block.mlp.c_proj.bias + adapt(lora, f"h.{i}.mlp.c_proj", m)
    return F.layer_norm(x, x.shape[-1:], model.ln_f.weight, model.ln_f.bias, 1e-5)

def adapt(lora, name, x):
    return 0 if lora is None else (x @ lora[name][0].t() @ lora[name][1].t()) * lora["scale"]

def new_lora(model, seed, rank, alpha):
    """A uniform in +-1/sqrt(width), B zero, drawn in the order of the model's layers."""
    D, lora = model.config.n_embd, {"scale": alpha / rank}
    sizes = {"attn.c_attn.q_proj": (D, D), "attn.c_attn.k_proj": (D, D), "attn.c_attn.v_proj": (D, D)}
    sizes |= {"attn.c_proj": (D, D), "mlp.c_fc": (D, 4 * D), "mlp.c_proj": (4 * D, D)}
    seed_global(seed, ADAPTER)
    for i in range(len(model.h)):
        for name, (width, out) in sizes.items():
            for shape in ((rank, width), (out, rank)):  # its two Linears initialise themselves, then PEFT draws A
                torch.nn.init.kaiming_uniform_(torch.empty(shape), a=math.sqrt(5))
            A = torch.nn.init.kaiming_uniform_(torch.empty(rank, width), a=math.sqrt(5))
            lora[f"h.{i}.{name}"] = (A.requires_grad_(), torch.zeros(out, rank, requires_grad=True))
    return lora

def train(model, classes, texts, labels, *, seed, steps, batch, lr, trains, position="last_nonpad", width=None,
          causal=True, attend_to_padding=False, accumulate=1, rank=4, alpha=8.0, epochs=50):
    """Loss of each of `steps` optimiser steps, and a function from token ids to logits with the trained weights."""
    D = model.config.n_embd
    g, shapes = generator(seed, HEAD), [(classes, D), (classes,)]
    W, b = (torch.empty(s).uniform_(-(D**-0.5), D**-0.5, generator=g).requires_grad_() for s in shapes)
    lora = new_lora(model, seed, rank, alpha) if trains == "lora" else None
    chosen = {"head_only": [], "last_block": [*model.h[-1].parameters(), *model.ln_f.parameters()]}
    chosen["full"] = list(model.parameters())
    chosen["lora"] = [p for pair in (lora or {}).values() if isinstance(pair, tuple) for p in pair]
    params = [W, b, *chosen[trains]]
    for p in model.parameters():
        p.requires_grad_(any(p is q for q in params))
    first, second, losses = [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params], []

    def logits(chosen):
        ids, real = pad(chosen, width)
        x, n = hidden(model, ids, real, causal, attend_to_padding, lora), real.sum(1)
        read = {"first": lambda: x[:, 0], "last": lambda: x[:, -1], "mean": lambda: x.mean(1),
                "last_nonpad": lambda: x[torch.arange(len(chosen)), n - 1],
                "mean_nonpad": lambda: (x * real[..., None]).sum(1) / n[:, None]}[position]()
        return read @ W.t() + b

    order = generator(seed, DATA_ORDER)
    for _ in range(epochs):
        rows = torch.randperm(len(texts), generator=order).tolist()
        for start in range(0, len(rows), batch * accumulate):
            group = rows[start : start + batch * accumulate]
            loss = F.cross_entropy(logits([texts[r] for r in group]), labels[group])
            grads = torch.autograd.grad(loss, params, allow_unused=True)
            losses.append(loss.item())
            for i, (p, grad) in enumerate(zip(params, grads, strict=True)):
                grad = torch.zeros_like(p) if grad is None else grad
                first[i] = 0.9 * first[i] + 0.1 * grad
                second[i] = 0.999 * second[i] + 0.001 * grad**2
                m, v = first[i] / (1 - 0.9 ** len(losses)), second[i] / (1 - 0.999 ** len(losses))
                p.data = p.data * (1 - lr * 0.01) - lr * m / (v.sqrt() + 1e-8)
            if len(losses) == steps:
                return losses, lambda new: torch.cat([logits([t]) for t in new]).detach()
