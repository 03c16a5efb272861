"""TF-IDF of texts of several fields: each side by itself, the terms that two share, and how much they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from whichtune.study.fields import fields_of

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

OVERLAPS = 3  # numbers for each two fields


def cells_of(texts: Sequence[str], fields: int) -> list[str]:
    """All cells, which one vocabulary is counted of."""
    return list(texts) if fields == 1 else [cell for text in texts for cell in fields_of(text)]


def width_of(terms: int, fields: int) -> int:
    """How many features a text has with a vocabulary of so many terms."""
    pairs = fields * (fields - 1) // 2
    return terms * (fields + pairs) + OVERLAPS * pairs


def features_of(texts: Sequence[str], vectoriser: TfidfVectorizer, fields: int) -> csr_matrix:
    """Features (n, F) of texts: TF-IDF (n, V) of each field; for each two fields its product, which has the terms that
    both have, its sum (the cosine), and which share of the one's terms the other has, both ways."""
    if fields == 1:
        return vectoriser.transform(texts)
    from scipy.sparse import csr_matrix, hstack

    rows = [fields_of(text) for text in texts]
    sides = [vectoriser.transform([row[field] for row in rows]) for field in range(fields)]
    parts = list(sides)
    for one, other in combinations(sides, 2):
        shared = one.multiply(other).tocsr()
        common = _per_row(shared != 0)
        cosine = _per_row(shared)
        parts += [shared, csr_matrix([cosine, _share(common, one), _share(common, other)]).T]
    return hstack(parts).tocsr()


def _per_row(matrix: csr_matrix) -> np.ndarray:
    import numpy as np

    return np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()


def _share(common: np.ndarray, side: csr_matrix) -> np.ndarray:
    import numpy as np

    return common / np.maximum(_per_row(side != 0), 1)
