"""Whether rows were trained as far as they should have been, and no further: read from their training curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from whichtune.evidence.checks.base import Finding, Material, not_applicable, passed, register, warned
from whichtune.metrics import METRICS, metric_title
from whichtune.records.record import CurvePoint
from whichtune.stats.answers import Row
from whichtune.stats.results import in_text
from whichtune.study.recorded import Recorded
from whichtune.wording import listing, number, plural

Item = TypeVar("Item")
NAMED = 8  # rows in a sentence: of more the rest is counted
LAST_PART = 2 / 3  # where the last part of training begins, as a share of its steps
STILL_FALLING = 0.5  # share of the mean pace at which the loss still falls in that part
LEAST_FALL = 0.001  # nats: below, a loss is flat
HARDLY = 0.02  # share of the loss of guessing that a row must have got below it
PROBE_POINTS = 5.0  # by which the closed form must be ahead of steps on the same features
OVERFITTED_SHARE, OVERFITTED_NATS = 0.2, 0.05  # above its minimum, both, the validation loss is well above it
BROKEN = 1.2  # times the loss of guessing: a training loss that has gone wrong
# What makes the features of two rows the same.
OF_FEATURES = (
    "model",
    "revision",
    "weights",
    "token_position",
    "context_length",
    "long_texts_keep",
    "padding",
    "attend_to_padding",
    "causal_mask",
)


@dataclass(frozen=True)
class Losses:
    """A run's curve as checks read it: steps, losses on train and validation, and learning rates, `(P,)` each."""

    steps: list[float]
    train: list[float]
    validation: list[float]
    rates: list[float]


def losses_of(curve: Sequence[CurvePoint]) -> Losses | None:
    """The points that have both losses; None where there are fewer than two of them."""
    kept = [figures for point in curve if (figures := _figures(point)) is not None]
    if len(kept) < 2:
        return None
    steps, train, validation, rates = (list(column) for column in zip(*kept, strict=True))
    return Losses(steps, train, validation, rates)


def _figures(point: CurvePoint) -> tuple[float, float, float, float] | None:
    step, train, validation = (point.get(key) for key in ("step", "train_loss", "validation_loss"))
    if not step or train is None or validation is None:
        return None
    return float(step), float(train), float(validation), float(point.get("learning_rate") or 0.0)


def pace_at_end(losses: Losses, guessing: float | None, rate: float) -> float | None:
    """How fast the validation loss falls in the last third of the steps, as a share of its mean pace.

    A schedule that ends at nought flattens every curve, so paces are per unit of learning rate: falls are divided by
    the area under the learning rate in which they came. An exponential decline has a pace of a half when it has made
    83 % of its way, or 72 % where the schedule leaves that third next to nothing. `guessing` is the loss that training
    begins with, None where only the first point is known; `rate` the learning rate that it begins with. None where the
    loss does not end at its lowest, or is flat.
    """
    validation = losses.validation
    begin, start = 0, guessing
    if start is None or validation[0] > start:
        start, begin = validation[0], 1
    last = max((i for i, step in enumerate(losses.steps[:-1]) if step <= LAST_PART * losses.steps[-1]), default=None)
    if last is None or last < begin or validation[-1] > min(validation):
        return None
    fall, whole = validation[last] - validation[-1], start - validation[-1]
    if fall < LEAST_FALL or whole <= 0:
        return None
    areas = _areas(losses, rate)
    of_last, of_all = sum(areas[last + 1 :]), sum(areas[begin:])
    return (fall / of_last) / (whole / of_all) if of_last > 0 else None


def _areas(losses: Losses, rate: float) -> list[float]:
    """The area under the learning rate before each point, by trapezia: exact for constant and linear schedules."""
    before = [(0.0, rate or losses.rates[0]), *zip(losses.steps, losses.rates, strict=True)]
    return [(step - earlier) * (now + then) / 2 for (earlier, then), (step, now) in pairwise(before)]


def guessing_loss(material: Material) -> float | None:
    """The loss of an even guess among the classes in nats; None where the answers are none."""
    classes = len(material.study.labels) if METRICS[material.metric].answers in ("classes", "loss") else 0
    return math.log(classes) if classes > 1 else None


@register("undertrained", "Undertrained")
def undertrained(material: Material) -> Finding:
    """Is a row's validation loss still falling at its end, or is the closed form on the same features well ahead?"""
    curves = _usable(material)
    if not curves:
        return not_applicable("No row was trained by steps with two points or more on its curves.")
    guessing = guessing_loss(material)
    lowest = min(min(one.validation) for runs in curves.values() for one in runs)
    falling, still = [], []
    for label, runs in curves.items():
        rate = _rate_of(material.rows[label])
        paces = [pace_at_end(one, guessing, rate) for one in runs]
        if _most(paces, lambda pace: pace is not None and pace >= STILL_FALLING):
            falling.append(label)
        elif guessing is not None and lowest < 0.8 * guessing and _most(runs, lambda r: _hardly_fell(r, guessing)):
            still.append(label)
    parts = []
    if falling:
        parts.append(
            f"The validation loss of {_names(falling)} was still falling when training ended: more epochs, or another "
            "learning rate, would get further."
        )
    if still:
        parts.append(
            f"The validation loss of {_names(still)} hardly fell below that of guessing, while another row's did: its "
            "learning rate or its steps are too few."
        )
    behind = _behind_probe(material)
    parts += list(behind.values())
    rows = list(dict.fromkeys([*falling, *still, *behind]))
    if parts:
        return warned(" ".join(parts), rows)
    return passed(f"No curve of {plural(len(curves), 'row')} was still falling at its end.")


