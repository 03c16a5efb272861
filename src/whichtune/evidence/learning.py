"""Learning curves of a study that varies how many texts it trains on, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from whichtune.metrics import METRICS
from whichtune.stats import learning
from whichtune.stats.answers import Row
from whichtune.stats.growth import Foretold, LearningCurve, LearningFigures, MoreTexts, Overtaken, SizePoint
from whichtune.stats.learning import LEAST_SIZES, FloatArray, Law
from whichtune.stats.results import in_text
from whichtune.stats.trials import Trials
from whichtune.study.recorded import Recorded
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.roles import Role
from whichtune.wording import number

GUESS = "majority"  # learns nothing from more texts
LIKELY = 0.8  # chance of an overtaking from which on it is worth a sentence


@dataclass(frozen=True)
class Sized:
    """A row with its number of training texts; `whole` where it trains on all of them."""

    row: Row
    size: int
    whole: bool


@dataclass(frozen=True)
class Series:
    """The rows of one way of fine-tuning, smallest first, with the draws of their true scores `(D, N)`."""

    rows: list[Sized]
    scores: FloatArray
    law: Law | None

    @property
    def name(self) -> str:
        return family_of(self.rows[-1])

    @property
    def sizes(self) -> FloatArray:
        return np.array([one.size for one in self.rows], dtype=np.float64)


def train_size(row: Row) -> int | None:
    """A row's own number of training texts; None where it has all of them."""
    spec = next(iter([*row.completed.values(), *row.failed])).spec
    data = Recorded.of(spec).data
    size = data.get("train_size") if isinstance(data, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) else None


def smaller_rows(study: ResolvedStudy, rows: Mapping[str, Row]) -> set[str]:
    """Rows that train on fewer texts than the study's largest size: they are points of curves and not to be used."""
    if not study.train_sizes:
        return set()
    largest = None if "all" in study.train_sizes else max(s for s in study.train_sizes if isinstance(s, int))
    trains = {label: train_size(row) for label, row in rows.items()}
    return {label for label, size in trains.items() if size is not None and size != largest}


def family_of(sized: Sized) -> str:
    """The row's name without its number of texts."""
    return sized.row.label if sized.whole else sized.row.label.removesuffix(f", {sized.size:,} texts")


def learning_figures(study: ResolvedStudy, trials: Trials) -> LearningFigures | None:
    """The study's learning curves; None where it varies no sizes, or nothing was tested.

    Inside, a score is one less its error, also of a metric of which less is better, which is an error itself.
    """
    metric = study.primary_metric
    if not study.train_sizes or trials.test is None:
        return None
    whole = _whole_size(trials)
    rows = [
        Sized(trials.rows[label], train_size(trials.rows[label]) or whole, train_size(trials.rows[label]) is None)
        for label in trials.able(metric)
        if trials.rows[label].method != GUESS and (train_size(trials.rows[label]) or whole)
    ]
    families: dict[str, list[Sized]] = {}
    for one in rows:
        families.setdefault(family_of(one), []).append(one)
    kept = [sorted(found, key=lambda one: one.size) for found in families.values() if len(found) > 1]
    if not kept:
        return None
    flat = [one for found in kept for one in found]
    seen = trials.seen(metric, [one.row.label for one in flat])
    drawn = learning.true_scores(seen, trials.noise(metric)) + _offset(metric)
    series: list[Series] = []
    place = 0
    for found in kept:
        scores = drawn[:, place : place + len(found)]
        series.append(Series(found, scores, _law(found, scores, trials, metric, len(series))))
        place += len(found)
    curves = [_curve(one, trials, Shown(metric)) for one in series]
    overtaken = _overtaken(series)
    figures = LearningFigures(metric=metric, curves=curves, overtaken=overtaken)
    return figures.model_copy(update={"sentences": sentences(figures)})


def _offset(metric: str) -> float:
    """What makes a score of a figure of which more is better (`Trials.seen`)."""
    return 0.0 if METRICS[metric].higher_is_better else 1.0


@dataclass(frozen=True)
class Shown:
    """Scores as the metric's figures, as they are shown."""

    metric: str

    def figure(self, score: float) -> float:
        known = METRICS[self.metric]
        return known.scale * (score if known.higher_is_better else 1 - score)

    def span(self, low: float, high: float) -> tuple[float, float]:
        first, last = sorted((self.figure(low), self.figure(high)))
        return first, last

    def gain(self, value: float) -> float:
        return METRICS[self.metric].scale * value

    def text(self, value: float) -> str:
        known = METRICS[self.metric]
        return f"{number(value)} %" if known.unit == "points" else f"{number(value, known.digits)} {known.unit}"


def _whole_size(trials: Trials) -> int:
    """How many texts the whole training split has, as a run on all of them saw."""
    seen = [
        figures.n
        for row in trials.rows.values()
        if train_size(row) is None
        for run in row.completed.values()
        if (figures := run.metrics.of("train")) is not None
    ]
    return max(seen, default=0)


def _means(rows: Sequence[Sized], trials: Trials, metric: str) -> FloatArray:
    seen = trials.seen(metric, [one.row.label for one in rows])
    return np.array([float(one.scores.per_seed.mean()) for one in seen]) + _offset(metric)


