"""The rows of a study on its test set, and every pair of them that can be tested."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations

from whichtune.metrics import METRICS
from whichtune.stats.answers import Row, TestSet, common_seeds
from whichtune.stats.noise import NO_SEED_SEEN, Prior
from whichtune.stats.pairs import PairTest, StudyNoise, compare_scores
from whichtune.stats.scores import Scores
from whichtune.stats.standing import Seen
from whichtune.study.roles import Role

POINT = 0.01
LEAST_FRESH = 2  # examples


@dataclass
class Trials:
    """Rows by label with their answers to one test set. `margin` is in points of the metric; `belief` is what is
    held of seed noise beforehand. Tests are made once each, with the seeds of `fixed` where there is one: those that
    were chosen before any result was seen. `primary` is the metric that decides: of those without bounds it alone has
    a margin."""

    rows: Mapping[str, Row]
    test: TestSet | None
    margin: float
    belief: Prior = NO_SEED_SEEN
    fixed: Trials | None = None
    primary: str | None = None
    _noise: dict[str, StudyNoise] = field(default_factory=dict)
    _tests: dict[tuple[str, str, str, bool], PairTest | None] = field(default_factory=dict)

    def able(self, metric: str) -> list[str]:
        """Labels of the rows that the metric can be told of."""
        if self.test is None:
            return []
        able = [row for row in self.rows.values() if row.can(metric)]
        if self.test.test_by_train is not None and any(len(row.seeds) > 1 for row in able):
            able = [row for row in able if len(row.seeds) > 1]  # one split tells nothing of the others
        return [row.label for row in able]

    def noise(self, metric: str) -> StudyNoise:
        """Seed noise of all rows that completed."""
        if metric not in self._noise:
            scores = [self._scores(self.rows[label], metric) for label in self.able(metric)]
            self._noise[metric] = StudyNoise.of(scores, self._unit(metric), self.belief)
        return self._noise[metric]

    def seen(self, metric: str, labels: Iterable[str]) -> list[Seen]:
        """Rows for a decision: scores of which more is better."""
        rows = [self.rows[label] for label in labels]
        higher = METRICS[metric].higher_is_better
        found = [(row, self._scores(row, metric)) for row in rows]
        return [Seen(s if higher else replace(s, values=-s.values), row.seeds) for row, s in found]

    def tested(self, a: str, b: str, metric: str, brief: bool = False) -> PairTest | None:
        """The test of a against b over their common seeds; None where there is nothing to test. `brief`: without
        intervals."""
        if self.fixed is not None:
            return self.fixed.tested(a, b, metric, brief)
        key = (a, b, metric, brief)
        if key not in self._tests:
            self._tests[key] = self._test(self.rows[a], self.rows[b], metric, brief)
        return self._tests[key]

    def all_pairs(self, metric: str) -> dict[tuple[str, str], PairTest]:
        """Every pair of rows that has a p, briefly tested."""
        found = {pair: self.tested(*pair, metric, brief=True) for pair in combinations(self.able(metric), 2)}
        return {pair: test for pair, test in found.items() if test is not None and test.p is not None}

    def without(self, labels: Collection[str]) -> Trials:
        """The same without these rows; itself where there are none."""
        if not labels:
            return self
        rows = {label: row for label, row in self.rows.items() if label not in labels}
        fixed = None if self.fixed is None else self.fixed.without(labels)
        return Trials(rows, self.test, self.margin, self.belief, fixed, self.primary)

    def at_seeds(self, seeds: Collection[int]) -> Trials:
        """The same with the answers of these seeds alone; a row that has none of them keeps its own."""

        def kept(row: Row) -> Row:
            answers = {seed: given for seed, given in row.answers.items() if seed is None or seed in seeds}
            return replace(row, answers=answers or row.answers)

        rows = {label: kept(row) for label, row in self.rows.items()}
        return Trials(rows, self.test, self.margin, self.belief, primary=self.primary)

    def fresh(self) -> Trials | None:
        """The same on the test examples that are not also in train; None where that is all of them, or hardly any."""
        if self.test is None:
            return None
        if self.test.test_by_train is not None:  # what stands in train differs from split to split
            return None
        keep = ~self.test.duplicate_of_train
        if keep.all() or keep.sum() < LEAST_FRESH:
            return None
        test = replace(
            self.test,
            ids=self.test.ids[keep],
            labels=self.test.labels[keep],
            duplicate_of_train=self.test.duplicate_of_train[keep],
        )

        rows = {
            label: replace(row, answers={seed: answers.of(keep) for seed, answers in row.answers.items()})
            for label, row in self.rows.items()
        }
        return Trials(rows, test, self.margin, self.belief, primary=self.primary)

    def limit(self, metric: str) -> float | None:
        """The margin on the metric's scale: of one without bounds that share of the best baseline's figure."""
        if METRICS[metric].unit != "points" and metric != self.primary:
            return None
        return self.margin * POINT * self._unit(metric)

    def _test(self, a: Row, b: Row, metric: str, brief: bool) -> PairTest | None:
        seeds = common_seeds(a, b) if a.can(metric) and b.can(metric) else []
        if self.test is None or not seeds or a.run_ids == b.run_ids:
            return None
        known = METRICS[metric]
        limit = self.limit(metric)
        first, second = a.scores(metric, self.test, seeds), b.scores(metric, self.test, seeds)
        return compare_scores(first, second, limit, known.resampling == "proportion", self.noise(metric), brief)

    def _scores(self, row: Row, metric: str) -> Scores:
        assert self.test is not None
        return row.scores(metric, self.test, row.seeds)

    def _unit(self, metric: str) -> float:
        """What 100 points are: 1 for a share; for a figure without bounds the best baseline's, else the best row's."""
        if METRICS[metric].unit == "points" or not self.able(metric):
            return 1.0
        free = [label for label in self.able(metric) if self.rows[label].role is Role.BASELINE]
        figures = [float(self._scores(self.rows[label], metric).per_seed.mean()) for label in free or self.able(metric)]
        return abs(max(figures) if METRICS[metric].higher_is_better else min(figures))
