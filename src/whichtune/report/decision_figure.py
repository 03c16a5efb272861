"""The small picture of the verdict: the rows that matter, by what they score and how long they train."""

from __future__ import annotations

from collections.abc import Iterator

from whichtune.report.drawing.kinds import CostPoint, Data, Decision
from whichtune.report.drawing.on_page import TwoSizes, two_sizes
from whichtune.report.view import View
from whichtune.report.words import number, span
from whichtune.study.roles import Role
from whichtune.wording import listing, plural

COST = "training_seconds"
ENOUGH = ("best", "good enough")  # standings of rows that are
UNITS = ((86400 * 2, 86400, "days"), (3600, 3600, "h"), (60, 60, "min"), (0.1, 1, "s"), (0.0, 0.001, "ms"))


def decision_picture(view: View) -> TwoSizes | None:
    """The picture for the page, drawn for wide screens and for phones; None where there is nothing to choose from."""
    figure = decision_figure(view)
    return None if figure is None else two_sizes(figure)


def decision_figure(view: View) -> Decision | None:
    """Recommended, best fine-tuned, cheapest good enough and best baseline by name, the other rows as dots.

    None without a verdict, or with fewer than two rows that have a score and a time.
    """
    points = {
        row.label: CostPoint(
            row.label,
            view.mark(row.label),
            seconds,
            score,
            view.intervals.get(row.label),
            duration(seconds),
            unit=view.unit,
            digits=view.digits,
        )
        for row in view.scored
        if (seconds := row.cost(COST)) is not None and (score := view.score(row)) is not None
    }
    roles: dict[str, list[str]] = {}
    for role, label in _roles(view):
        if label in points:
            roles.setdefault(label, []).append(role)
    if len(points) < 2 or not roles:
        return None
    told = [_told(view, listing(said), points[label]) for label, said in roles.items()]
    others = len(points) - len(roles)
    return Decision(
        name="decision",
        title="Which row to take",
        axis_x="training time",
        axis_y=f"test {view.metric_name} ({view.unit})",
        caption=_sentence("; ".join(told))
        + (f" Small: {plural(others, 'other row')}." if others else "")
        + (" Lines are 95 % intervals." if any(points[label].span for label in roles) else ""),
        alt=f"Test {view.metric_name} against training time for {plural(len(points), 'row')}. "
        + _sentence("; ".join(told)),
        points=list(points.values()),
        named=list(roles),
        data=Data(
            ["run", "", "training time", f"test {view.metric_name} {view.unit}", "95 % interval"],
            [
                [p.label, listing(roles.get(p.label, [])), p.cost, number(p.y, view.digits), span(p.span, view.digits)]
                for p in points.values()
            ],
        ),
    )


def _roles(view: View) -> Iterator[tuple[str, str]]:
    """What the verdict says of rows, the most important first: what a row is, and its label."""
    verdict = view.verdict
    if verdict is None:
        return
    named = {
        "recommended": verdict.recommended,
        "best fine-tuned": verdict.best_fine_tuned,
        "cheapest good enough": _cheapest(view),
        "best baseline": _best_baseline(view),
    }
    yield from ((role, label) for role, label in named.items() if label is not None)


def _cheapest(view: View) -> str | None:
    """The row of least cost, as the verdict counts it, of those that are good enough and keep what is required."""
    assert view.verdict is not None
    able = [
        (row.cost, row.label)
        for row in view.verdict.candidates
        if row.standing in ENOUGH and row.cost is not None and row.label not in view.verdict.outside
    ]
    return min(able)[1] if able else None


def _best_baseline(view: View) -> str | None:
    """The one without a language model that is best on validation; the study's own where there is none."""
    assert view.verdict is not None
    free = [
        (score, row.label) for row in view.rows if row.role is Role.BASELINE if (score := view.score(row, "validation"))
    ]
    return view.best_of(free)[1] if free else view.verdict.baseline


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _told(view: View, role: str, point: CostPoint) -> str:
    interval = "" if point.span is None else f" ({span(point.span, view.digits)})"
    return f"{role}: {point.label}, {view.told(point.y)}{interval} in {point.cost}"


def duration(seconds: float) -> str:
    """`14 s`, `2.5 min`, `3 h`: two significant digits below ten, whole numbers above."""
    if seconds <= 0:
        return "no time"
    _, size, unit = next(one for one in UNITS if seconds >= one[0])
    value = seconds / size
    return f"{value:.2g} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"
