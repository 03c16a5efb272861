"""The table in Markdown, LaTeX and CSV, with the notes under it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from whichtune.metrics import metric_title
from whichtune.records.record import SPLITS
from whichtune.report import words
from whichtune.report.cells import cell
from whichtune.report.columns import EPOCHS, Column, has_stopping, score_columns
from whichtune.report.cost_columns import cost_columns
from whichtune.report.cost_notes import OUTSIDE, cost_notes, is_outside
from whichtune.report.rows import TableRow
from whichtune.report.run_notes import run_notes, stopping_notes
from whichtune.report.sections import page_of
from whichtune.report.view import View
from whichtune.study.roles import Role
from whichtune.study.spec import ADDED_SETTINGS

SHOWN_SETTINGS = (
    "token_position",
    "context_length",
    "long_texts_keep",
    "padding",
    "attend_to_padding",
    "causal_mask",
    "weights",
    "dropout",
    "epochs",
    "max_steps",
    "batching",
    "batch_size",
    "accumulation_steps",
    "optimiser",
    "learning_rate",
    "weight_decay",
    "schedule",
    "warmup_steps",
    "warmup_ratio",
    "gradient_clip",
    "precision",
    "device",
    "plan",
)


# Ranks that are not ruled out, and rows that are not told apart from the first of their number.
PLACES = ["rank", "ties"]


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    header: list[str]
    rows: list[list[str]]


def columns_of(view: View) -> list[Column]:
    """Every column of table.md but the row's name and seeds, in order."""
    page = page_of(view)
    epochs = [EPOCHS] if has_stopping(view) else []
    return [*score_columns(view, page.beside_loss), *cost_columns(view, page.uses), *epochs]


def cells(view: View, beside: bool = True) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the table as text; what did not complete is said beside the label.

    `beside`: with the 95th percentile of durations beside their median.
    """
    columns = columns_of(view)
    rows = [
        [_name(view, row), seeds_text(row), *places(view, row), *(_cell(column, row, beside) for column in columns)]
        for row in view.rows
    ]
    return ["run", "seeds", *(PLACES if view.places else []), *(column.title for column in columns)], rows


def places(view: View, row: TableRow) -> Sequence[str]:
    """The row's ranks and tie group, where rows have them."""
    return view.places.get(row.label, (words.NOTHING, words.NOTHING)) if view.places else ()


def _name(view: View, row: TableRow) -> str:
    broken = row.runs - row.completed
    failed = f" [{broken} of {row.runs} {' and '.join(row.statuses)}]" if broken else ""
    beside = f" [{OUTSIDE}]" if is_outside(view, row.label) else ""
    return row.label + (" (baseline)" if row.role is Role.BASELINE else "") + failed + beside


def seeds_text(row: TableRow) -> str:
    """The seeds of a row's completed runs."""
    return ", ".join(str(seed) for seed in row.seeds if seed is not None) or words.NOTHING


def _cell(column: Column, row: TableRow, tails: bool) -> str:
    """A figure; of scores on test, where seeds differ, the lowest and the highest too."""
    ends = column.ends(row) if column.split == "test" and column.show is words.percent else None
    tail = column.tail_text(row) if tails else ""
    beside = tail if ends is None or ends[0] == ends[1] else words.span(ends)
    return column.text(row) + (f" ({beside})" if beside else "")


def markdown_table(view: View, more: Sequence[str] = ()) -> str:
    """table.md: one row a label, the reasons of what failed, and what the figures are.

    `more` are lines of Markdown between the verdict and the notes.
    """
    lines = [*markdown_rows(*cells(view)), "", "## Verdict", "", *(f"{escape(line)}\n" for line in verdict_lines(view))]
    lines += [*more, "## Notes", "", *(f"{escape(note)}\n" for note in [*footnotes(view), *run_notes(view)])]
    return "\n".join(lines).rstrip() + "\n"


