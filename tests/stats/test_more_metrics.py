"""Metrics of the confusion matrix that are told on request, against scikit-learn; a study that names one as its primary
metric is in test_probability_metrics.py."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from whichtune.metrics import METRICS
from whichtune.metrics.confusion import confusion
from whichtune.stats.scores import class_scores

ORACLES = {
    "balanced_accuracy": sk.balanced_accuracy_score,
    "f1_micro": lambda y, p: sk.f1_score(y, p, average="micro"),
    "f1_weighted": lambda y, p: sk.f1_score(y, p, average="weighted"),
    "mcc": sk.matthews_corrcoef,
    "kappa": sk.cohen_kappa_score,
}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("classes", [2, 5])
def test_as_scikit_learn(name: str, classes: int) -> None:
    rng = np.random.default_rng(classes)
    for _ in range(20):
        labels = rng.choice(classes, 60, p=rng.dirichlet(np.ones(classes)))
        said = np.where(rng.random(60) < 0.6, labels, rng.integers(0, classes, 60))
        if len(set(said) - set(labels)):  # scikit-learn warns of these for balanced accuracy
            said = np.where(np.isin(said, labels), said, labels)
        if len(set(labels)) < 2:
            continue
        value = METRICS[name].of_classes(labels, said, classes)
        assert value == pytest.approx(ORACLES[name](labels, said))
        both = np.stack([confusion(labels, said, classes), confusion(labels, labels, classes)])
        assert METRICS[name].of_confusion(both) == pytest.approx([value, 1.0])


@pytest.mark.parametrize("name", ORACLES)
def test_intervals_by_influence_hold_the_true_value(name: str) -> None:
    """The linearised scores' normal interval over drawn test sets, where the truth is known."""
    rng = np.random.default_rng(7)
    cells = np.array([[0.45, 0.05, 0.02], [0.06, 0.22, 0.02], [0.03, 0.03, 0.12]])
    truth = float(METRICS[name].of_confusion((cells * 1e9).astype(np.int64)))
    held, sets, n = 0, 300, 300
    for _ in range(sets):
        drawn = rng.choice(9, n, p=cells.ravel() / cells.sum())
        values = class_scores(METRICS[name], drawn // 3, drawn % 3, 3).values[0]
        half = 1.96 * values.std(ddof=1) / np.sqrt(n)
        held += abs(values.mean() - truth) <= half
    assert 0.92 <= held / sets <= 0.98
