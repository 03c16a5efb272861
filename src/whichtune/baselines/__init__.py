"""Model-free rows of every table. Importing this package registers them; none imports scikit-learn to do so."""

from whichtune.baselines import majority, tfidf
from whichtune.baselines.base import BASELINES, Baseline

__all__ = ["BASELINES", "Baseline", "majority", "tfidf"]
