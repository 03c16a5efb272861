"""Sets of labels without a language model: its share in training, or a logistic regression on TF-IDF, for each label.

`logits` (n, L) of these are log-odds of each label.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.baselines.base import Baseline, BaselineCard, register
from whichtune.baselines.constant import FittedConstant
from whichtune.baselines.tfidf import STRENGTH, FittedLinear, TfidfChar, TfidfRow, TfidfWord

if TYPE_CHECKING:
    import numpy as np

TASKS = ("multilabel",)
LEAST = 1e-4  # a share as log-odds: nearer to 0 or 1 none is taken


def _log_odds(shares: np.ndarray) -> np.ndarray:
    import numpy as np
    from scipy.special import logit

    found: np.ndarray = logit(np.clip(shares, LEAST, 1 - LEAST))
    return found


@register
class LabelShares(Baseline):
    name = "label_shares"
    tasks = TASKS
    card = BaselineCard(
        summary="Give every label its share among the training texts as its probability, whatever the text.",
        reference="the floor that any row must clear; by F1 the best without looking at texts is to give every label",
    )

    def fit(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> FittedConstant:
        return FittedConstant(_log_odds(labels.mean(axis=0)))

    def load(self, folder: Path) -> FittedConstant:
        return FittedConstant.load(folder)


class _OneVersusRest(TfidfRow):
    tasks = TASKS
    kept = FittedLinear

    def fit(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> FittedLinear:
        import numpy as np
        from sklearn.linear_model import LogisticRegression

        vectoriser, features = self.counted(texts)
        weight, bias = np.zeros((classes, features.shape[1])), _log_odds(labels.mean(axis=0))
        for label in np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0)):
            model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(features, labels[:, label])
            weight[label], bias[label] = model.coef_[0], model.intercept_[0]
        return FittedLinear(vectoriser, weight, bias, self.fields)


@register
class LabelsChar(_OneVersusRest):
    name = "labels_char"
    analyser = TfidfChar.analyser
    card = BaselineCard(
        summary="Character 2- to 5-grams within words, sublinear TF-IDF, a logistic regression with C = 10 for each "
        "label against the rest.",
        reference="Joachims 1998 (linear classifiers on weighted n-grams), binary relevance",
    )


@register
class LabelsWord(_OneVersusRest):
    name = "labels_word"
    analyser = TfidfWord.analyser
    card = BaselineCard(
        summary="Words and word pairs, sublinear TF-IDF, a logistic regression with C = 10 for each label against the "
        "rest.",
        reference="Joachims 1998 (linear classifiers on weighted n-grams), binary relevance",
    )
