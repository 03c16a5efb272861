"""The page: one HTML file with its styles, its script and every figure inside it, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from whichtune.records.store import StudyFolder
from whichtune.report import details, tables, tuning
from whichtune.report.answers import other_pairs, questions
from whichtune.report.checks import checks_content
from whichtune.report.copied import CITATION, study_file
from whichtune.report.cost_notes import cost_notes
from whichtune.report.decision import decision_of
from whichtune.report.decision_figure import decision_picture
from whichtune.report.drawing.kinds import Bars, Curves, Differences, Dots, Figure, Gains, Growth, Scatter, Sensitivity
from whichtune.report.drawing.looks import style_sheet
from whichtune.report.drawing.on_page import legend, panels, two_sizes
from whichtune.report.figures import all_figures, of_kind
from whichtune.report.learning import learning_content
from whichtune.report.names import short_data, short_model
from whichtune.report.price_box import price_box
from whichtune.report.run_notes import run_notes
from whichtune.report.sections import page_of
from whichtune.report.study_table import row_id, study_table
from whichtune.report.templates import asset, render
from whichtune.report.view import View
from whichtune.study.folders import study_name
from whichtune.study.spec import Study
from whichtune.wording import listing, plural


def render_page(view: View, folder: StudyFolder, drawn: list[Figure] | None = None) -> str:
    """report.html."""
    style = asset("page.css") + asset("examples.css") + style_sheet()
    script = asset("page.js") + asset("examples.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    content = page_content(view, folder, all_figures(view, folder) if drawn is None else drawn)
    return str(render("page.html.j2", style=style, script=script, script_digest=digest, **content))


def page_content(view: View, folder: StudyFolder, drawn: list[Figure]) -> dict[str, object]:
    """Everything the template shows."""
    return {
        "name": title_of(view),
        "facts": headline_facts(view),
        "verdict": view.verdict,
        "decision": decision_of(view),
        "picture": decision_picture(view),
        "ids": {label: row_id(view, label) for label in view.groups},
        "questions": questions(view),
        "checks": checks_content(view.summary.checks),
        "table": study_table(view),
        "failed": details.failed_runs(view),
        "footnotes": [*tables.figure_notes(view), *cost_notes(view)],
        "legend": legend({view.mark(row.label) for row in view.rows}),
        "scores": [two_sizes(figure) for figure in of_kind(drawn, Dots)],
        "costs": [two_sizes(figure) for figure in of_kind(drawn, Scatter)],
        "tuning": tuning_content(view, drawn),
        "learning": learning_content(view, drawn),
        "curves": [panels(figure) for figure in of_kind(drawn, Curves)],
        "bars": [panels(figure) for figure in of_kind(drawn, Bars)],
        "differences": next(iter(of_kind(drawn, Differences)), None),
        "other_pairs": other_pairs(view),
        "price": price_box(view),
        "sections": page_of(view).sections(view, folder, drawn),
        "published": details.published_table(view),
        "claims": details.claims(view),
        "settings": details.settings_tables(view),
        "machines": details.machine_tables(view),
        "fingerprints": details.fingerprints(view),
        "data": details.data_facts(view),
        "notes": run_notes(view),
        "command": view.study.command,
        "study_file": study_file(view.study),
        "citation": CITATION,
    }


def tuning_content(view: View, drawn: list[Figure]) -> dict[str, object] | None:
    """The section on the search; None where there was none."""
    if view.summary.tuning is None:
        return None
    return {
        "sentences": tuning.tuning_lines(view),
        "figures": [
            panels(figure)
            for figure in drawn
            if isinstance(figure, Gains | Sensitivity) and not isinstance(figure, Growth)
        ],
        "selected": tuning.selected_table(view),
        "draws": tuning.draws_table(view),
        "ranges": tuning.searched_ranges(view),
    }


def title_of(view: View) -> str:
    """The study's name; of one that nobody named, its data and its model."""
    if view.study.name not in (Study.model_fields["name"].default, study_name(view.study)):
        return view.study.name
    return f"{short_data(view.study.data.source)} with {models_of(view)}"


def models_of(view: View) -> str:
    """The study's models by their short names."""
    return listing([short_model(model) for model in view.study.models or [view.study.model]], most=4)


@dataclass(frozen=True)
class Named:
    """A short name, with the whole of it."""

    kind: str
    short: str
    whole: str


def headline_facts(view: View) -> list[Named]:
    """The line under the title."""
    runs = plural(sum(len(runs) for runs in view.groups.values()), "run")
    finished = max((run.finished_at for run in view.done if run.finished_at), default=None)
    tests = max((run.metrics.test.n for run in view.done if run.metrics.test is not None), default=0)
    return [
        Named("data", short_data(view.study.data.source), view.study.data.source),
        Named("model", models_of(view), ", ".join(view.study.models or [view.study.model])),
        Named("", f"{runs}, {len(view.failed)} not completed" if view.failed else runs, ""),
        *([Named("", plural(tests, "test text"), "")] if tests else []),
        *([Named("", finished[:10], "")] if finished else []),
    ]
