"""Everything that `whichtune report` leaves in a study's folder, drawn from its records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from whichtune.errors import StoreError
from whichtune.evidence.summary import Summary
from whichtune.records.store import StudyFolder
from whichtune.report import tables, tuning
from whichtune.report.figures import all_figures
from whichtune.report.view import View
from whichtune.study.roles import SCHEMA_VERSION


@dataclass(frozen=True)
class Report:
    """The files that were written."""

    page: Path
    tables: list[Path]
    figures: list[Path]

    def paths(self) -> dict[str, str | list[str]]:
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
        folder.write_text("table.md", whole_table(view)),
        folder.write_text("table.csv", tables.runs_csv(view)),
        folder.write_text("table.tex", tables.latex_table(view)),
    ]
    files: list[Path] = []
    if figures:
        from whichtune.report.plots import save_figures

        files = save_figures(drawn, folder.path / "figures")
    return Report(page, written, files)


def whole_table(view: View) -> str:
    """table.md with its section on a search."""
    return tables.markdown_table(view, tuning.markdown_section(view))


def load_view(folder: StudyFolder) -> View:
    """The study's summary with the curves of its runs. Raises StoreError where it is no study's summary."""
    summary = load_summary(folder)
    curves = {}
    for run in summary.runs:
        try:
            curve = folder.curves(run.run_id)
        except ValueError as error:
            path = folder.run_folder(run.run_id) / "curves.jsonl"
            raise StoreError(f"'{path}' cannot be read: {error}.") from error
        if curve:
            curves[run.run_id] = curve
    return View(summary, curves)


def load_summary(folder: StudyFolder) -> Summary:
    """summary.json as a typed value. Raises StoreError where it is no study's summary."""
    path = folder.path / "summary.json"
    found = folder.read_json("summary.json")
    if not isinstance(found, dict) or not isinstance(found.get("runs"), list) or "study" not in found:
        raise StoreError(f"'{path}' is no summary of a study: run the study again.")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise StoreError(
            f"'{path}' has schema version {found.get('schema_version')}, and this whichtune reads version "
            f"{SCHEMA_VERSION}: use the version that wrote it."
        )
    try:
        return Summary.model_validate({key: value for key, value in found.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise StoreError(
            f"'{path}' is no summary that this whichtune can read ('{place}': {first['msg']}): run the study again."
        ) from error
