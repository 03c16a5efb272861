"""How the loss of texts is computed, and how many operations that takes.

Training and evaluation ask for "the loss of these rows of that split". `PlainTextForward` computes every block for
every row each time: the plain way. Logits exist only for tokens with a loss, and only a chunk of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from whichtune.data.pair_encoding import EncodedPairs
from whichtune.models.chunked_loss import chunked_cross_entropy, chunked_token_losses
from whichtune.models.language import LanguageModel
from whichtune.records.record import CurvePoint
from whichtune.tasks.by_tokens import Operations, states_sum
from whichtune.training.batching import by_length
from whichtune.training.finite import finite_rows
from whichtune.training.forward import autocast

EVALUATION_BATCH = 16


class TextForward(Protocol):
    """What training and evaluation need."""

    model: LanguageModel
    encoded: EncodedPairs
    device: torch.device
    precision: str

    def states(self, split: str, rows: Sequence[int]) -> Tensor:
        """The states (N, D) that the head reads for the rows' tokens with a loss, in the order of `batch.labels`."""

    def training_flops(self, rows: Sequence[int]) -> int:
        """Operations of the forward and backward pass over these training rows."""


class PlainTextForward:
    """Every block for every row, right-padded to the longest of them."""

    def __init__(self, model: LanguageModel, encoded: EncodedPairs, device: torch.device, precision: str) -> None:
        self.model, self.encoded, self.device, self.precision = model, encoded, device, precision
        self.operations = operations_of(model, encoded, device, self._of_length)

    def states(self, split: str, rows: Sequence[int]) -> Tensor:
        return self.model(self.encoded.batch(split, rows).to(self.device))

    def training_flops(self, rows: Sequence[int]) -> int:
        return self.operations(rows)

    def _of_length(self, length: int) -> Tensor:
        """A number that depends on all states of one made-up text, for counting."""
        with autocast(self.precision, self.device):
            return states_sum(self.model, 1, length, self.device)


def operations_of(
    model: LanguageModel, encoded: EncodedPairs, device: torch.device, of_length: Callable[[int], Tensor]
) -> Operations:
    """Operations of training steps, a token with a loss each."""
    with_loss = partial(encoded.tokens_with_loss, "train")
    return Operations(model, encoded, device, with_loss, of_length, partial(summed_loss, model))


def output_layer(model: LanguageModel) -> nn.Linear:
    """The model's own head, (V, D), whatever stands in its place."""
    return cast("nn.Linear", model.head)


def summed_loss(model: LanguageModel, states: Tensor, labels: Tensor) -> Tensor:
    """The summed cross-entropy, a scalar with a graph, of states (N, D) against labels (N,)."""
    head = output_layer(model)
    return chunked_cross_entropy(states, head.weight, labels, head.bias)


def row_losses(forward: TextForward, split: str, rows: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Each row's summed loss in nats (n,) float64 and its tokens with a loss (n,), without gradients, in the order of
    `rows`; computed in batches of similar length. Raises NotFiniteError where some are no numbers."""
    encoded, model = forward.encoded, forward.model
    tokens = encoded.splits[split].tokens
    rows = range(len(tokens)) if rows is None else rows
    losses, counts = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    head = output_layer(model)
    training = model.training
    model.eval()
    with torch.no_grad():
        for bucket in by_length([len(tokens[row]) for row in rows], EVALUATION_BATCH):
            batch = encoded.batch(split, [rows[place] for place in bucket])
            with autocast(forward.precision, forward.device):
                states = forward.states(split, [rows[place] for place in bucket])
                each = chunked_token_losses(states, head.weight, batch.labels.to(forward.device), head.bias)
            owner = batch.rows.numpy()
            losses[bucket] = np.bincount(owner, weights=each.double().cpu().numpy(), minlength=len(bucket))
            counts[bucket] = np.bincount(owner, minlength=len(bucket))
    model.train(training)
    return finite_rows(losses, split, "losses"), counts


class TextObjective:
    """Cross-entropy of the tokens that have a loss, a token each."""

    def __init__(self, forward: TextForward) -> None:
        self.forward = forward

    def weight(self, rows: Sequence[int]) -> int:
        return sum(self.forward.encoded.tokens_with_loss("train", row) for row in rows)

    def loss(self, rows: Sequence[int]) -> tuple[Tensor, None]:
        forward = self.forward
        labels = forward.encoded.batch("train", rows).labels.to(forward.device)
        with autocast(forward.precision, forward.device):
            return summed_loss(forward.model, forward.states("train", rows), labels), None

    def point(self, rows: range) -> CurvePoint:
        losses, counts = row_losses(self.forward, "validation", rows)
        mean = float(losses.sum() / counts.sum())
        return {"validation_loss": mean, "validation_perplexity": float(np.exp(mean))}
