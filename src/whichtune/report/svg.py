"""Figures as SVG that stands inside the page: small, themed by its style sheet, no identifiers.

Colours come from classes (`m-run`, `m-best`, ...), so that dark mode and print need no second drawing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from whichtune.report.scales import (
    Scale,
    clip,
    log_ticks,
    nice_ticks,
    padded,
    padded_log,
    place_labels,
    text_units,
    tick_text,
)

WIDE, NARROW = 760, 360
CHARACTER = 6.6  # mean width of a sign at the page's 12 px


class Canvas:
    """Collects SVG elements; every value is escaped as it is written."""

    def __init__(self, width: float, height: float, alt: str, kind: str = "") -> None:
        self.parts: list[str] = []
        self.width, self.height, self.alt, self.kind = width, height, alt, kind

    def add(self, tag: str, inside: str = "", title: str = "", **attributes: Any) -> None:
        """One element with its text; `class_` and underscores are written as SVG writes them."""
        written = "".join(
            f' {name.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
            for name, value in attributes.items()
            if value is not None and value != ""
        )
        note = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(f"<{tag}{written}>{note}{escape(inside)}</{tag}>" if inside or note else f"<{tag}{written}/>")

    def line(self, x1: float, y1: float, x2: float, y2: float, class_: str) -> None:
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)

    def text(self, x: float, y: float, text: str, class_: str = "", anchor: str = "", title: str = "") -> None:
        self.add("text", text, title, x=x, y=y, class_=class_, text_anchor="" if anchor == "start" else anchor)

    def mark(self, kind: str, x: float, y: float, r: float, title: str = "") -> None:
        """One of the four marks, told apart by shape as well as by colour."""
        shapes: dict[str, Callable[[], None]] = {
            "recommended": lambda: self._path(
                f"M{x:.1f} {y - 1.35 * r:.1f}l{1.35 * r:.1f} {1.35 * r:.1f}l{-1.35 * r:.1f} {1.35 * r:.1f}"
                f"l{-1.35 * r:.1f} {-1.35 * r:.1f}z",
                "m-recommended",
                title,
            ),
            "best": lambda: self._path(
                f"M{x:.1f} {y - 1.25 * r:.1f}l{1.2 * r:.1f} {2.1 * r:.1f}h{-2.4 * r:.1f}z", "m-best", title
            ),
            "baseline": lambda: self.add(
                "rect", "", title, x=x - r, y=y - r, width=2 * r, height=2 * r, class_="m-baseline"
            ),
            "run": lambda: self.add("circle", "", title, cx=x, cy=y, r=r, class_="m-run"),
        }
        shapes[kind]()

    def _path(self, d: str, class_: str, title: str) -> None:
        self.add("path", "", title, d=d, class_=class_)

    def finish(self) -> Markup:
        head = f'<svg class="{escape(self.kind)}" viewBox="0 0 {_short(self.width)} {_short(self.height)}" role="img"'
        return Markup(f'{head} aria-label="{escape(self.alt)}">{"".join(self.parts)}</svg>')


def _short(value: Any) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def legend_mark(kind: str) -> Markup:
    """One mark alone, for the legend; its name stands beside it in words."""
    canvas = Canvas(16, 16, "", "key")
    canvas.mark(kind, 8, 8, 5)
    body = "".join(canvas.parts)
    return Markup(f'<svg class="key" viewBox="0 0 16 16" aria-hidden="true" focusable="false">{body}</svg>')


def _ground(canvas: Canvas, x: Scale, top: float, bottom: float, ticks: list[float], axis: str) -> None:
    """Vertical grid with its ticks and the axis title below."""
    for tick in ticks:
        canvas.line(x(tick), top, x(tick), bottom, "grid")
        canvas.text(x(tick), bottom + 16, tick_text(tick), "tick", "middle")
    canvas.text((x.start + x.end) / 2, bottom + 36, axis, "axis", "middle")


def dots(figure: dict[str, Any], width: int = WIDE) -> Markup:
    """Every seed, the mean and its interval; labels on the left, above their row where there is no room."""
    rows, narrow = figure["rows"], width < 500
    longest = max(text_units(row["label"]) for row in rows)
    left = 14.0 if narrow else min(260.0, longest * CHARACTER + 24)
    step, top = (38, 8) if narrow else (26, 10)
    bottom = top + step * len(rows)
    values = [v for row in rows for v in (row["mean"], row["low"], row["high"], *(s[1] for s in row["seeds"]))]
    low, high = padded([v for v in values if v is not None], 0.04, 0.4)
    x = Scale(max(low, -2), min(high, 102), left, width - 62)
    canvas = Canvas(width, bottom + 44, figure["alt"], "dots")
    ticks = [t for t in nice_ticks(x.low, x.high, 4 if narrow else 7) if 0 <= t <= 100]
    _ground(canvas, x, top, bottom, ticks, figure["axis"])
    for place, row in enumerate(rows):
        y = top + step * (place + 0.5) + (8 if narrow else 0)
        canvas.line(left, y, width - 62, y, "rule")
        name = clip(row["label"], int((width - 20) / CHARACTER) if narrow else int((left - 16) / CHARACTER))
        at = (2.0, y - 13, "start") if narrow else (left - 14, y + 4, "end")
        canvas.text(at[0], at[1], name, "name", at[2], row["label"] if name != row["label"] else "")
        if row["low"] is not None:
            canvas.line(x(max(row["low"], x.low)), y, x(min(row["high"], x.high)), y, f"whisker w-{row['mark']}")
        canvas.mark(row["mark"], x(row["mean"]), y, 5.5, f"{row['label']}: mean {row['mean']:.2f} %")
        for seed, value in row["seeds"] if len(row["seeds"]) > 1 else []:
            canvas.add("circle", "", f"seed {seed}: {value:.2f} %", cx=x(value), cy=y, r=3.0, class_="seed")
        canvas.text(width - 4, y + 4, f"{row['mean']:.2f}", "value", "end")
    return canvas.finish()


def scatter(figure: dict[str, Any], width: int = WIDE) -> Markup:
    """Score against a cost with intervals, the Pareto front and as many names as fit."""
    narrow = width < 500
    height = 330 if narrow else 400
    left, right, top, bottom = 50.0, width - 14.0, 14.0, height - 48.0
    points = figure["points"]
    xs = [point["x"] for point in points]
    across = padded_log(xs) if figure["log"] else (0.0, max(xs) * 1.1 or 1.0)
    ys = [v for p in points for v in (p["y"], p["low"], p["high"]) if v is not None]
    low, high = padded(ys, 0.06, 0.4)
    x = Scale(*across, left, right, figure["log"])
    y = Scale(max(low, -3), min(high, 103), bottom, top)
    canvas = Canvas(width, height, figure["alt"], "scatter")
    _ground(
        canvas,
        x,
        top,
        bottom,
        log_ticks(*across) if figure["log"] else nice_ticks(*across, 4 if narrow else 7),
        figure["axis_x"],
    )
    for tick in (t for t in nice_ticks(y.low, y.high) if 0 <= t <= 100):
        canvas.line(left, y(tick), right, y(tick), "grid")
        canvas.text(left - 8, y(tick) + 4, tick_text(tick), "tick", "end")
    canvas.add(
        "text", figure["axis_y"], x=0, y=0, class_="axis", text_anchor="middle",
        transform=f"translate(13 {(top + bottom) / 2:.0f}) rotate(-90)",
    )  # fmt: skip
    front = sorted((p for p in points if p["front"]), key=lambda p: p["x"])
    path = "".join(
        f"{'M' if i == 0 else 'H'}{x(p['x']):.1f}" + (f" {y(p['y']):.1f}" if i == 0 else f"V{y(p['y']):.1f}")
        for i, p in enumerate(front)
    )
    canvas.add("path", d=f"{path}H{right:.1f}", class_="front")
    for p in points:
        if p["low"] is not None:
            canvas.line(
                x(p["x"]), y(max(p["low"], y.low)), x(p["x"]), y(min(p["high"], y.high)), f"whisker w-{p['mark']}"
            )
    order = sorted(points, key=lambda p: (p["mark"] in ("run", "baseline"), not p["front"], -p["y"]))
    names = [clip(p["label"], 22) for p in order]
    spots = place_labels(
        [(x(p["x"]), y(p["y"]), n) for p, n in zip(order, names, strict=True)], (left, top - 10, right + 10, bottom)
    )
    for p, name, spot in reversed(list(zip(order, names, spots, strict=True))):
        note = f"{p['label']}: {p['y']:.2f} %, {p['cost']}"
        canvas.mark(p["mark"], x(p["x"]), y(p["y"]), 5.5, note)
        if spot is not None:
            canvas.text(spot[0], spot[1], name, "name halo", spot[2])
    return canvas.finish()


def curve_panels(figure: dict[str, Any]) -> list[tuple[str, Markup]]:
    """A small drawing for each panel, all on one scale."""
    lines = [line for panel in figure["panels"] for line in panel["lines"]]
    xs = [x for line in lines for x, _ in line["points"]]
    low, high = padded([y for line in lines for _, y in line["points"]], 0.05, 0.01)
    left_edge = min(0.0, *xs) if len(xs) > 1 else 0.0
    bounds = (left_edge, max(xs) or 1.0, max(low, 0.0), high)
    return [(panel["title"], _curve_panel(figure, panel, bounds)) for panel in figure["panels"]]


def _curve_panel(figure: dict[str, Any], panel: dict[str, Any], bounds: tuple[float, ...]) -> Markup:
    joined = panel.get("joined", False)
    width, height = (WIDE, 360) if joined else (250, 170)
    x = Scale(bounds[0], bounds[1], 38.0, width - 8.0)
    y = Scale(bounds[2], bounds[3], height - 34.0, 8.0)
    alt = f"{figure['title']}: {panel['title']}, {len(panel['lines'])} lines."
    canvas = Canvas(width, height, alt, "curves")
    for tick in nice_ticks(bounds[2], bounds[3], 7 if joined else 4):
        canvas.line(38, y(tick), width - 8, y(tick), "grid")
        canvas.text(33, y(tick) + 4, tick_text(tick), "tick", "end")
    for tick in nice_ticks(bounds[0], bounds[1], 4):
        canvas.text(x(tick), height - 19, tick_text(tick), "tick", "middle")
    canvas.text((38 + width - 8) / 2, height - 4, figure["axis_x"], "tick", "middle")
    for line in panel["lines"]:
        mark = line.get("mark", panel["mark"])
        faint = " faint" if joined and mark in ("run", "baseline") else ""
        style = f"curve c-{mark} {line['series']}{faint}"
        drawn = [(x(a), y(b)) for a, b in line["points"]]
        seed = "" if line["seed"] is None else f", seed {line['seed']}"
        note = f"{line.get('label', panel['title'])}, {line['series']}{seed}"
        canvas.add("polyline", "", note, points=" ".join(f"{a:.1f},{b:.1f}" for a, b in drawn), class_=style)
        if len(drawn) <= 8:
            for a, b in drawn:
                canvas.add("circle", cx=a, cy=b, r=2.2, class_=f"point c-{mark} {line['series']}")
        if line.get("best") and not faint:
            across, up = line["best"]
            where = f"best point: {tick_text(across)} {figure['axis_x']}, {up:.4g}"
            canvas.add("circle", "", where, cx=x(across), cy=y(up), r=4.4, class_=f"best-point c-{mark}")
    return canvas.finish()


def bar_panels(figure: dict[str, Any]) -> list[tuple[str, Markup]]:
    """A small drawing for each panel; every axis begins at zero."""
    return [(panel["title"], _bar_panel(panel)) for panel in figure["panels"]]


def _bar_panel(panel: dict[str, Any]) -> Markup:
    bars, width, step = panel["bars"], 360, 24
    name_units = min(18, max(text_units(bar["label"]) for bar in bars))
    value_units = max(text_units(bar["text"]) for bar in bars)
    left, right = name_units * CHARACTER * 1.1 + 12, width - value_units * CHARACTER - 10
    x = Scale(0, max(bar["value"] for bar in bars) or 1.0, left, right)
    canvas = Canvas(width, step * len(bars) + 6, f"Bar chart: {panel['title']}.", "bars")
    canvas.line(left, 0, left, step * len(bars) + 4, "rule")
    for place, bar in enumerate(bars):
        y = 3 + step * place
        name = clip(bar["label"], name_units)
        canvas.text(left - 8, y + 15, name, "name", "end", bar["label"] if name != bar["label"] else "")
        long = max(1.0, x(bar["value"]) - left)
        canvas.add("rect", x=left, y=y + 3, width=long, height=step - 9, rx=1.5, class_=f"bar b-{bar['mark']}")
        canvas.text(left + long + 6, y + 15, bar["text"], "value")
    return canvas.finish()


def confusion_grid(figure: dict[str, Any]) -> Markup:
    """A large confusion matrix: a square a cell, darker for a larger share of its true class, 0 left out."""
    size = len(figure["rows"])
    cell = 360 / size
    canvas = Canvas(360, 360, figure["alt"], "grid-map")
    canvas.add("rect", x=0, y=0, width=360, height=360, class_="paper")
    for i, row in enumerate(figure["cells"]):
        for j, value in enumerate(row):
            if value["value"] > 0:
                canvas.add(
                    "rect", x=j * cell, y=i * cell, width=cell, height=cell,
                    class_="hit" if i == j else "miss", fill_opacity=f"{0.15 + 0.85 * value['value']:.2f}",
                )  # fmt: skip
    return canvas.finish()
