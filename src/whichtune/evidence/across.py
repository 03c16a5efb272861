"""Two studies beside each other: what changed in them, and whether a row's score changed by more than noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whichtune.errors import DataError, SettingError
from whichtune.evidence.summary import Summary
from whichtune.metrics import METRICS, metric_title
from whichtune.registry import did_you_mean
from whichtune.stats.answers import Row, group, load_answers
from whichtune.stats.asked import Asked
from whichtune.stats.figures import method_figures
from whichtune.stats.noise import Prior
from whichtune.stats.pairs import PairTest
from whichtune.stats.results import in_text
from whichtune.stats.trials import POINT, Trials
from whichtune.wording import number

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05
NOT_TOLD = ("name", "runs_resolved", "notes", "command", "labels", "first_seeds", "jobs", "plugins", "pairs")


@dataclass(frozen=True)
class Side:
    """A stored study: what it is, its summary, and how predictions of its runs are read."""

    name: str
    summary: Summary
    read: Callable[[str], pd.DataFrame]

    def row(self, label: str) -> Row:
        """A completed row by its label. Raises SettingError where there is none."""
        rows = {name: row for name, row in group(self.summary.runs).items() if row.completed}
        if label not in rows:
            raise SettingError(f"{self.name} has no completed row '{label}': {did_you_mean(label, rows)}")
        return rows[label]

    @property
    def labels(self) -> list[str]:
        """Labels of rows that completed."""
        return [label for label, row in group(self.summary.runs).items() if row.completed]


@dataclass(frozen=True)
class Change:
    """A row in two studies: scores in percent (nats of a loss), the difference after minus before with its 95 %
    interval, p of no difference. `paired`: on the same test texts. `shown`: -1 worse, 1 better, 0 not shown."""

    label: str
    metric: str
    before: float
    after: float
    difference: float
    interval: tuple[float, float] | None
    p: float | None
    paired: bool
    shown: int

    @property
    def sentence(self) -> str:
        if self.interval is None and self.difference == 0:
            return (
                f"{in_text(self.label)}: test {metric_title(self.metric)} {number(self.before)}, the same runs in both."
            )
        unit = METRICS[self.metric].unit
        span = "" if self.interval is None else f" ({number(self.interval[0])} to {number(self.interval[1])})"
        verdict = {1: "better", -1: "worse", 0: "no more than noise"}[self.shown]
        how = "on the same test texts" if self.paired else "on different test texts"
        return (
            f"{in_text(self.label)}: test {metric_title(self.metric)} {number(self.before)} to {number(self.after)}, "
            f"a change of {self.difference:+.1f} {unit}{span} {how}: {verdict}."
        )


def change_of(before: Side, after: Side, label: str, metric: str, other: str | None = None) -> Change:
    """A row of one study against the row of that name (or `other`) in another."""
    first, second = before.row(label), after.row(other or label)
    if before.summary.study.labels != after.summary.study.labels:
        raise SettingError(f"{before.name} and {after.name} have different classes, so no score can be compared.")
    if first.run_ids == second.run_ids and first.mean_metric("test", metric) == second.mean_metric("test", metric):
        return _same(before, first, metric)
    test = _paired(before, after, first, second, metric)
    if test is None:
        return _unpaired(before, after, first, second, metric)
    scale, sign = METRICS[metric].scale, 1 if METRICS[metric].higher_is_better else -1
    trials, pair = test
    found = pair.p is not None and pair.p <= ALPHA and pair.difference != 0
    span = None if pair.interval is None else (scale * pair.interval[0], scale * pair.interval[1])
    means = [float(s.scores.per_seed.mean()) * sign * scale for s in trials.seen(metric, ["before", "after"])]
    shown = (1 if sign * pair.difference > 0 else -1) if found else 0
    return Change(label, metric, means[0], means[1], scale * pair.difference, span, pair.p, True, shown)


def _same(side: Side, row: Row, metric: str) -> Change:
    """The same runs in both."""
    value = row.mean_metric("test", metric)
    if value is None:
        raise SettingError(f"'{row.label}' of {side.name} has no {metric_title(metric)} on test.")
    scaled = METRICS[metric].scale * value
    return Change(row.label, metric, scaled, scaled, 0.0, None, None, True, 0)


def _paired(before: Side, after: Side, first: Row, second: Row, metric: str) -> tuple[Trials, PairTest] | None:
    """The pair's test where both were tested on the same texts; None where they were not."""
    sides = {"before": before, "after": after}
    rows = {name: _renamed(row, name) for name, row in (("before", first), ("after", second))}

    def read(run_id: str) -> pd.DataFrame:
        side, _, own = run_id.partition("/")
        return sides[side].read(own)

    study = after.summary.study
    try:
        by_seed = all(side.summary.study.data.varies for side in (before, after))
        asked = Asked.of(study.model_copy(update={"primary_metric": metric}), study.labels)
        test = load_answers(rows.values(), read, len(study.labels) or None, by_seed, asked)
    except DataError:
        return None
    trials = Trials(rows, test, study.margin, Prior(study.prior_seed_sd * POINT, study.prior_weight))
    found = trials.tested("after", "before", metric)
    return None if found is None else (trials, found)


