"""Training on pairs of texts: the loss of their cosine similarity, and the rows of a run that are pairs.

Shapes: P pairs, D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from whichtune.methods import METHODS
from whichtune.methods.contrastive import ContrastiveSettings, drawn_pairs
from whichtune.tasks.classification.evaluate import EVALUATION_BATCH
from whichtune.training.batching import by_length
from whichtune.training.finite import finite_rows

if TYPE_CHECKING:
    from whichtune.data.encoding import Encoded
    from whichtune.models.heads import Classifier
    from whichtune.records.record import CurvePoint
    from whichtune.study.spec import RunSpec
    from whichtune.training.forward import Forward


@contextmanager
def without_head(classifier: Classifier) -> Iterator[None]:
    """Within, the classifier gives what its head reads."""
    head, classifier.head = classifier.head, nn.Identity()
    try:
        yield
    finally:
        classifier.head = head


def pairs_of(spec: RunSpec, encoded: Encoded) -> np.ndarray:
    """The training pairs (P, 3) of a run: rows, and whether they have one label."""
    own = METHODS[spec.method].Settings(**spec.method_settings)
    assert isinstance(own, ContrastiveSettings)
    labels = encoded.splits["train"].labels
    return drawn_pairs(labels, own.of_each_kind(len(labels)), spec.seed or 0)


@dataclass
class PairForward:
    """A run's forward pass over pairs: row i of `train` is pair i. A text that stands in several pairs of a batch is
    computed once."""

    classifier: Classifier
    forward: Forward
    pairs: np.ndarray  # (P, 3)

    def __post_init__(self) -> None:
        self.device = self.forward.device
        encoded = self.forward.encoded
        train = encoded.splits["train"]
        joined = replace(
            train,
            ids=[f"{train.ids[a]} {train.ids[b]}" for a, b, _ in self.pairs],
            tokens=[[*train.tokens[a], *train.tokens[b]] for a, b, _ in self.pairs],
            labels=self.pairs[:, 2],
            duplicate_of_train=np.zeros(len(self.pairs), dtype=bool),
        )
        # Pairs are not padded to one another: what padding there is lies within the texts' own batch.
        self.encoded = replace(encoded, splits={**encoded.splits, "train": joined}, padding="none")

    def texts_of(self, rows: Sequence[int]) -> np.ndarray:
        """The training texts of these pairs, each once."""
        found: np.ndarray = np.unique(self.pairs[list(rows), :2])
        return found

    def training_flops(self, rows: Sequence[int]) -> int:
        with without_head(self.classifier):
            return self.forward.training_flops(self.texts_of(rows).tolist())

    def features(self, split: str, texts: Sequence[int]) -> Tensor:
        """(n, D) in float32."""
        with without_head(self.classifier):
            return self.forward.logits(split, texts)


class ContrastiveObjective:
    """The squared distance of each pair's cosine similarity from 1, or from 0 where labels differ."""

    def __init__(self, spec: RunSpec, classifier: Classifier, forward: Forward) -> None:
        self.classifier = classifier
        self.steps_on = PairForward(classifier, forward, pairs_of(spec, forward.encoded))
        self.validation = drawn_pairs(forward.encoded.splits["validation"].labels, 1, spec.seed or 0)

    def weight(self, rows: Sequence[int]) -> float:
        return len(rows)

    def loss(self, rows: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        texts = self.steps_on.texts_of(rows)
        features = self.steps_on.features("train", texts.tolist())
        return squared_distances(features, texts, self.steps_on.pairs[list(rows)]).sum(), None

    def point(self, rows: range) -> CurvePoint:
        """The mean loss of the pairs of these validation texts; none where they have no pair."""
        pairs = self.validation[(self.validation[:, :2] < len(rows)).all(axis=1)]
        if not len(pairs):
            return {"validation_loss": None}
        texts = np.unique(pairs[:, :2])
        features = torch.from_numpy(self._validation_features(texts.tolist()))
        return {"validation_loss": float(squared_distances(features, texts, pairs).mean())}

    def _validation_features(self, texts: list[int]) -> np.ndarray:
        tokens = self.steps_on.encoded.splits["validation"].tokens
        training = self.classifier.training
        self.classifier.eval()
        parts: dict[int, np.ndarray] = {}
        with torch.no_grad():
            for bucket in by_length([len(tokens[text]) for text in texts], EVALUATION_BATCH):
                chosen = [texts[place] for place in bucket]
                features = self.steps_on.features("validation", chosen).cpu().numpy()
                parts |= dict(zip(chosen, features, strict=True))
        self.classifier.train(training)
        return finite_rows(np.stack([parts[text] for text in texts]), "validation", "features")


def squared_distances(features: Tensor, texts: np.ndarray, pairs: np.ndarray) -> Tensor:
    """(P,) of pairs (P, 3) from features (n, D) of `texts` (n,), which are in order."""
    units = nn.functional.normalize(features.float(), dim=1)
    a, b = (torch.from_numpy(np.searchsorted(texts, pairs[:, side])).to(units.device) for side in (0, 1))
    wanted = torch.from_numpy(pairs[:, 2]).to(units.device, units.dtype)
    return ((units[a] * units[b]).sum(1) - wanted) ** 2
