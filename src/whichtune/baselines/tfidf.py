"""TF-IDF of characters or words with logistic regression: seconds on a CPU, and hard to beat on short texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypedDict

from whichtune.baselines.base import Baseline, BaselineCard, Fitted, register
from whichtune.baselines.sides import cells_of, features_of, width_of
from whichtune.errors import StoreError
from whichtune.models.saving import load_arrays, save_arrays

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer


STRENGTH = 10  # scikit-learn's C


class Analyser(TypedDict, total=False):
    """What is counted of a text, as scikit-learn is told."""

    analyzer: str
    ngram_range: tuple[int, int]


class FittedTfidf(Fitted):
    """`fields`: of how many fields texts are (`baselines.sides`)."""

    def __init__(self, vectoriser: TfidfVectorizer, weight: np.ndarray, bias: np.ndarray, fields: int = 1) -> None:
        self.vectoriser, self.fields = vectoriser, fields
        self.weight, self.bias = weight, bias  # (C, F) and (C,); one row for two classes

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        import numpy as np
        from scipy.special import log_softmax

        scores = features_of(texts, self.vectoriser, self.fields) @ self.weight.T + self.bias
        if scores.shape[1] == 1:
            scores = np.hstack([np.zeros_like(scores), scores])
        return log_softmax(scores, axis=1)

    @property
    def parameters(self) -> int:
        return int(self.weight.size + self.bias.size)

    def save(self, folder: Path) -> None:
        save_arrays(
            {"weight": self.weight, "bias": self.bias, "idf": self.vectoriser.idf_}, folder / "baseline.safetensors"
        )
        vocabulary = {term: int(column) for term, column in self.vectoriser.vocabulary_.items()}
        text = json.dumps(vocabulary, ensure_ascii=False)
        (folder / "vocabulary.json").write_text(text, encoding="utf-8")


class FittedLinear(FittedTfidf):
    """Scores of words as they are: numbers (n, K), or log-odds that are no shares of one."""

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        found: np.ndarray = features_of(texts, self.vectoriser, self.fields) @ self.weight.T + self.bias
        return found


class TfidfRow(Baseline):
    """TF-IDF of what `analyser` counts; `kept` is what a fit leaves."""

    analyser: ClassVar[Analyser]
    kept: ClassVar[type[FittedTfidf]] = FittedTfidf
    fields = 1

    def of_fields(self, count: int) -> TfidfRow:
        variant = type(self)()
        variant.fields = count
        return variant

    def vectoriser(self, vocabulary: dict[str, int] | None = None) -> TfidfVectorizer:
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(sublinear_tf=True, vocabulary=vocabulary, **self.analyser)

    def counted(self, texts: Sequence[str]) -> tuple[TfidfVectorizer, csr_matrix]:
        """A vectoriser that knows the terms of these texts, and their weights in each text (n, terms of all fields)."""
        vectoriser = self.vectoriser()
        vectoriser.fit(cells_of(texts, self.fields))
        return vectoriser, features_of(texts, vectoriser, self.fields)

    def fit(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> FittedTfidf:
        from sklearn.linear_model import LogisticRegression

        vectoriser, features = self.counted(texts)
        model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(features, labels)
        return FittedTfidf(vectoriser, model.coef_, model.intercept_, self.fields)

    def load(self, folder: Path) -> FittedTfidf:
        tensors = load_arrays(folder / "baseline.safetensors", {"weight": 2, "bias": 1, "idf": 1})
        vocabulary = read_vocabulary(folder / "vocabulary.json")
        rows, columns = tensors["weight"].shape
        terms = len(vocabulary)
        if (len(tensors["bias"]), len(tensors["idf"]), width_of(terms, self.fields)) != (rows, terms, columns):
            raise StoreError(f"What was saved of the baseline in {folder.name} does not fit together.")
        vectoriser = self.vectoriser(vocabulary)
        vectoriser.idf_ = tensors["idf"]
        return self.kept(vectoriser, tensors["weight"], tensors["bias"], self.fields)


def read_vocabulary(file: Path) -> dict[str, int]:
    """The column of each term. Raises StoreError unless every column is there once."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"'{file}' cannot be read, so the baseline cannot be had back.") from error
    if not isinstance(found, dict) or sorted(map(repr, found.values())) != sorted(map(repr, range(len(found)))):
        raise StoreError(f"'{file}' is no vocabulary: each of its terms must have a column of its own.")
    return found


@register
class TfidfChar(TfidfRow):
    name = "tfidf_char"
    analyser = {"analyzer": "char_wb", "ngram_range": (2, 5)}
    card = BaselineCard(
        summary="Character 2- to 5-grams within words, sublinear TF-IDF, logistic regression with C = 10.",
        reference="Joachims 1998 (linear classifiers on weighted n-grams)",
    )


@register
class TfidfWord(TfidfRow):
    name = "tfidf_word"
    analyser = {"ngram_range": (1, 2)}
    card = BaselineCard(
        summary="Words and word pairs, sublinear TF-IDF, logistic regression with C = 10.",
        reference="Joachims 1998 (linear classifiers on weighted n-grams)",
    )
