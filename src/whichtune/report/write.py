"""Everything that `whichtune report` leaves in a study's folder, drawn from its records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whichtune.errors import StoreError
from whichtune.records.record import SCHEMA_VERSION
from whichtune.records.store import StudyFolder
from whichtune.report import tables
from whichtune.report.figures import all_figures
from whichtune.report.view import View


@dataclass(frozen=True)
class Report:
    """The files that were written."""

    page: Path
    tables: list[Path]
    figures: list[Path]

    def paths(self) -> dict[str, Any]:
        """As plain values, for machines."""
        return {"page": str(self.page), "tables": list(map(str, self.tables)), "figures": list(map(str, self.figures))}


def write_report(folder: StudyFolder, figures: bool = True) -> Report:
    """report.html, table.md, table.csv, table.tex, and each figure as PNG and SVG under `figures/`.

    Reads summary.json and what the runs left behind; loads no torch. Raises StoreError where the folder is
    no study's or cannot be written.
    """
    from whichtune.report.page import render_page

    view = load_view(folder)
    drawn = all_figures(view)
    page = folder.write_text("report.html", render_page(view, folder, drawn))
    written = [
        folder.write_text("table.md", tables.markdown_table(view.summary)),
        folder.write_text("table.csv", tables.runs_csv(view.summary)),
        folder.write_text("table.tex", tables.latex_table(view.summary)),
    ]
    files: list[Path] = []
    if figures:
        from whichtune.report.plots import save_figures

        files = save_figures(drawn, folder.path / "figures")
    return Report(page, written, files)


def load_view(folder: StudyFolder) -> View:
    """The study's summary with the curves of its runs. Raises StoreError where it is no study's summary."""
    summary = folder.read_json("summary.json")
    if not isinstance(summary, dict) or not isinstance(summary.get("runs"), list) or "study" not in summary:
        raise StoreError(f"'{folder.path / 'summary.json'}' is no summary of a study: run the study again.")
    if summary.get("schema_version") != SCHEMA_VERSION:
        raise StoreError(
            f"'{folder.path / 'summary.json'}' has schema version {summary.get('schema_version')}, and this "
            f"whichtune reads version {SCHEMA_VERSION}: use the version that wrote it."
        )
    curves: dict[str, list[dict[str, Any]]] = {}
    for run in summary["runs"]:
        try:
            curve = folder.curves(run["run_id"])
        except ValueError as error:
            path = folder.run_folder(run["run_id"]) / "curves.jsonl"
            raise StoreError(f"'{path}' cannot be read: {error}.") from error
        if curve:
            curves[run["run_id"]] = curve
    return View(summary, curves)
