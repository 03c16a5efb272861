"""The page's templates. Autoescaping is on, so that every message, label, name and path is text and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

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
    return environment


def tint(value: float, scale: str, largest: float = 1.0) -> str:
    """Strength of a cell's colour in percent, for the style sheet to mix: `--t:40%`."""
    share = min(1.0, abs(value) / largest) if largest else 0.0
    return f"--t:{5 + 45 * share:.0f}%" if scale == "sequential" else f"--t:{42 * share:.0f}%"