def markdown_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown, a line each."""
    lines = ["| " + " | ".join(escape(cell) for cell in line) + " |" for line in [header, *rows]]
    return [lines[0], "| --- " * len(header) + "|", *lines[1:]]


def escape(text: str) -> str:
    """Text that Markdown shows as it is: no cell ends early, nothing becomes HTML, a link or emphasis."""
    text = " ".join(text.split())
    for sign in "\\`*[]|~$":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "−": "$-$",
}


def latex_escape(text: str) -> str:
    """Text that LaTeX sets as it is. Other than Latin letters need XeLaTeX or LuaLaTeX."""
    return "".join(LATEX.get(sign, sign) for sign in " ".join(text.split()))


def latex_table(view: View) -> str:
    """table.tex: a `table` environment that needs the `booktabs` and `graphicx` packages.

    Scores and costs stand below each other: side by side they would be too small to read on a page.
    """
    header, rows = cells(view)
    cut = header.index("trainable parameters")
    halves = [range(cut), [0, *range(cut, len(header))]]
    scores, costs = ([[line[i] for i in half] for line in [header, *rows]] for half in halves)
    lines = ["% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.", "\\begin{table}", "\\centering"]
    lines += [*_tabular(scores, "ll"), "\\par\\bigskip", *_tabular(costs, "l")]
    caption = " ".join(latex_escape(note) for note in footnotes(view))
    return "\n".join([*lines, f"\\caption{{{caption}}}", "\\end{table}"]) + "\n"


def _tabular(lines: Sequence[Sequence[str]], left: str) -> list[str]:
    """One tabular, made smaller where it is wider than the page; `left` are its columns of text."""
    header, *rows = [[latex_escape(cell) for cell in line] for line in lines]
    stacked = [header[0], *(_stacked(name) for name in header[1:])]
    return [
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{{left}{'r' * (len(header) - len(left))}}}",
        "\\toprule",
        " & ".join(stacked) + r" \\",
        "\\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}}",
    ]


def _stacked(name: str) -> str:
    """A column's name on two lines where it has several words."""
    first, _, rest = name.partition(" ")
    return rf"\shortstack[r]{{{first}\\{rest}}}" if len(rest) > 2 else name


def verdict_lines(view: View) -> list[str]:
    """What to read before the verdict, the verdict, why, and what it does not show."""
    verdict = view.verdict
    if verdict is None:
        return ["No verdict is stored with this study."]
    answers = [answer.sentence for answer in verdict.answers]
    answers += [] if verdict.stopped is None else [verdict.stopped]
    reasons = [*verdict.warnings, verdict.headline, *answers, verdict.rule, *verdict.reasons]
    reasons += verdict.paragraphs or ([verdict.against_baseline] if verdict.against_baseline else [])
    return reasons + [f"Not shown: {text}" for text in verdict.does_not_show]


def footnotes(view: View) -> list[str]:
    """What a reader must know beside the figures: what they are, shared settings, the reasons of what failed."""
    return [*figure_notes(view), *cost_notes(view), *common_settings(view), *failure_notes(view)]


def figure_notes(view: View) -> list[str]:
    """What the figures are, and where early stopping ended runs."""
    notes = [
        f"Primary metric: {metric_title(view.study.primary_metric)}. Scores are means over seeds (lowest to highest), "
        "costs medians."
    ]
    if view.places:
        notes.append(
            "Ranks are those that the tests, corrected for all pairs, do not rule out; rows of one number under ties "
            "are not told apart from the first of them."
        )
    test = next((run.metrics.test for run in view.summary.runs if run.metrics.test is not None), None)
    return [*notes, *([] if test is None else page_of(view).test_notes(view, test)), *stopping_notes(view)]


def failure_notes(view: View) -> list[str]:
    """Why runs did not complete."""
    return [f"{row.label}: {error}" for row in view.rows for error in row.errors]


def common_settings(view: View) -> list[str]:
    """One sentence with the settings that all trained runs share, defaults included."""
    specs = [run.spec for run in view.summary.runs if run.role is not Role.BASELINE]
    if not specs:
        return []
    same = {
        key: value
        for key, value in specs[0].items()
        if key in SHOWN_SETTINGS
        and value is not None
        and ADDED_SETTINGS.get(key) != value
        and all(spec.get(key) == value for spec in specs)
    }
    return [f"All runs: {', '.join(f'{key} {words.setting(value)}' for key, value in same.items())}."] if same else []


def runs_csv(view: View) -> str:
    """table.csv: one row a run, every figure unrounded."""
    lines: list[dict[str, str | float | None]] = []
    for run in view.summary.runs:
        line: dict[str, str | float | None] = {
            "run_id": run.run_id,
            "label": run.label,
            "role": run.role,
            "status": run.status,
            "method": run.method,
            "seed": run.seed,
        }
        for split in SPLITS:
            metrics = run.metrics.of(split)
            if metrics is not None:
                line |= {f"{split}_{name}": value for name, value in metrics if not isinstance(value, list)}
        line |= dict(run.cost)
        line["error"] = run.error
        lines.append({key: cell(value) for key, value in line.items()})
    names = list(dict.fromkeys(key for line in lines for key in line))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()