def _hardly_fell(losses: Losses, guessing: float) -> bool:
    return min(losses.validation) > (1 - HARDLY) * guessing and losses.train[-1] > (1 - HARDLY) * guessing


def _rate_of(row: Row) -> float:
    rates = [run.spec.get("learning_rate") for run in row.completed.values()]
    return max((float(rate) for rate in rates if isinstance(rate, (int, float))), default=0.0)


def _behind_probe(material: Material) -> dict[str, str]:
    """Heads that were trained by steps, far behind one that was solved on the same features, with a sentence each."""
    metric, found = METRICS[material.metric], {}
    if metric.unit != "points":
        return {}
    probes = [row for row in material.tuned_rows if row.method == "linear_probe"]
    for row in material.tuned_rows:
        if row.method != "head_only":
            continue
        for probe in probes:
            mine, solved = (each.mean_metric("validation", material.metric) for each in (row, probe))
            if mine is None or solved is None or _features(row) != _features(probe):
                continue
            if 100 * (solved - mine) >= PROBE_POINTS:
                found[row.label] = (
                    f"{in_text(probe.label)}, solved on the same features, is {number(100 * (solved - mine))} points "
                    f"of validation {metric_title(material.metric)} ahead of {in_text(row.label)}, so the steps of "
                    f"{in_text(row.label)} did not find what is there."
                )
    return found


def _features(row: Row) -> list[object]:
    """What decides the features of a row; an odd value where it has no completed run, equal to no other."""
    spec = next((Recorded.of(run.spec) for run in row.completed.values()), None)
    return [row.label] if spec is None else [spec.settings.get(key) for key in OF_FEATURES]


@register("overfitted", "Overfitted")
def overfitted(material: Material) -> Finding:
    """Does a row's validation loss end well above its minimum while its training loss still fell?"""
    curves = {label: runs for label, runs in _usable(material).items() if not _keeps_best(material.rows[label])}
    if not curves:
        return not_applicable("No row was trained by steps to the last of them with two points or more on its curves.")
    found = [label for label, runs in curves.items() if _most(runs, is_overfitted)]
    if not found:
        return passed(f"No validation loss of {plural(len(curves), 'row')} ended well above its minimum.")
    worst = max((one.validation[-1] / min(one.validation) for label in found for one in curves[label]), default=1.0)
    return warned(
        f"The validation loss of {_names(found)} rose up to {number(worst, 2)} times its minimum while the training "
        "loss still fell: fewer epochs or early_stopping=loss would stop where it is lowest.",
        found,
    )


def is_overfitted(losses: Losses) -> bool:
    """Whether the validation loss ends a fifth and 0.05 nats above its minimum, and train fell meanwhile."""
    lowest = min(losses.validation)
    at, last = losses.validation.index(lowest), losses.validation[-1]
    rose = last - lowest > max(OVERFITTED_NATS, OVERFITTED_SHARE * lowest)
    return rose and losses.train[-1] < losses.train[at]


@register("diverged", "Diverged")
def diverged(material: Material) -> Finding:
    """Did a run end as its numbers were no longer finite, or with a training loss above that of guessing?"""
    broken = [row.label for row in material.tuned_rows if any(run.error_kind == "DivergedError" for run in row.failed)]
    curves, guessing = _usable(material), guessing_loss(material)
    high = [label for label, runs in curves.items() if any(_rose(one, guessing) for one in runs)]
    if not broken and not curves:
        return not_applicable("No row was trained by steps with two points or more on its curves.")
    parts = []
    if broken:
        parts.append(f"{_names(broken)} diverged: some of its runs ended as their numbers were no longer finite.")
    if high:
        parts.append(
            f"The training loss of {_names(high)} ended higher than it began, above that of guessing: lower the "
            "learning rate."
        )
    rows = list(dict.fromkeys([*broken, *high]))
    return warned(" ".join(parts), rows) if parts else passed("Every training loss stayed finite and fell.")


def _rose(losses: Losses, guessing: float | None) -> bool:
    least = losses.train[0] if guessing is None else max(losses.train[0], guessing)
    return losses.train[-1] > BROKEN * least


def _usable(material: Material) -> dict[str, list[Losses]]:
    found = {label: [one for c in runs if (one := losses_of(c)) is not None] for label, runs in material.curves.items()}
    return {label: runs for label, runs in found.items() if runs}


def _keeps_best(row: Row) -> bool:
    """Whether early stopping kept the weights of the best point."""
    return any(run.stopping is not None and run.stopping.best_step is not None for run in row.completed.values())


def _most(items: Sequence[Item], holds: Callable[[Item], bool]) -> bool:
    """Whether it holds for more than half of them."""
    return sum(map(holds, items)) > len(items) / 2


def _names(labels: Sequence[str]) -> str:
    return listing([in_text(label) for label in labels], most=NAMED)
