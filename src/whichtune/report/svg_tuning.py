"""The figures of a search as SVG: a small drawing for each row, all on one scale."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from whichtune.report.scales import Scale, log_ticks, nice_ticks, padded, padded_log, tick_text
from whichtune.report.svg import Canvas

WIDTH, HEIGHT = 300, 200
LEFT, RIGHT, TOP, BOTTOM = 40.0, WIDTH - 10.0, 8.0, HEIGHT - 38.0


def gain_panels(figure: dict[str, Any]) -> list[tuple[str, Markup]]:
    """Each row's expected best with its interval, the others' in grey."""
    points = [point for panel in figure["panels"] for point in panel["curve"]]
    x = _across([point["x"] for point in points], figure["log"])
    y = _upward([v for p in points for v in (p["y"], p["low"], p["high"]) if v is not None])
    return [(panel["title"], _gain_panel(figure, panel, x, y)) for panel in figure["panels"]]


def _across(xs: list[float], log: bool) -> Scale:
    if log:
        return Scale(*padded_log(xs), LEFT, RIGHT, log=True)
    low, high = padded(xs, 0.05, 0.2)
    return Scale(max(low, 0.0), high, LEFT, RIGHT)


def _upward(ys: list[float]) -> Scale:
    return Scale(*padded(ys, 0.07, 0.01), BOTTOM, TOP)


def _ground(figure: dict[str, Any], panel: dict[str, Any], x: Scale, y: Scale) -> Canvas:
    canvas = Canvas(WIDTH, HEIGHT, f"{figure['title']}: {panel['title']}.", "curves")
    for tick in nice_ticks(y.low, y.high, 5):
        canvas.line(LEFT, y(tick), RIGHT, y(tick), "grid")
        canvas.text(LEFT - 5, y(tick) + 4, tick_text(tick), "tick", "end")
    for tick in log_ticks(x.low, x.high) if x.log else nice_ticks(x.low, x.high, 6):
        canvas.text(x(tick), BOTTOM + 15, tick_text(tick), "tick", "middle")
    canvas.text((LEFT + RIGHT) / 2, HEIGHT - 6, figure["axis_x"], "tick", "middle")
    return canvas


def _gain_panel(figure: dict[str, Any], panel: dict[str, Any], x: Scale, y: Scale) -> Markup:
    canvas = _ground(figure, panel, x, y)
    for other in figure["panels"]:
        if other is not panel:
            canvas.add("polyline", "", other["title"], points=_path(other["curve"], x, y), class_="curve other")
    curve, mark = panel["curve"], panel["mark"]
    if curve[0]["low"] is not None and len(curve) > 1:
        upper = [(x(p["x"]), y(p["high"])) for p in curve]
        lower = [(x(p["x"]), y(p["low"])) for p in reversed(curve)]
        canvas.add("polygon", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in upper + lower), class_=f"band b-{mark}")
    canvas.add("polyline", points=_path(curve, x, y), class_=f"curve c-{mark}")
    for p in curve if len(curve) <= 20 else curve[-1:]:
        note = f"{panel['title']}, {p['draws']} draws: {p['y']:.4g}"
        canvas.add("circle", "", note, cx=x(p["x"]), cy=y(p["y"]), r=2.4, class_=f"point c-{mark}")
    return canvas.finish()


def _path(curve: list[dict[str, Any]], x: Scale, y: Scale) -> str:
    return " ".join(f"{x(p['x']):.1f},{y(p['y']):.1f}" for p in curve)


def sensitivity_panels(figure: dict[str, Any]) -> list[tuple[str, Markup]]:
    """Each draw's score against its learning rate, with the ends of the range."""
    panels = figure["panels"]
    x = _across([v for panel in panels for v in (*panel["range"], *(p["x"] for p in panel["points"]))], log=True)
    y = _upward([p["y"] for panel in panels for p in panel["points"]])
    return [(panel["title"], _sensitivity_panel(figure, panel, x, y)) for panel in panels]


def _sensitivity_panel(figure: dict[str, Any], panel: dict[str, Any], x: Scale, y: Scale) -> Markup:
    canvas = _ground(figure, panel, x, y)
    for end in panel["range"]:
        canvas.line(x(end), TOP, x(end), BOTTOM, "range")
    for p in sorted(panel["points"], key=lambda p: p["selected"]):
        note = f"draw {p['number']}: learning rate {p['x']:g}, {p['y']:.4g}"
        if p["selected"]:
            canvas.mark(panel["mark"], x(p["x"]), y(p["y"]), 5.5, f"{note}, selected")
        else:
            canvas.add("circle", "", note, cx=x(p["x"]), cy=y(p["y"]), r=3.4, class_="seed")
    return canvas.finish()
