"""A gate for a pipeline: is a row good enough, and not worse than before?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from whichtune.errors import SettingError
from whichtune.evidence.across import Side, change_of
from whichtune.metrics import METRICS, metric_title
from whichtune.registry import did_you_mean
from whichtune.stats.results import in_text
from whichtune.wording import number

_LEAST = re.compile(r"\s*([a-zA-Z_0-9]+)\s*(>=|=)\s*(\d*\.?\d+)\s*(%?)\s*")


@dataclass(frozen=True)
class Asked:
    """The least that a metric may be on test, as a share of 1 (of a loss the most, in nats)."""

    metric: str
    bound: float


@dataclass(frozen=True)
class Outcome:
    """Whether it passed, and a sentence that says why."""

    passed: bool
    sentence: str


def parse_least(text: str) -> Asked:
    """`accuracy=0.95` or `accuracy>=95%`. Raises SettingError for anything else."""
    found = _LEAST.fullmatch(text)
    if found is None:
        raise SettingError(f"--at-least {text}: write a metric and a number, such as accuracy=0.95 or accuracy=95%.")
    if found[1] not in METRICS:
        raise SettingError(f"--at-least {text}: there is no metric '{found[1]}': {did_you_mean(found[1], METRICS)}")
    bound = float(found[3]) / (100 if found[4] else 1)
    if METRICS[found[1]].unit == "points" and bound > 1:
        raise SettingError(f"--at-least {text}: {found[1]} is at most 1: write 0.95 or 95%.")
    return Asked(found[1], bound)


def at_least(side: Side, label: str, asked: Asked) -> Outcome:
    """Whether a row's mean over seeds on test reaches the bound."""
    value = side.row(label).mean_metric("test", asked.metric)
    if value is None:
        raise SettingError(f"'{label}' of {side.name} has no {metric_title(asked.metric)} on test.")
    metric = METRICS[asked.metric]
    passed = value >= asked.bound if metric.higher_is_better else value <= asked.bound
    unit = " %" if metric.unit == "points" else ""
    shown, bound = (f"{number(metric.scale * each, 2)}{unit}" for each in (value, asked.bound))
    word = "at least" if metric.higher_is_better else "at most"
    return Outcome(
        passed,
        f"{in_text(label)} has {metric_title(asked.metric)} {shown} on test, "
        f"{'which is' if passed else 'and was to have'} {word} {bound}.",
    )


def not_worse(before: Side, after: Side, label: str, margin: float | None = None, other: str | None = None) -> Outcome:
    """Whether a row is not shown to be worse than before; with a `margin` in points, whether it is shown to be worse by
    less than that."""
    metric = after.summary.study.primary_metric
    change = change_of(before, after, label, metric, other)
    if margin is None:
        return Outcome(change.shown >= 0, change.sentence)
    sign = 1 if METRICS[metric].higher_is_better else -1
    worst = None if change.interval is None else (change.interval[0] if sign > 0 else -change.interval[1])
    passed = worst is not None and worst > -margin
    said = f"{'' if passed else 'not '}shown to lose less than {margin:g} {METRICS[metric].unit}"
    return Outcome(passed, f"{change.sentence[:-1]}; {said}.")
