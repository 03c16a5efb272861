"""What a metric must keep. Cases are the metrics themselves; the folder is not used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from whichtune.metrics import Metric
from whichtune.metrics.terms import Classified, Terms

CLASSES, EXAMPLES = 3, 240
TEXTS = ["the cat sat on the mat", "a dog barked all night", "rain fell", "we met at noon by the old gate"]


def has_names(metric: Metric, folder: Path) -> None:
    """A key that can stand in JSON and on a command line, and a title for people."""
    assert metric.name.isidentifier(), f"'{metric.name}' is no identifier"
    assert metric.title.strip(), f"{metric.name} has no title"
    assert metric.splits, f"{metric.name} has a column in no table"


def is_best_where_all_is_right(metric: Metric, folder: Path) -> None:
    """The right answers give the best figure that there is, and worse answers a worse one."""
    if metric.answers == "classes":
        labels, wrong = _answers(0.0), _answers(0.5)
        best, worse = _of_classes(metric, *labels), _of_classes(metric, *wrong)
    elif metric.of_texts is not None:
        best = float(metric.of_texts(TEXTS, TEXTS).mean())
        worse = float(metric.of_texts(TEXTS[::-1], TEXTS).mean())
    elif metric.of_numbers is not None:
        found, true = _numbers()
        best, worse = (float(metric.of_numbers(numbers, true).mean()) for numbers in (true, found))
    elif metric.of_labels is not None:
        found, true = _label_sets()
        best, worse = (float(metric.of_labels(p >= 0.5, p, true).mean()) for p in (true.astype(np.float64), found))
    elif metric.of_tags is not None:
        counts, words = _tagged()
        every = np.repeat(counts[..., 2:], 3, axis=-1), np.repeat(words[:, 1:], 2, axis=1)
        best, worse = (float(metric.of_tags(*given).mean()) for given in (every, (counts, words)))
    else:
        return
    assert (best > worse) == metric.higher_is_better, f"{metric.name}: {best} with all right, {worse} with half wrong"


def does_not_depend_on_the_order(metric: Metric, folder: Path) -> None:
    """The same examples in another order give the same figure."""
    if metric.answers == "classes":
        labels, predictions = _answers(0.3)
        order = np.random.default_rng(1).permutation(EXAMPLES)
        whole, again = (
            _of_classes(metric, labels[rows], predictions[rows], rows) for rows in (np.arange(EXAMPLES), order)
        )
        assert abs(whole - again) < 1e-12, f"{metric.name} depends on the order of the examples"
    elif metric.of_texts is not None:
        straight = metric.of_texts(TEXTS, TEXTS[::-1])
        turned = metric.of_texts(TEXTS[::-1], TEXTS)
        assert np.allclose(straight, turned[::-1]), f"{metric.name} depends on the order of the texts"
    elif metric.of_numbers is not None:
        found, true = _numbers()
        order = np.random.default_rng(1).permutation(EXAMPLES)
        moved, still = metric.of_numbers(found[order], true[order]), metric.of_numbers(found, true)[order]
        assert np.allclose(moved, still), f"{metric.name} depends on the order of the numbers"
    elif metric.of_labels is not None:
        found, true = _label_sets()
        order = np.random.default_rng(1).permutation(EXAMPLES)
        still = metric.of_labels(found >= 0.5, found, true)[order]
        moved = metric.of_labels(found[order] >= 0.5, found[order], true[order])
        assert np.allclose(moved, still), f"{metric.name} depends on the order of the texts"
    elif metric.of_tags is not None:
        counts, words = _tagged()
        order = np.random.default_rng(1).permutation(EXAMPLES)
        moved, still = metric.of_tags(counts[order], words[order]), metric.of_tags(counts, words)[order]
        assert np.allclose(moved, still), f"{metric.name} depends on the order of the sentences"


def is_told_of_many_at_once(metric: Metric, folder: Path) -> None:
    """Counts `(R, C, C)` give `(R,)`: intervals resample thousands of confusion matrices together."""
    if metric.of_confusion is None:
        return
    counts = np.random.default_rng(2).integers(1, 20, (5, CLASSES, CLASSES))
    together = np.asarray(metric.of_confusion(counts))
    assert together.shape == (5,), f"{metric.name} gives shape {together.shape} of five confusion matrices"
    alone = [float(metric.of_confusion(each)) for each in counts]
    assert np.allclose(together, alone), f"{metric.name} of many confusion matrices is not that of each"


def has_an_influence_that_sums_to_nothing(metric: Metric, folder: Path) -> None:
    """What each example adds to the figure, to first order, weighs out; and it foretells what leaving one out does."""
    if metric.of_confusion is None:
        return
    counts: Any = np.random.default_rng(3).integers(5, 60, (CLASSES, CLASSES))
    influence = metric.influence_of(counts)
    assert abs(float((influence * counts).sum())) < 1e-6 * float(counts.sum()), (
        f"{metric.name}: influences do not cancel"
    )
    n, whole = counts.sum(), float(metric.of_confusion(counts))
    for row, column in np.ndindex(CLASSES, CLASSES):
        fewer = counts.copy()
        fewer[row, column] -= 1
        left_out = (n - 1) * (whole - float(metric.of_confusion(fewer)))
        gap = abs(left_out - float(influence[row, column]))
        assert gap < 0.1 + 0.1 * abs(left_out), (
            f"{metric.name}: the influence of cell {row}, {column} is off by {gap:.2g}"
        )


def _of_classes(metric: Metric, labels: np.ndarray, predictions: np.ndarray, rows: np.ndarray | None = None) -> float:
    """The metric of answers, by the confusion matrix or text by text; `rows` are the examples that they are to."""
    if metric.of_each is None:
        return metric.of_classes(labels, predictions, CLASSES)
    noise = np.random.default_rng(6).normal(size=(EXAMPLES, CLASSES))[slice(None) if rows is None else rows]
    logits = 6 * np.eye(CLASSES)[predictions] + noise  # the answer is nearly always the likeliest class
    costs = tuple(tuple(float(abs(i - j)) for j in range(CLASSES)) for i in range(CLASSES))
    given = Classified(labels, predictions, logits, CLASSES)
    return float(metric.of_each(given, Terms(costs=costs)).mean())


def _numbers() -> tuple[np.ndarray, np.ndarray]:
    """Numbers, and what is foretold of them."""
    random = np.random.default_rng(4)
    true = random.normal(size=EXAMPLES)
    return true + random.normal(size=EXAMPLES), true


def _label_sets() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of labels, and which are true."""
    random = np.random.default_rng(5)
    true = random.random((EXAMPLES, CLASSES)) < (0.5, 0.3, 0.1)
    return np.clip(0.3 + 0.4 * true + random.normal(0, 0.25, true.shape), 0, 1), true


def _tagged() -> tuple[np.ndarray, np.ndarray]:
    """What sentences count of entities, rightly found, found and true, and of words, rightly tagged and all."""
    random = np.random.default_rng(7)
    true, wrong = random.poisson((1.0, 0.5, 0.2), (2, EXAMPLES, CLASSES))
    right, words = random.binomial(true, 0.7), random.integers(4, 20, EXAMPLES)
    return np.stack([right, right + wrong, true], axis=-1), np.stack([random.binomial(words, 0.8), words], axis=-1)


def _answers(wrong: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(EXAMPLES) % CLASSES
    other = (labels + 1 + random.integers(0, CLASSES - 1, EXAMPLES)) % CLASSES
    return labels, np.where(random.random(EXAMPLES) < wrong, other, labels)


METRIC_CHECKS: dict[str, Callable[[Metric, Path], None]] = {
    check.__name__: check
    for check in (
        has_names,
        is_best_where_all_is_right,
        does_not_depend_on_the_order,
        is_told_of_many_at_once,
        has_an_influence_that_sums_to_nothing,
    )
}
