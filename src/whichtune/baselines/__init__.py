"""Model-free rows of every table. Importing this package registers them; none imports scikit-learn to do so."""

from whichtune.baselines import labels, lead, majority, numbers, tfidf
from whichtune.baselines.base import BASELINES, Baseline, Extract, extract_baseline, fitted_baseline

__all__ = [
    "BASELINES",
    "Baseline",
    "Extract",
    "extract_baseline",
    "fitted_baseline",
    "labels",
    "lead",
    "majority",
    "numbers",
    "tfidf",
]
