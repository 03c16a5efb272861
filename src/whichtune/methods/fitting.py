"""Heads that are fitted on frozen features: discriminant analysis, logistic and ridge regression, neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from whichtune.models.adaptable import Adaptable

ABSENT_LOGIT = -1e4  # of a class that no training text has, where a model is fitted and not trained
STRENGTHS = tuple(10.0**power for power in range(-4, 5))  # scikit-learn's C, on standardised features
# of ridge regression on standardised features: lambda, which times the training texts is scikit-learn's alpha
PENALTIES = tuple(10.0**power for power in range(4, -5, -1))
CANDIDATES = (1, 3, 5, 9, 15, 25, 51, 101)
MOST_ITERATIONS = 2000
# Spread of a feature, as a share of its size or of the others' spread, that is noise of float32. MiniLM has features of
# 1e-33: brought to a spread of 1 they get weights of 1e27, beside which nothing else can train.
DEAD = 1e-6


@dataclass(frozen=True)
class Features:
    """What a head is fitted on: features (n, D) and labels (n,) of training and validation texts, of `classes` in
    all; where these are `numbers`, they are in standard deviations from their mean. `weights`: how much each training
    text counts, (n,) or None."""

    train: np.ndarray
    labels: np.ndarray
    validation: np.ndarray
    validation_labels: np.ndarray
    classes: int
    weights: np.ndarray | None = None
    numbers: bool = False


def discriminant(model: Adaptable, data: Features) -> list[str]:
    """Linear discriminant analysis with Ledoit-Wolf shrinkage of the covariance, written into the linear head.

    With two classes the second logit is the discriminant and the first is zero. A class that no text has is never said.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    fitted.fit(data.train.astype(np.float64), data.labels)
    _write(model, for_all_classes(fitted.coef_, fitted.intercept_, fitted.classes_.tolist(), data.classes))
    return []


def logistic(model: Adaptable, data: Features) -> list[str]:
    """Logistic regression with an L2 penalty on standardised features, written into the linear head. Of the strengths
    tried the one with the lowest validation loss is taken, of equal ones the strongest penalty."""
    from sklearn.linear_model import LogisticRegression

    centre, spread = _centre_and_spread(data.train)
    train = (data.train - centre) / spread
    best: tuple[float, float, np.ndarray, np.ndarray] | None = None
    for strength in STRENGTHS:
        fitted = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS).fit(
            train, data.labels, sample_weight=data.weights
        )
        weight, bias = for_all_classes(fitted.coef_, fitted.intercept_, fitted.classes_.tolist(), data.classes)
        weight, bias = weight / spread, bias - (weight / spread) @ centre
        loss = _loss(data.validation @ weight.T + bias, data.validation_labels)
        if best is None or loss < best[0]:
            best = (loss, strength, weight, bias)
    assert best is not None
    _, strength, weight, bias = best
    _write(model, (weight, bias))
    edge = " It is an end of that range." if strength in (STRENGTHS[0], STRENGTHS[-1]) else ""
    return [
        f"Of strengths C from {STRENGTHS[0]:g} to {STRENGTHS[-1]:g}, {strength:g} had the lowest validation loss.{edge}"
    ]


def ridge(model: Adaptable, data: Features) -> list[str]:
    """Ridge regression of numbers on standardised features, written into the linear head. Of the penalties tried the
    one with the lowest squared error on validation is taken, of equal ones the strongest.

    Source: Hoerl and Kennard 1970, Ridge regression: biased estimation for nonorthogonal problems.
    """
    from sklearn.linear_model import Ridge

    centre, spread = _centre_and_spread(data.train)
    train = (data.train - centre) / spread
    best: tuple[float, float, np.ndarray, float] | None = None
    for penalty in PENALTIES:
        fitted = Ridge(alpha=penalty * len(train)).fit(train, data.labels)
        weight = fitted.coef_ / spread
        bias = float(fitted.intercept_ - weight @ centre)
        loss = float(((data.validation @ weight + bias - data.validation_labels) ** 2).mean())
        if best is None or loss < best[0]:
            best = (loss, penalty, weight, bias)
    assert best is not None
    _, penalty, weight, bias = best
    _write(model, (weight[None], np.array([bias])))
    edge = " It is an end of that range." if penalty in (PENALTIES[0], PENALTIES[-1]) else ""
    return [
        f"Of ridge penalties from {PENALTIES[-1]:g} to {PENALTIES[0]:g} a training text, {penalty:g} had the lowest "
        f"validation loss.{edge}"
    ]


def _centre_and_spread(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By which features (n, D) are standardised, float64 (D,) each; the spread of those that never vary is 1."""
    centre, spread = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    dead = spread <= DEAD * np.maximum(np.abs(centre), np.sqrt((spread**2).mean()))
    return centre, np.where(dead, 1.0, spread)


def neighbours(model: Adaptable, data: Features, k: int | None) -> list[str]:
    """Put the training texts' features into the place of the head; k is given or has the lowest validation loss."""
    import torch

    from whichtune.models.neighbours import NeighbourHead

    head = NeighbourHead(len(data.train), data.train.shape[1], data.classes)
    head.fill(torch.as_tensor(data.train), torch.as_tensor(data.labels))
    model.head = head.to(next(model.backbone.parameters()).device)
    known = [each for each in CANDIDATES if each <= len(data.train)]
    if k is not None:
        head.use(min(k, len(data.train)))
        return []
    losses = []
    validation = torch.as_tensor(data.validation)
    for each in known:
        head.use(each)
        with torch.no_grad():
            losses.append(_loss(head(validation.to(head.keys.device)).cpu().numpy(), data.validation_labels))
    chosen = known[int(np.argmin(losses))]
    head.use(chosen)
    return [f"Of {known[0]} to {known[-1]} neighbours, {chosen} had the lowest validation loss."]


def _loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy in nats."""
    from scipy.special import log_softmax

    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def for_all_classes(
    weight: np.ndarray, bias: np.ndarray, fitted: Sequence[int], classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """A linear model's `weight (C, D)` and `bias (C,)` from those of the classes that it was fitted on: one row of the
    second against the first where there are two."""
    if len(weight) == 1:
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    every, offsets = np.zeros((classes, weight.shape[1])), np.full(classes, ABSENT_LOGIT)
    every[list(fitted)], offsets[list(fitted)] = weight, bias
    return every, offsets


def _write(model: Adaptable, linear: tuple[np.ndarray, np.ndarray]) -> None:
    import torch

    head = cast("torch.nn.Linear", model.head)
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(linear[0]))
        head.bias.copy_(torch.as_tensor(linear[1]))
