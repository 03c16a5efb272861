"""Intervals, tests, corrections, power and selection, from numbers alone; see `docs/statistics.md`."""

from whichtune.stats.correction import closed_pairs, dunnett, holm, sidak, unpaired_p
from whichtune.stats.crossed import CrossedTest, crossed_test
from whichtune.stats.intervals import Interval, bca, confusion_interval, wilson
from whichtune.stats.paired import mcnemar_midp, newcombe_paired, tango_interval, tango_p_above
from whichtune.stats.pairs import TEST_NAMES, PairTest, StudyNoise, compare_scores
from whichtune.stats.power import Noise, detectable_crossed, detectable_paired, examples_needed, seeds_needed
from whichtune.stats.scores import Scores, class_scores
from whichtune.stats.selection import Candidate, best_on_validation
from whichtune.stats.squares import MeanSquares, mean_squares, satterthwaite

__all__ = [
    "TEST_NAMES",
    "Candidate",
    "CrossedTest",
    "Interval",
    "MeanSquares",
    "Noise",
    "PairTest",
    "Scores",
    "StudyNoise",
    "bca",
    "best_on_validation",
    "class_scores",
    "closed_pairs",
    "compare_scores",
    "confusion_interval",
    "crossed_test",
    "detectable_crossed",
    "detectable_paired",
    "dunnett",
    "examples_needed",
    "holm",
    "mcnemar_midp",
    "mean_squares",
    "newcombe_paired",
    "satterthwaite",
    "seeds_needed",
    "sidak",
    "tango_interval",
    "tango_p_above",
    "unpaired_p",
    "wilson",
]
