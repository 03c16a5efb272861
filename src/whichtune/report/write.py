"""Everything that `whichtune report` leaves in a study's folder, drawn from its records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whichtune.evidence.stored import doubts, read_summary, with_warnings
from whichtune.evidence.summary import Summary
from whichtune.records.store import StudyFolder
from whichtune.report import tables, tuning
from whichtune.report.figures import all_figures
from whichtune.report.view import View


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
    drawn = all_figures(view, folder)
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
    return view_of(load_summary(folder), folder)


def view_of(summary: Summary, folder: StudyFolder) -> View:
    """A summary with the curves of its runs."""
    return View(summary, {run.run_id: curve for run in summary.runs if (curve := folder.curves(run.run_id))})


def load_summary(folder: StudyFolder) -> Summary:
    """summary.json as a typed value; what of it is not to be believed stands before its verdict.

    Raises StoreError where it is no study's summary.
    """
    stored = read_summary(folder)
    return with_warnings(stored.summary, doubts(folder, stored))
