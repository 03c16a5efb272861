"""How shapes look: properties of CSS by class, once for the page, where colours are its theme's, and for files.

A shape names one or more classes; where two set one property, the later in this table decides, as in a style sheet.
"""

from __future__ import annotations

from functools import lru_cache

from whichtune.report.drawing.kinds import MARKS

# The page's light theme on white: what files are drawn in.
LIGHT = {
    "--paper": "#ffffff",
    "--card": "#ffffff",
    "--ink": "#1c1f24",
    "--soft": "#5a616b",
    "--rule": "#dcdad5",
    "--grid": "#eceae6",
    "--run": "#0072b2",
    "--recommended": "#c04a00",
    "--best": "#00795a",
    "--baseline": "#5f6670",
    "--plus": "#0072b2",
    "--minus": "#d55e00",
}
FONT_SIZE = 12.0

Look = dict[str, str]
LOOKS: dict[str, Look] = {
    "grid": {"stroke": "--grid"},
    "rule": {"stroke": "--rule"},
    "paper": {"fill": "--card", "stroke": "--rule"},
    "tick": {"fill": "--soft", "font-size": "11px"},
    "axis": {"fill": "--soft"},
    "value": {"fill": "--soft"},
    "name": {"fill": "--ink"},
    "title": {"fill": "--ink", "font-weight": "bold"},
    "cell": {"fill": "--ink", "font-size": "11px"},
    "strong": {"font-weight": "bold"},
    "untested": {"font-style": "italic"},
    "plate": {"fill": "--paper"},
    "leader": {"stroke": "--soft", "stroke-width": "0.8"},
    "key-name": {"fill": "--soft", "font-size": "11px"},
    "small": {"fill-opacity": "0.5"},
    **{f"m-{mark}": {"fill": f"--{mark}", "stroke": "--paper", "stroke-width": "1.2"} for mark in MARKS},
    "m-baseline": {"fill": "--paper", "stroke": "--baseline", "stroke-width": "1.8"},
    "whisker": {"stroke-width": "2", "stroke-linecap": "round", "opacity": "0.75"},
    "seed": {"fill": "--paper", "stroke": "--ink", "fill-opacity": "0.7", "stroke-opacity": "0.8"},
    "front": {"fill": "none", "stroke": "--soft", "stroke-width": "1.4", "stroke-dasharray": "5 4"},
    "curve": {"fill": "none", "stroke-width": "1.6", "stroke-linejoin": "round"},
    "point": {"fill": "--paper", "stroke-width": "1.2"},
    "best-point": {"fill": "none", "stroke-width": "1.8"},
    "range": {"stroke": "--rule", "stroke-width": "1.4", "stroke-dasharray": "3 3"},
    **{f"c-{mark}": {"stroke": f"--{mark}"} for mark in MARKS},
    "c-published": {"stroke": "--ink"},
    "c-other": {"stroke": "--soft", "stroke-width": "1.1", "opacity": "0.35"},
    "c-any": {"stroke": "--soft"},
    "train": {"stroke-dasharray": "3 3", "opacity": "0.75"},
    "validation": {"stroke-dasharray": "none"},
    "published": {"stroke-dasharray": "1.5 3.5"},
    "faint": {"opacity": "0.28"},
    **{f"b-{mark}": {"fill": f"--{mark}"} for mark in MARKS},
    "bar-baseline": {"fill-opacity": "0.55"},
    "band": {"opacity": "0.16"},
    "hit": {"fill": "--plus"},
    "miss": {"fill": "--minus"},
}


def style_sheet() -> str:
    """The table as CSS, for a page whose style sheet defines the colours."""
    return "".join(f"svg .{name}{{{_declarations(look)}}}\n" for name, look in LOOKS.items())


def _declarations(look: Look) -> str:
    written = {name: f"var({value})" if value.startswith("--") else value for name, value in look.items()}
    return ";".join(f"{name}:{value}" for name, value in written.items())


@lru_cache(maxsize=512)
def look_of(classes: str) -> Look:
    """All properties of a shape of these classes, in the colours of files."""
    named = set(classes.split())
    merged: Look = {}
    for name, look in LOOKS.items():
        if name in named:
            merged |= look
    return {name: LIGHT.get(value, value) for name, value in merged.items()}


def font_size(classes: str) -> float:
    """Of text with these classes, in pixels."""
    return float(look_of(classes).get("font-size", f"{FONT_SIZE}px").removesuffix("px"))


def is_bold(classes: str) -> bool:
    """Whether text with these classes is."""
    return look_of(classes).get("font-weight") == "bold"
