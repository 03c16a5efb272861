"""Validation texts are passed once for the curves' last point and the evaluation, where the weights are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.tiny_families import pad_token
from planned_runs import Cell, made_up_texts, make_classifier, make_spec
from whichtune.measure.cost import Timers
from whichtune.tasks.classification.evaluate import predict_split
from whichtune.tasks.classification.objective import ClassificationObjective
from whichtune.tasks.classification.task import Classification
from whichtune.training.forward import PlainForward
from whichtune.training.trainer import Trainer

CELL = Cell("gpt2", "last_block", "last_nonpad", "dynamic", False)


class Counted(PlainForward):
    """The plain way, which counts the texts of each split that it was asked for."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.texts: Counter[str] = Counter()

    def logits(self, split: str, rows: Sequence[int]) -> Tensor:
        self.texts[split] += len(rows)
        return super().logits(split, rows)


@pytest.mark.parametrize(
    ("changes", "validation"),
    [
        ({}, 14),  # one point at the end of each of two epochs, 7 texts each, and no third pass
        ({"early_stopping": "loss"}, 21),  # the weights of another step may have been put back
        ({"evaluation_batches": 1}, 6 + 6 + 7),  # the points saw one batch of 6 alone
    ],
)
def test_the_last_point_is_the_evaluation(changes: dict[str, Any], validation: int) -> None:
    classifier = make_classifier(CELL)
    encoded, device = made_up_texts(pad_token(classifier.backbone)), torch.device("cpu")
    settings = {"evaluation_interval": "epoch", "evaluation_batches": None, "max_steps": None, **changes}
    spec = make_spec(CELL, "off", **settings)
    forward, timers = Counted(classifier, encoded, device, "float32"), Timers(device)
    training = Trainer(classifier, forward, spec, timers, ClassificationObjective(classifier, forward)).train()
    judged = Classification().evaluate(spec, classifier, forward, training, None, timers)  # type: ignore[arg-type]
    assert forward.texts["validation"] == validation
    again = predict_split(classifier, PlainForward(classifier, encoded, device, "float32"), "validation")
    assert judged.predictions is not None
    own = judged.predictions[judged.predictions["split"] == "validation"]
    assert np.array_equal(own["prediction"], again.argmax(1))
    found = judged.metrics.validation
    assert found is not None
    labels = torch.tensor(encoded.splits["validation"].labels)
    expected = torch.nn.functional.cross_entropy(torch.tensor(again, dtype=torch.float64), labels)
    assert found.loss == pytest.approx(float(expected), abs=1e-12)
