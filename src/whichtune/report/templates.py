"""The page's templates. Autoescaping is on, so that every message, label, name and path is text and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from whichtune.report.drawing.kinds import Cell, Matrix
from whichtune.report.drawing.matrices import strength
from whichtune.report.names import breakable

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


@dataclass(frozen=True)
class Section:
    """A section of the page: `name` is its id, `title` stands in the list of sections, `html` holds it whole."""

    name: str
    title: str
    html: Markup


def asset(name: str) -> str:
    """A file of the page: its style sheet, its script, a template."""
    return (resources.files("whichtune.report") / "assets" / name).read_text(encoding="utf-8")


def render(template: str, **content: object) -> Markup:
    """A template of the page, filled."""
    from markupsafe import Markup

    return Markup(_environment().get_template(template).render(**content))


@cache
def _environment() -> Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["tint"] = tint
    environment.filters["breakable"] = breakable
    return environment


def tint(cell: Cell, figure: Matrix) -> str:
    """Strength of a cell's colour in percent, for the style sheet to mix: `--t:40%`."""
    return f"--t:{strength(cell.value, figure):.0f}%"