def _renamed(row: Row, side: str) -> Row:
    """The row under its side's name, its runs told from those of the other side: another version of a library may make
    a run of the same id come out otherwise."""
    runs = {seed: run.model_copy(update={"run_id": f"{side}/{run.run_id}"}) for seed, run in row.completed.items()}
    return Row(side, row.role, row.method, runs)


def _unpaired(before: Side, after: Side, first: Row, second: Row, metric: str) -> Change:
    """By the two intervals alone, as for independent test sets."""
    scale, sign = METRICS[metric].scale, 1 if METRICS[metric].higher_is_better else -1
    known = []
    for side, row in ((before, first), (after, second)):
        rows = {row.label: row}
        study = side.summary.study
        asked = Asked.of(study.model_copy(update={"primary_metric": metric}), study.labels)
        test = load_answers(rows.values(), side.read, len(study.labels) or None, study.data.varies, asked)
        trials = Trials(rows, test, study.margin, Prior(study.prior_seed_sd * POINT, study.prior_weight))
        known.append(method_figures(row, test, metric, trials.noise(metric)))
    a, b = known
    if a.test is None or b.test is None:
        raise SettingError(f"'{first.label}' has no {metric_title(metric)} in one of the two studies.")
    difference, span, p = scale * (b.test - a.test), None, None
    if a.interval is not None and b.interval is not None:
        error = scale * math.hypot(*((end - start) / 2 / 1.96 for start, end in (a.interval, b.interval)))
        span = (difference - 1.96 * error, difference + 1.96 * error)
        p = math.erfc(abs(difference) / error / math.sqrt(2)) if error else None
    shown = 0 if p is None or p > ALPHA else (1 if sign * difference > 0 else -1)
    return Change(first.label, metric, scale * a.test, scale * b.test, difference, span, p, False, shown)


def what_changed(before: Summary, after: Summary) -> Iterator[str]:
    """What the two studies were made with and differ in, a sentence each."""
    old, new = (flattened(side.study.model_dump(mode="json", exclude=set(NOT_TOLD))) for side in (before, after))
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            yield f"{key}: {_value(old.get(key))} to {_value(new.get(key))}"
    for name in ("data", "weights"):
        first, second = (_prints(side, name) for side in (before, after))
        if first and second and first.isdisjoint(second):
            yield f"the content of the {'data' if name == 'data' else 'model'} is another"
    versions = [_versions(side) for side in (before, after)]
    for name in sorted(set(versions[0]) | set(versions[1])):
        if versions[0].get(name) != versions[1].get(name):
            yield f"version of {name}: {_value(versions[0].get(name))} to {_value(versions[1].get(name))}"


def flattened(value: dict[str, object], before: str = "") -> dict[str, object]:
    """Nested settings as one level of `data.split_seed`."""
    found: dict[str, object] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            found |= flattened(inner, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = inner
    return found


def _prints(summary: Summary, name: str) -> set[str]:
    return {value for run in summary.runs if (value := run.fingerprints.get(name))}


def _versions(summary: Summary) -> dict[str, str]:
    made = [run.environment for run in summary.runs if run.environment is not None]
    if not made:
        return {}
    return {"whichtune": made[-1].whichtune, "Python": made[-1].python, **made[-1].packages}


def _value(value: object) -> str:
    text = "none" if value in (None, "", []) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
