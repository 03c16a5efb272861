"""What tuning bought, in tables and sentences; drawn in `tuning_figures`.

Reads `summary.json` alone. Scores are percentages here, losses as they are.
"""

from __future__ import annotations

from whichtune.metrics import metric_title
from whichtune.report import words
from whichtune.report.tables import Table, escape, markdown_rows
from whichtune.report.view import View
from whichtune.report.words import scale_of
from whichtune.stats.tuning import DrawFigures, LineFigures


def markdown_section(view: View) -> list[str]:
    """What the search was and what it selected, in Markdown; nothing where there was none."""
    selected = selected_table(view)
    if selected is None:
        return []
    table = markdown_rows(selected.header, selected.rows)
    return ["## What tuning bought", "", *(f"{escape(line)}\n" for line in tuning_lines(view)), *table, ""]


def selected_table(view: View) -> Table | None:
    """What was selected for each row that was searched, and what finding it cost."""
    tuning = view.summary.tuning
    if tuning is None:
        return None
    factor, digits, unit = scale_of(tuning.metric)
    lines = [line for line in tuning.lines if line.draws]
    settings = list(dict.fromkeys(name for line in lines for name in line.spaces))
    rows = []
    for line in lines:
        best = next((draw.score for draw in line.draws if draw.number == line.selected), None)
        failed = f", {line.failed} failed" if line.failed else ""
        rows.append(
            [
                line.label,
                f"{len(line.draws)}{_to_the_end(line)}{failed}",
                words.number(None if best is None else factor * best, digits),
                *(_selected(line, name) for name in settings),
                words.giga_operations(line.spent_flops),
                words.seconds(line.spent_seconds),
            ]
        )
    score = f"validation {metric_title(tuning.metric)}{unit}"
    names = [name.replace("_", " ") for name in settings]
    return Table(["run", "draws", score, *names, "search GFLOP", "search s"], rows)


def _to_the_end(line: LineFigures) -> str:
    return f", {len(line.ended)} to the end" if line.rungs else ""


def _outcome(draw: DrawFigures, line: LineFigures) -> str:
    if draw.number == line.selected:
        return "selected"
    return draw.error or ("" if draw.share == 1 else f"dropped after {100 * draw.share:g} % of its steps")


def _selected(line: LineFigures, setting: str) -> str:
    if setting not in line.settings:
        return words.NOTHING
    edge = f" ({line.at_edge[setting]} end)" if setting in line.at_edge else ""
    return words.setting(line.settings[setting]) + edge


def draws_table(view: View) -> Table | None:
    """Every draw of every row, the failed ones with their reason."""
    tuning = view.summary.tuning
    if tuning is None:
        return None
    factor, digits, unit = scale_of(tuning.metric)
    rows = []
    for line in tuning.lines:
        for draw in line.draws:
            said = ", ".join(f"{key.replace('_', ' ')} {words.setting(value)}" for key, value in draw.settings.items())
            score = words.number(None if draw.score is None else factor * draw.score, digits)
            rows.append([line.label, str(draw.number), said, score, words.loss(draw.loss), _outcome(draw, line)])
    header = ["run", "draw", "settings", f"validation {metric_title(tuning.metric)}{unit}", "validation loss", ""]
    return Table(header, rows) if rows else None


def searched_ranges(view: View) -> list[tuple[str, str]]:
    """The ranges of each row, in words."""
    tuning = view.summary.tuning
    return [(line.label, _ranges(line)) for line in tuning.lines] if tuning is not None else []


def _ranges(line: LineFigures) -> str:
    ranges = [f"{name.replace('_', ' ')} {space.words()}" for name, space in line.spaces.items()]
    return "; ".join(ranges) or "nothing to search"


def tuning_lines(view: View) -> list[str]:
    """The search in sentences, for tables in text."""
    return [] if view.summary.tuning is None else view.summary.tuning.sentences
