"""Figures as PNG and SVG files, from the same drawing as the page's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whichtune.errors import StoreError
from whichtune.records.store import LEADS_OUT
from whichtune.report.drawing.kinds import Figure
from whichtune.report.drawing.png import save_png
from whichtune.report.drawing.sheets import sheets
from whichtune.report.drawing.svg import as_file


def save_figures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write NAME.png and NAME.svg of each figure. Raises StoreError where the folder cannot be written.

    Of the confusion matrices the first six (the rows of highest score) become one figure. Raises StoreError
    for a folder that is a link, too: pictures are removed there.
    """
    if folder.is_symlink():
        raise StoreError(f"'{folder}' {LEADS_OUT}: remove it.")
    written = []
    try:
        folder.mkdir(exist_ok=True)
        for old in [*folder.glob("*.png"), *folder.glob("*.svg")]:
            old.unlink()  # of an earlier report, whose rows may be others
        for name, canvas in sheets(figures):
            picture, drawing = folder / f"{name}.png", folder / f"{name}.svg"
            save_png(canvas, picture)
            drawing.write_text(as_file(canvas), encoding="utf-8")
            written += [picture, drawing]
    except OSError as error:
        raise StoreError(f"The figures cannot be written to '{folder}': {error.strerror}.") from error
    return written
