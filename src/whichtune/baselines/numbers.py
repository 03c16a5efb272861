"""Numbers foretold without a language model: the training mean, and ridge regression on TF-IDF.

`logits` (n, 1) of these are the foretold numbers themselves, in the targets' unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.baselines.base import Baseline, BaselineCard, register
from whichtune.baselines.constant import FittedConstant
from whichtune.baselines.tfidf import FittedLinear, TfidfChar, TfidfRow, TfidfWord

if TYPE_CHECKING:
    import numpy as np

PENALTY = 1.0  # scikit-learn's alpha
TASKS = ("regression",)


@register
class Mean(Baseline):
    name = "mean"
    tasks = TASKS
    card = BaselineCard(
        summary="Foretell the mean of the training numbers.",
        reference="the floor that any regression must clear: its R² is 0 on the training split",
    )

    def fit(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> FittedConstant:
        import numpy as np

        return FittedConstant(np.array([labels.mean()]))

    def load(self, folder: Path) -> FittedConstant:
        return FittedConstant.load(folder)


class _Ridge(TfidfRow):
    tasks = TASKS
    kept = FittedLinear

    def fit(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> FittedLinear:
        import numpy as np
        from sklearn.linear_model import Ridge

        vectoriser, features = self.counted(texts)
        model = Ridge(alpha=PENALTY).fit(features, labels)
        return FittedLinear(vectoriser, model.coef_[None], np.array([float(model.intercept_)]), self.fields)


@register
class RidgeChar(_Ridge):
    name = "ridge_char"
    analyser = TfidfChar.analyser
    card = BaselineCard(
        summary="Character 2- to 5-grams within words, sublinear TF-IDF, ridge regression with a penalty of 1.",
        reference="Hoerl and Kennard 1970 (ridge regression) on weighted n-grams",
    )


@register
class RidgeWord(_Ridge):
    name = "ridge_word"
    analyser = TfidfWord.analyser
    card = BaselineCard(
        summary="Words and word pairs, sublinear TF-IDF, ridge regression with a penalty of 1.",
        reference="Hoerl and Kennard 1970 (ridge regression) on weighted n-grams",
    )
