"""Intervals, tests, corrections, power and selection, from numbers alone; see `docs/statistics.md`."""

from whichtune.stats.correction import holm, holm_with_equivalence, unpaired_p
from whichtune.stats.crossed import CrossedTest, MeanSquares, crossed_test, mean_squares, satterthwaite
from whichtune.stats.intervals import Interval, bca, confusion_interval, wilson
from whichtune.stats.paired import mcnemar_midp, newcombe_paired, tango_interval, tango_p_above
from whichtune.stats.pairs import TEST_NAMES, PairTest, StudyNoise, compare_scores
from whichtune.stats.power import Noise, detectable_crossed, detectable_paired, examples_needed, seeds_needed
from whichtune.stats.scores import Scores, class_scores
from whichtune.stats.selection import Candidate, Judged, Selection, best_on_validation, select

__all__ = [
    "TEST_NAMES",
    "Candidate",
    "CrossedTest",
    "Interval",
    "Judged",
    "MeanSquares",
    "Noise",
    "PairTest",
    "Scores",
    "Selection",
    "StudyNoise",
    "bca",
    "best_on_validation",
    "class_scores",
    "compare_scores",
    "confusion_interval",
    "crossed_test",
    "detectable_crossed",
    "detectable_paired",
    "examples_needed",
    "holm",
    "holm_with_equivalence",
    "mcnemar_midp",
    "mean_squares",
    "newcombe_paired",
    "satterthwaite",
    "seeds_needed",
    "select",
    "tango_interval",
    "tango_p_above",
    "unpaired_p",
    "wilson",
]
