"""The reference semantics again, written plainly and apart from the package: a small GPT-2 and its loop.

Nothing of whichtune is used here, so that agreement with it means something. The facts are those that
`docs/reproduce.md` lists. Only torch's own layers draw from the random generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

SEED = 123
BATCHES = 5


@dataclass
class Shape:
    vocabulary: int
    positions: int
    width: int
    layers: int
    heads: int


@dataclass
class Options:
    """One row. `train` is head, block, all or lora; `position` is first, last, flexible or mean."""

    train: str = "block"
    position: str = "last"
    causal: bool = True
    padded: bool = True
    batch: int = 8
    accumulation: int = 1
    rank: int = 8
    alpha: float = 8.0
    epochs: int = 5
    seed: int = SEED
    every: int = 50


@dataclass
class Outcome:
    step_losses: list[float] = field(default_factory=list)
    interval_losses: list[tuple[float, float]] = field(default_factory=list)
    epoch_accuracies: list[tuple[float, float]] = field(default_factory=list)
    final: dict[str, float] = field(default_factory=dict)


class Block(nn.Module):
    def __init__(self, shape: Shape, causal: bool) -> None:
        super().__init__()
        w = shape.width
        self.heads, self.causal = shape.heads, causal
        self.q, self.k, self.v, self.o = (nn.Linear(w, w) for _ in range(4))
        self.up, self.down = nn.Linear(w, 4 * w), nn.Linear(4 * w, w)
        self.norm_a, self.norm_b = nn.LayerNorm(w), nn.LayerNorm(w)

    def forward(self, x: Tensor) -> Tensor:
        b, t, w = x.shape
        y = self.norm_a(x)
        q, k, v = (layer(y).view(b, t, self.heads, -1).transpose(1, 2) for layer in (self.q, self.k, self.v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(w // self.heads)
        if self.causal:
            scores = scores + torch.full((t, t), -math.inf).triu(1)
        x = x + self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, w))
        return x + self.down(F.gelu(self.up(self.norm_b(x)), approximate="tanh"))


class Gpt(nn.Module):
    """Logits (B, T, 2) at every position."""

    def __init__(self, shape: Shape, options: Options) -> None:
        super().__init__()
        torch.manual_seed(options.seed)
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.positions, shape.width)
        self.blocks = nn.ModuleList(Block(shape, options.causal) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        torch.manual_seed(options.seed)
        self.head = nn.Linear(shape.width, 2)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class WithUpdate(nn.Module):
    def __init__(self, layer: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.layer, self.alpha = layer, alpha
        bound = rank**-0.5
        self.a = nn.Parameter(torch.empty(layer.in_features, rank).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.zeros(rank, layer.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.alpha * (x @ self.a @ self.b)


def choose_what_trains(model: Gpt, options: Options) -> None:
    model.requires_grad_(options.train == "all")
    model.head.requires_grad_(True)
    if options.train == "block":
        model.blocks[-1].requires_grad_(True)
        model.norm.requires_grad_(True)
    if options.train == "lora":
        for block in model.blocks:
            for name in ("q", "k", "v", "o", "up", "down"):
                setattr(block, name, WithUpdate(getattr(block, name), options.rank, options.alpha))
        model.head = WithUpdate(model.head, options.rank, options.alpha)


class Texts:
    """Token lists of one split as a torch data set."""

    def __init__(self, tokens: list[list[int]], labels: list[int], width: int | None, pad: int) -> None:
        self.tokens, self.labels = tokens, labels
        self.lengths = [len(ids) for ids in tokens]
        if width is not None:
            self.tokens = [ids[:width] + [pad] * (width - len(ids[:width])) for ids in tokens]
            self.lengths = [min(n, width) for n in self.lengths]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, i: int) -> tuple[Tensor, int, int]:
        return torch.tensor(self.tokens[i]), self.lengths[i], self.labels[i]


def read(model: Gpt, batch: list[Tensor], position: str) -> tuple[Tensor, Tensor]:
    ids, lengths, labels = batch
    logits = model(ids)
    if position == "mean":
        return logits.mean(1), labels
    if position == "flexible":
        return logits[torch.arange(len(ids)), lengths - 1], labels
    return logits[:, 0 if position == "first" else -1], labels


@torch.no_grad()
def judge(model: Gpt, loader: DataLoader, position: str, most: int | None = None) -> tuple[float, float]:
    """Mean of the batches' losses, and accuracy."""
    losses, right, seen = [], 0, 0
    for number, batch in enumerate(loader):
        if number == most:
            break
        logits, labels = read(model, batch, position)
        losses.append(F.cross_entropy(logits, labels).item())
        right += int((logits.argmax(-1) == labels).sum())
        seen += len(labels)
    return sum(losses) / len(losses), right / seen


def train(
    shape: Shape, options: Options, splits: dict[str, tuple[list[list[int]], list[int]]], pad: int, width: int | None
) -> Outcome:
    """One row, from the first draw to the three accuracies."""
    model = Gpt(shape, options)
    choose_what_trains(model, options)
    sets = {name: Texts(*pair, width if options.padded else None, pad) for name, pair in splits.items()}
    learn = DataLoader(sets["train"], options.batch, shuffle=True, drop_last=True)
    check, test = DataLoader(sets["validation"], options.batch), DataLoader(sets["test"], options.batch)
    torch.manual_seed(options.seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.1)
    outcome, done = Outcome(), 0
    for _ in range(options.epochs):
        total = 0.0
        for number, batch in enumerate(learn, start=1):
            logits, labels = read(model, batch, options.position)
            loss = F.cross_entropy(logits, labels) / options.accumulation
            loss.backward()
            total += loss.item()
            if number % options.accumulation == 0 or number == len(learn):
                optimiser.step()
                optimiser.zero_grad()
                outcome.step_losses.append(total)
                total = 0.0
            if done % options.every == 0:
                pair = [judge(model, loader, options.position, BATCHES)[0] for loader in (learn, check)]
                outcome.interval_losses.append((pair[0], pair[1]))
            done += 1
        pair = [judge(model, loader, options.position, BATCHES)[1] for loader in (learn, check)]
        outcome.epoch_accuracies.append((pair[0], pair[1]))
    for name, loader in (("train", learn), ("validation", check), ("test", test)):
        outcome.final[name] = judge(model, loader, options.position)[1]
    return outcome
