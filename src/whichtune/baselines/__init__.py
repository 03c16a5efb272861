"""Model-free rows of every table. Importing this package registers them; none imports scikit-learn to do so."""

from whichtune.baselines import lead, majority, tfidf
from whichtune.baselines.base import BASELINES, Baseline, Extract

__all__ = ["BASELINES", "Baseline", "Extract", "lead", "majority", "tfidf"]
