"""Model-free rows of every table. Importing this package registers them; none imports scikit-learn to do so."""

from whichtune.baselines import lead, majority, numbers, several_labels, tags, tfidf
from whichtune.baselines.base import BASELINES, Baseline, Extract, extract_baseline, fitted_baseline

__all__ = [
    "BASELINES",
    "Baseline",
    "Extract",
    "extract_baseline",
    "fitted_baseline",
    "lead",
    "majority",
    "numbers",
    "several_labels",
    "tags",
    "tfidf",
]
