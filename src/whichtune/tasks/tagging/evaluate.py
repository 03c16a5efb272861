"""Figures of tagged words, from logits of each word. NaN stands for a word that the context does not hold: it is tagged
`O`, and has no loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from whichtune.metrics import metrics_of
from whichtune.metrics.entities import FOUND, RIGHT, TRUE, counted
from whichtune.records.record import CurvePoint, MetricsBySplit, TagMetrics
from whichtune.tasks.base import Judged

if TYPE_CHECKING:
    import pandas as pd

Logits = Sequence[np.ndarray]  # (W, C) of each sentence


class AnySentences(Protocol):
    """What tags are judged against."""

    @property
    def ids(self) -> list[str]: ...

    @property
    def tags(self) -> list[np.ndarray]: ...

    @property
    def duplicate_of_train(self) -> np.ndarray: ...


def tags_of(logits: np.ndarray) -> np.ndarray:
    """The tags (W,) of a sentence's words, from their logits (W, C)."""
    return np.where(np.isnan(logits).any(axis=1), 0, np.nan_to_num(logits).argmax(axis=1)).astype(np.int64)


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """How sure those tags are (W,) float32; NaN where there is no logit."""
    return np.exp(_log_shares(logits)).max(axis=1, initial=-np.inf).astype(np.float32)


def losses_of(logits: Logits, tags: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Each sentence's cross-entropy in nats, summed over its words with logits (n,), and how many these are (n,)."""
    each = [-_log_shares(own)[np.arange(len(true)), true] for own, true in zip(logits, tags, strict=True)]
    return np.array([np.nansum(loss) for loss in each]), np.array([int(np.isfinite(loss).sum()) for loss in each])


def _log_shares(logits: np.ndarray) -> np.ndarray:
    from scipy.special import log_softmax

    found: np.ndarray = log_softmax(logits.astype(np.float64), axis=1)
    return found


def measure(
    logits: Logits,
    tags: Sequence[np.ndarray],
    duplicate_of_train: np.ndarray | None = None,
    truncated: int = 0,
) -> TagMetrics:
    """Every metric of tagged words, from logits (W, C) and tags (W,) of each sentence."""
    types = logits[0].shape[1] // 2
    counts, words = counted([tags_of(own) for own in logits], list(tags), types)
    losses, known = losses_of(logits, tags)
    by_type = counts.sum(axis=0)
    right, found, true = (by_type[:, column] for column in (RIGHT, FOUND, TRUE))
    metrics = [(metric.name, metric.of_tags) for metric in metrics_of("tags") if metric.of_tags is not None]
    return TagMetrics(
        **{name: float(of(counts, words).mean()) for name, of in metrics},
        loss=float(losses.sum() / max(1, known.sum())),
        n=len(tags),
        words=int(words[:, 1].sum()),
        entities=int(true.sum()),
        type_counts=np.stack([right, found - right, true - right], axis=1).tolist(),
        words_cut=int(words[:, 1].sum() - known.sum()),
        truncated=truncated,
        duplicates_of_train=0 if duplicate_of_train is None else int(duplicate_of_train.sum()),
    )


def validation_point(metrics: TagMetrics) -> CurvePoint:
    """What a point of the curves says of the validation split: the loss, and every metric of tagged words."""
    scores = {f"validation_{metric.name}": metrics.value(metric.name) for metric in metrics_of("tags")}
    return {"validation_loss": metrics.loss, **scores}


def figures_of(logits: Mapping[str, Logits], splits: Mapping[str, AnySentences]) -> Judged:
    """Metrics and prediction rows of every split that logits are given for."""
    import pandas as pd

    metrics, tables = {}, []
    for name, found in logits.items():
        part = splits[name]
        metrics[name] = measure(found, part.tags, part.duplicate_of_train, getattr(part, "truncated", 0))
        tables.append(_table(name, part, found))
    return Judged(MetricsBySplit(**metrics), pd.concat(tables, ignore_index=True))


def _table(split: str, part: AnySentences, logits: Logits) -> pd.DataFrame:
    """Rows of predictions.parquet: true and predicted tags by their numbers, and how sure each is. `loss` is summed
    over the sentence's `words` that have one."""
    import pandas as pd

    losses, words = losses_of(logits, part.tags)
    return pd.DataFrame(
        {
            "split": split,
            "example_id": part.ids,
            "target": [tags.tolist() for tags in part.tags],
            "prediction": [tags_of(own).tolist() for own in logits],
            "probability": [probabilities_of(own) for own in logits],
            "loss": losses,
            "words": words,
            "duplicate_of_train": part.duplicate_of_train,
        }
    )
