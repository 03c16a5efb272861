"""One figure of a report as an object: shown by a notebook, written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from whichtune.errors import SettingError, StoreError
from whichtune.report.drawing.canvas import Canvas
from whichtune.report.drawing.kinds import Figure
from whichtune.report.drawing.png import png_bytes
from whichtune.report.drawing.sheets import sheets
from whichtune.report.drawing.svg import as_file
from whichtune.wording import path_problem, shown, shown_path


@dataclass(frozen=True)
class Picture:
    """A figure: `title`, `caption` and `alt` say in words what it shows. A notebook shows it where it ends a cell."""

    name: str
    title: str
    caption: str
    alt: str
    _canvas: Canvas = field(repr=False)

    def svg(self) -> str:
        """The figure as an SVG file's text, on white."""
        return as_file(self._canvas)

    def png(self) -> bytes:
        """The figure as a PNG file, on white; needs matplotlib's painter, which takes a moment to load."""
        return png_bytes(self._canvas)

    def save(self, path: Path | str) -> Path:
        """Write the figure as PNG or SVG, as the name ends; gives the path.

        Raises SettingError for another ending, StoreError for a file that cannot be written.
        """
        place = Path(path).expanduser()
        ending = place.suffix.lower()
        if ending not in (".svg", ".png"):
            raise SettingError(f"'{shown_path(path)}' ends in '{shown(ending)}': name it .svg or .png.")
        content = self.svg().encode() if ending == ".svg" else self.png()
        try:
            place.write_bytes(content)
        except OSError as error:
            raise StoreError(f"'{shown_path(path)}' cannot be written ({path_problem(error)}): check it.") from error
        return place

    def _repr_svg_(self) -> str:
        """For notebooks, which put it into a page: without the declaration that only a file begins with."""
        return self.svg().partition("?>\n")[2]

    def _repr_png_(self) -> bytes:
        return self.png()


def pictures(figures: Sequence[Figure]) -> dict[str, Picture]:
    """Every figure that is drawn as a file, by its file's name."""
    told: dict[str, Figure] = {}
    for figure in figures:
        told.setdefault(figure.name, figure)
        told.setdefault(figure.kind, figure)  # confusion matrices share a sheet that is called after their kind
    return {
        name: Picture(name, told[name].title, told[name].caption, canvas.alt, canvas)
        for name, canvas in sheets(figures)
    }
