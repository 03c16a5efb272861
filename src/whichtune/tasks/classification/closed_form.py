"""The head fitted in one go, from features of the model as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from whichtune.measure.cost import Timers
from whichtune.methods import METHODS
from whichtune.methods.fitting import Features
from whichtune.study.spec import RunSpec
from whichtune.tasks.classification.evaluate import EVALUATION_BATCH
from whichtune.tasks.classification.weighting import class_weights, loss_settings, notes_of_fit
from whichtune.training.batching import by_length
from whichtune.training.finite import finite_rows
from whichtune.training.trainer import Training

if TYPE_CHECKING:
    from collections.abc import Callable

    from whichtune.models.heads import Classifier
    from whichtune.training.forward import Forward


def solve(
    spec: RunSpec,
    classifier: Classifier,
    forward: Forward,
    timers: Timers,
    learned: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Training:
    """Features of the training and validation splits, then the head by the method's own fit. Time and operations count
    as training. `learned`: what the head learns of numbers (n,); None where texts have classes."""
    splits = forward.encoded.splits
    train, validation = splits["train"], splits["validation"]
    tokens = [len(ids) for ids in train.tokens]
    training = Training(examples=len(train), real_tokens=sum(tokens), epochs=1.0, steps=0)
    method = METHODS[spec.method]
    head, classifier.head = classifier.head, torch.nn.Identity()
    classifier.eval()
    with timers.phase("train"), torch.no_grad():
        for rows in by_length(tokens, EVALUATION_BATCH):
            training.flops += forward.training_flops(rows)
        found = _features(forward, "train")
        reads_validation = method.reads_validation or learned is not None
        seen = _features(forward, "validation") if reads_validation else found[:0]
        classifier.head = head
        labels, seen_labels = train.labels, validation.labels[: len(seen)]
        if learned is None:
            weights = class_weights(loss_settings(spec), labels, forward.encoded.classes)
            counts = None if weights is None else weights[labels]
            data = Features(found, labels, seen, seen_labels, _classes(head), counts)
        else:
            data = Features(found, learned(labels), seen, learned(seen_labels), _classes(head), numbers=True)
        settings = method.Settings(**spec.method_settings)
        training.notes = method.fit(classifier, data, settings, spec.seed or 0)
        if (method.closed_form or method.in_pairs) and learned is None:
            training.notes += notes_of_fit(spec, method.weighs_texts)
    training.epoch_seconds = [timers.seconds["train"]]
    return training


def _classes(head: torch.nn.Module) -> int:
    assert isinstance(head, torch.nn.Linear)
    return head.out_features


def _features(forward: Forward, name: str) -> np.ndarray:
    """What the head reads (n, D) of a split's texts; the head must be out of the way."""
    lengths = [len(ids) for ids in forward.encoded.splits[name].tokens]
    parts = {tuple(rows): forward.logits(name, rows).cpu() for rows in by_length(lengths, EVALUATION_BATCH)}
    found = torch.empty(len(lengths), next(iter(parts.values())).shape[1])
    for rows, features in parts.items():
        found[list(rows)] = features
    return finite_rows(found.numpy(), name, "features")
