"""How the tags of words are learnt: the states at which words are read, the loss of their tags, and its operations.

Training and evaluation ask for "the states of the words of these rows of that split". `PlainTagForward` computes every
block for every row each time: the plain way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from whichtune.data.tag_encoding import NOWHERE, EncodedSentences
from whichtune.models.tagger import Tagger
from whichtune.tasks.by_tokens import Operations, states_sum
from whichtune.tasks.tagging.evaluate import measure, validation_point
from whichtune.training.batching import by_length
from whichtune.training.finite import finite_rows
from whichtune.training.forward import autocast

if TYPE_CHECKING:
    from whichtune.records.record import CurvePoint

EVALUATION_BATCH = 32


class TagForward(Protocol):
    """What training and evaluation need."""

    model: Tagger
    encoded: EncodedSentences
    device: torch.device
    precision: str

    def states(self, split: str, rows: Sequence[int]) -> Tensor:
        """The states (W, D) at which the rows' words are read, of those that the context holds, row by row."""

    def training_flops(self, rows: Sequence[int]) -> int:
        """Operations of the forward and backward pass over these training rows."""


class PlainTagForward:
    """Every block for every row, padded as the spec says."""

    def __init__(self, model: Tagger, encoded: EncodedSentences, device: torch.device, precision: str) -> None:
        self.model, self.encoded, self.device, self.precision = model, encoded, device, precision
        self.operations = operations_of(model, encoded, device, self._of_length)

    def states(self, split: str, rows: Sequence[int]) -> Tensor:
        if self.encoded.padding == "none":
            return torch.cat([self._of_rows(split, [row]) for row in rows])
        return self._of_rows(split, rows)

    def _of_rows(self, split: str, rows: Sequence[int]) -> Tensor:
        with autocast(self.precision, self.device):
            states = self.model.hidden_states(self.encoded.batch(split, rows).to(self.device))
        return read_states(states, self.encoded, split, rows)

    def training_flops(self, rows: Sequence[int]) -> int:
        return self.operations(rows)

    def _of_length(self, length: int) -> Tensor:
        with autocast(self.precision, self.device):
            return states_sum(self.model, 1, length, self.device)


def read_states(states: Tensor, encoded: EncodedSentences, split: str, rows: Sequence[int]) -> Tensor:
    """Of the states (B, T, D) of rows those (W, D) at which their words are read."""
    part, width = encoded.splits[split], states.shape[1]
    at = np.concatenate([number * width + part.read(row) for number, row in enumerate(rows)])
    return states.flatten(0, 1)[torch.as_tensor(at, device=states.device)]


def operations_of(
    model: Tagger, encoded: EncodedSentences, device: torch.device, of_length: Callable[[int], Tensor]
) -> Operations:
    """Operations of training steps, a word each."""
    train = encoded.splits["train"]

    def of_word(states: Tensor, tag: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model.head(states).float(), tag)

    return Operations(model, encoded, device, lambda row: len(train.read(row)), of_length, of_word)


def logits_of(forward: TagForward, split: str, rows: Sequence[int]) -> Tensor:
    """Logits (W, C) in float32 of the rows' words that the context holds, with a graph when gradients are on."""
    with autocast(forward.precision, forward.device):
        return forward.model.head(forward.states(split, rows)).float()


def predict_split(forward: TagForward, split: str, rows: Sequence[int] | None = None) -> list[np.ndarray]:
    """Logits (W, C) float32 of each row's words, NaN for those that the context does not hold; computed in batches of
    similar length without gradients, in the order of `rows`. Raises NotFiniteError where others are no numbers."""
    part, model = forward.encoded.splits[split], forward.model
    rows = range(len(part)) if rows is None else rows
    training = model.training
    model.eval()
    found: dict[int, np.ndarray] = {}
    with torch.no_grad():
        for bucket in by_length([len(part.tokens[row]) for row in rows], EVALUATION_BATCH):
            chosen = [rows[place] for place in bucket]
            logits = finite_rows(logits_of(forward, split, chosen).cpu().numpy(), split)
            ends = np.cumsum([len(part.read(row)) for row in chosen])
            for place, row, own in zip(bucket, chosen, np.split(logits, ends[:-1]), strict=True):
                found[place] = np.full((len(part.places[row]), logits.shape[1]), np.nan, dtype=np.float32)
                found[place][part.places[row] != NOWHERE] = own
    model.train(training)
    return [found[place] for place in range(len(rows))]


class TaggingObjective:
    """Cross-entropy of the tags, a word each."""

    def __init__(self, forward: TagForward) -> None:
        self.forward = forward
        train = forward.encoded.splits["train"]
        self.tags = [torch.as_tensor(train.known_tags(row), device=forward.device) for row in range(len(train))]

    def weight(self, rows: Sequence[int]) -> int:
        return sum(len(self.tags[row]) for row in rows)

    def loss(self, rows: Sequence[int]) -> tuple[Tensor, None]:
        tags = torch.cat([self.tags[row] for row in rows])
        return nn.functional.cross_entropy(logits_of(self.forward, "train", rows), tags, reduction="sum"), None

    def point(self, rows: range) -> CurvePoint:
        part = self.forward.encoded.splits["validation"]
        return validation_point(measure(predict_split(self.forward, "validation", rows), part.tags[: len(rows)]))
