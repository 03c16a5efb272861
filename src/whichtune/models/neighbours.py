"""A head that asks the nearest training texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Similarities this close are equal: texts that stand twice in the data vote together, however features are rounded.
SAME = 1e-5


class NeighbourHead(nn.Module):
    """Logits (B, C) of features (B, D): the logarithm of each class's share of votes among the k training texts of
    the highest cosine similarity, with one vote more that all classes share, so that none is impossible.

    What it is made of are parameters, so that they are counted and stored; nothing has a gradient to follow.
    """

    def __init__(self, texts: int, width: int, classes: int) -> None:
        super().__init__()
        self.classes, self.in_features, self.out_features = classes, width, classes
        self.keys = nn.Parameter(torch.zeros(texts, width))  # of length 1 each
        self.labels = nn.Parameter(torch.zeros(texts))
        self.k = nn.Parameter(torch.ones(1))

    def fill(self, features: Tensor, labels: Tensor) -> None:
        """Take the training texts' features (N, D) and labels (N,)."""
        with torch.no_grad():
            self.keys.copy_(nn.functional.normalize(features.float(), dim=1))
            self.labels.copy_(labels)

    def use(self, k: int) -> None:
        """Let so many neighbours vote."""
        with torch.no_grad():
            self.k.fill_(float(k))

    def forward(self, features: Tensor) -> Tensor:
        likeness = nn.functional.normalize(features.float(), dim=1) @ self.keys.t().float()
        k = min(int(self.k), len(self.labels))
        least = likeness.topk(k, dim=1).values[:, -1:] - SAME
        voting = (likeness >= least).float()
        votes = voting @ nn.functional.one_hot(self.labels.long(), self.classes).float()
        return ((votes + 1 / self.classes) / (voting.sum(1, keepdim=True) + 1)).log()
