"""The head in closed form, from features of frozen blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from whichtune.measure.cost import Timers
from whichtune.tasks.classification.evaluate import EVALUATION_BATCH
from whichtune.tasks.classification.ignored import for_all_classes
from whichtune.training.batching import by_length
from whichtune.training.finite import finite_rows
from whichtune.training.trainer import Training

if TYPE_CHECKING:
    from whichtune.models.heads import Classifier
    from whichtune.training.forward import Forward


def solve(classifier: Classifier, forward: Forward, timers: Timers) -> Training:
    """Features of the training split, then the head in closed form. Time and operations count as training."""
    split = forward.encoded.splits["train"]
    tokens = [len(ids) for ids in split.tokens]
    training = Training(examples=len(split), real_tokens=sum(tokens), epochs=1.0, steps=0)
    head = cast("torch.nn.Linear", classifier.head)
    classifier.head = torch.nn.Identity()
    classifier.eval()
    features = torch.empty(len(split), head.in_features)
    with timers.phase("train"), torch.no_grad():
        for rows in by_length(tokens, EVALUATION_BATCH):
            features[rows] = forward.logits("train", rows).cpu()
            training.flops += forward.training_flops(rows)
        classifier.head = head
        fit_closed_form(classifier, finite_rows(features.numpy(), "train", "features"), split.labels)
    training.epoch_seconds = [timers.seconds["train"]]
    return training


def fit_closed_form(classifier: Classifier, features: np.ndarray, labels: np.ndarray) -> None:
    """Solve for the head: linear discriminant analysis with Ledoit-Wolf shrinkage of the covariance.

    `features` (n, D), `labels` (n,). The discriminant is linear, so it is written into the linear head;
    with two classes the second logit is the discriminant and the first is zero. A class that no text has is never said.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    model.fit(features.astype(np.float64), labels)
    head = cast("torch.nn.Linear", classifier.head)
    weight, bias = for_all_classes(model.coef_, model.intercept_, model.classes_.tolist(), head.out_features)
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(weight))
        head.bias.copy_(torch.as_tensor(bias))