def _law(rows: Sequence[Sized], scores: FloatArray, trials: Trials, metric: str, seed: int) -> Law | None:
    if len(rows) < LEAST_SIZES:
        return None
    sizes = np.array([one.size for one in rows], dtype=np.float64)
    return learning.fit_laws(sizes, _means(rows, trials, metric), scores, scores.var(axis=0), seed)


def _curve(series: Series, trials: Trials, shown: Shown) -> LearningCurve:
    means = _means(series.rows, trials, shown.metric)
    tail = 100 * (1 - learning.LEVEL) / 2
    ends = np.percentile(series.scores, [tail, 100 - tail], axis=0)
    points = [
        SizePoint(
            size=one.size,
            label=one.row.label,
            score=shown.figure(float(mean)),
            interval=shown.span(float(low), float(high)),
        )
        for one, mean, low, high in zip(series.rows, means, *ends, strict=True)
    ]
    first = series.rows[0].row
    curve = LearningCurve(name=series.name, method=first.method, baseline=first.role is Role.BASELINE, points=points)
    if series.law is None:
        few = f"{len(points)} sizes are too few for a curve: {LEAST_SIZES} or more say what further texts would bring"
        return curve.model_copy(update={"refused": few})
    return curve.model_copy(update=_of_law(series, series.law, means, shown))


def _of_law(series: Series, law: Law, means: FloatArray, shown: Shown) -> dict[str, object]:
    size = series.rows[-1].size
    found = learning.held_out(series.sizes, means, series.scores, series.scores.var(axis=0))
    foretold = Foretold(
        size=found.size,
        score=shown.figure(found.foretold.value),
        interval=shown.span(found.foretold.low, found.foretold.high),
        seen=shown.figure(found.seen),
        holds=found.holds,
    )
    exponent, ceiling = learning.Span.of(law.exponent), learning.Span.of(1 - law.floor)
    update: dict[str, object] = {
        "exponent": exponent.value,
        "exponent_interval": (exponent.low, exponent.high),
        "ceiling": shown.figure(ceiling.value),
        "ceiling_interval": shown.span(ceiling.low, ceiling.high),
        "foretold": foretold,
    }
    if not found.holds:
        expected, there = shown.text(foretold.score), shown.text(foretold.seen)
        why = f"the smaller sizes foretell {expected} at {size:,} texts where {there} was seen, so no power law fits"
        return {**update, "refused": why}
    gain = learning.gain(law, size, 2 * size)
    ends = shown.gain(gain.low), shown.gain(gain.high)
    more = MoreTexts(size=size, larger=2 * size, gain=shown.gain(gain.value), interval=ends)
    return {**update, "more": more}


def _overtaken(series: Sequence[Series]) -> list[Overtaken]:
    """Every pair of which the one leads at the smallest size and the other at the largest, as far as that is likely."""
    found = []
    for first, second in permutations(series, 2):
        if first.law is None or second.law is None:
            continue
        low, high = max(first.sizes[0], second.sizes[0]), min(first.sizes[-1], second.sizes[-1])
        if low >= high:
            continue
        one = learning.overtaking(first.law, second.law, int(low), int(high))
        if one.chance < LIKELY:
            continue
        span = None if one.at is None else (round(one.at.low), round(one.at.high))
        at = None if one.at is None else round(one.at.value)
        found.append(Overtaken(behind=first.name, ahead=second.name, chance=one.chance, size=at, interval=span))
    return found


# -- sentences -------------------------------------------------------------------------------------


def sentences(figures: LearningFigures) -> list[str]:
    """What more texts are worth, and from where on one row overtakes another."""
    gains = [_gain_sentence(curve, figures.metric) for curve in figures.curves]
    return [*(text for text in gains if text), *(_overtaken_sentence(one) for one in figures.overtaken)]


def _gain_sentence(curve: LearningCurve, metric: str) -> str:
    name, more = in_text(curve.name), curve.more
    if more is None:
        return f"What more texts would bring with {name} cannot be said: {curve.refused}." if curve.refused else ""
    known = METRICS[metric]
    digits = 1 if known.unit == "points" else known.digits
    low, high = (number(end, digits) for end in more.interval)
    extra = more.larger - more.size
    return (
        f"{extra:,} more labelled texts ({more.larger:,} instead of {more.size:,}) are worth about "
        f"{number(more.gain, digits)} {known.unit} with {name} ({low} to {high})."
    )


def _overtaken_sentence(one: Overtaken) -> str:
    ahead, behind = in_text(one.ahead), in_text(one.behind)
    if one.size is None or one.interval is None:
        return (
            f"{ahead} seems to overtake {behind} as texts are added, yet the study cannot say where (chance that it "
            f"does within these sizes: {100 * one.chance:.0f} %)."
        )
    low, high = one.interval
    return f"Above about {_rounded(one.size):,} training texts {ahead} overtakes {behind} ({low:,} to {high:,})."


def _rounded(size: int) -> int:
    """Two significant figures: a size is known no better."""
    step: int = 10 ** max(0, len(str(size)) - 2)
    return round(size / step) * step
