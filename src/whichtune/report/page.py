"""The page: one HTML file with its styles, its script and every figure inside it, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

from whichtune.records.store import StudyFolder
from whichtune.report import details, figures, matrices, svg, svg_tuning, tables, tuning
from whichtune.report.disagreement import disagreements
from whichtune.report.run_notes import run_notes
from whichtune.report.samples import samples
from whichtune.report.summary import ROUGE_NAMES
from whichtune.report.view import MARKS, View

CLASS_SCORES: list[tuple[str, str, Any]] = [
    ("test accuracy %", "test_accuracy", tables.percent),
    ("test macro F1 %", "test_f1_macro", tables.percent),
    ("test loss", "test_loss", tables.loss),
    ("validation accuracy %", "validation_accuracy", tables.percent),
    ("train accuracy %", "train_accuracy", tables.percent),
]
TEXT_SCORES: list[tuple[str, str, Any]] = [
    *((f"test {name} %", f"test_{key}", tables.percent) for key, name in ROUGE_NAMES.items()),
    ("test loss", "test_loss", tables.loss),
    ("test perplexity", "test_perplexity", tables.number),
    ("validation ROUGE-L %", "validation_rougeL", tables.percent),
]
NO_VERDICT: dict[str, Any] = {"headline": "", "warnings": [], "reasons": [], "does_not_show": [], "rule": ""}


def render_page(view: View, folder: StudyFolder, drawn: list[dict[str, Any]] | None = None) -> str:
    """report.html. Autoescaping is on, so that every message, label, name and path is text and nothing else."""
    import jinja2

    files = resources.files("whichtune.report") / "assets"
    style, script = ((files / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (files / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        style=style, script=script, script_digest=digest, **page_content(view, folder, drawn)
    )


def page_content(view: View, folder: StudyFolder, drawn: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Everything the template shows."""
    drawn = figures.all_figures(view) if drawn is None else drawn
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for figure in drawn:
        by_kind.setdefault(figure["kind"], []).append(figure)
    matrix = {figure["name"]: figure for figure in by_kind.get("matrix", [])}
    return {
        "name": view.study.get("name", "study"),
        "facts": headline_facts(view),
        "verdict": {**NO_VERDICT, **view.verdict} if view.verdict else None,
        "table": study_table(view),
        "failed": details.failed_runs(view),
        "footnotes": [note for note in tables.footnotes(view.summary) if not _elsewhere(view, note)],
        "legend": [(svg.legend_mark(key), name) for key, name in MARKS.items() if key in _marks_used(view)],
        "scores": [_two_sizes(f, svg.dots) for f in by_kind.get("dots", [])],
        "costs": [_two_sizes(f, svg.scatter) for f in by_kind.get("scatter", [])],
        "tuning": tuning_content(view, by_kind),
        "curves": [{**f, "drawn": svg.curve_panels(f)} for f in by_kind.get("curves", [])],
        "bars": [{**f, "drawn": svg.bar_panels(f)} for f in by_kind.get("bars", [])],
        "differences": matrix.get("differences"),
        "comparisons": comparison_rows(view),
        "classes": matrix.get("classes"),
        "confusions": [
            {**f, "drawn": None if f["written"] else svg.confusion_grid(f)} for f in by_kind.get("confusion", [])
        ],
        "examples": None if view.writes_texts else disagreements(view, folder),
        "samples": samples(view, folder),
        "paragraphs": paragraphs(view),
        "published": details.published_table(view),
        "claims": details.claims(view),
        "settings": details.settings_tables(view),
        "machines": details.machine_tables(view),
        "fingerprints": details.fingerprints(view),
        "data": details.data_facts(view),
        "notes": run_notes(view.summary),
        "command": view.study.get("command"),
        "tint": tint,
    }


def tuning_content(view: View, by_kind: dict[str, list[dict[str, Any]]]) -> dict[str, Any] | None:
    """The section on the search; None where there was none."""
    if tuning.tuning_of(view.summary) is None:
        return None
    return {
        "sentences": tuning.tuning_lines(view.summary),
        "gains": [{**f, "drawn": svg_tuning.gain_panels(f)} for f in by_kind.get("gains", [])],
        "sensitivity": [{**f, "drawn": svg_tuning.sensitivity_panels(f)} for f in by_kind.get("sensitivity", [])],
        "selected": tuning.selected_table(view.summary),
        "draws": tuning.draws_table(view.summary),
        "ranges": tuning.searched_table(view.summary),
    }


def _elsewhere(view: View, note: str) -> bool:
    """Shared settings and the reasons of failed runs have tables of their own on the page."""
    return note.startswith("All runs: ") or any(
        note == f"{row['label']}: {error}" for row in view.rows for error in row["errors"]
    )


def _marks_used(view: View) -> set[str]:
    return {view.mark(row["label"]) for row in view.rows}


def _two_sizes(figure: dict[str, Any], draw: Any) -> dict[str, Any]:
    """A phone gets its own drawing, so that its text stays readable; the style sheet shows one of the two."""
    return {**figure, "wide": draw(figure, svg.WIDE), "narrow": draw(figure, svg.NARROW)}


def headline_facts(view: View) -> list[str]:
    """The line under the title."""
    data = (view.study.get("data") or {}).get("source")
    model = view.study.get("model")
    count = tables.plural(sum(len(runs) for runs in view.groups.values()), "run")
    finished = max((run["finished_at"] for run in view.done if run["finished_at"]), default=None)
    facts = [f"data {data}" if data else "", f"model {model}" if model else ""]
    facts += [f"{count}, {len(view.failed)} not completed" if view.failed else count]
    facts += [f"finished {finished[:10]}" if finished else ""]
    return [fact for fact in facts if fact]


def paragraphs(view: View) -> list[str]:
    """The interpretation: a paragraph a declared pair, else every comparison's; best against baseline last."""
    found = list(view.verdict.get("paragraphs") or [])
    if not found:
        found = [pair["sentence"] for pair in view.comparisons if pair.get("sentence")]
    against = view.verdict.get("against_baseline")
    return found + ([against] if against and against not in found else [])


def study_table(view: View) -> dict[str, Any]:
    """The main table: each cell as text with the value to sort by."""
    columns: list[tuple[str, str | None, Any]] = [
        ("seeds", None, None),
        *(TEXT_SCORES if view.writes_texts else CLASS_SCORES),
        ("trainable parameters", "trainable_parameters", tables.count),
        ("train s", "train_seconds", tables.seconds),
        ("longest epoch s", "max_epoch_seconds", tables.seconds),
        ("peak memory MiB", "peak_memory_bytes", tables.mebibytes),
        ("GFLOP", "flops", tables.giga_operations),
        ("stored MiB", "adapter_bytes", tables.mebibytes_fine),
        ("ms a text", "inference_ms", tables.seconds),
    ]
    if tables.has_stopping(view.summary):
        columns.append(("epochs", "epochs", tables.seconds))
    rows = []
    for row in view.rows:
        cells = []
        for name, key, show in columns:
            if key is None:
                seeds = ", ".join(str(seed) for seed in row["seeds"] if seed is not None) or tables.NOTHING
                cells.append({"text": seeds, "sort": len(row["seeds"]), "note": ""})
                continue
            value = row.get(key)
            note = _range(view, row, key) if name.startswith("test") else ""
            cells.append({"text": show(value), "sort": "" if value is None else value, "note": note})
        broken = row["runs"] - row["completed"]
        rows.append(
            {
                "label": row["label"],
                "mark": view.mark(row["label"]),
                "baseline": row["role"] == "baseline",
                "failed": f"{broken} of {row['runs']} not completed" if broken else "",
                "cells": cells,
            }
        )
    return {"columns": [name for name, _, _ in columns], "rows": rows, "intervals": bool(view.intervals)}


def _range(view: View, row: dict[str, Any], key: str) -> str:
    """The 95 % interval where the column is the primary metric and there is one, else lowest to highest."""
    scale, digits = (1, 3) if key.endswith(("loss", "perplexity")) else (100, 2)
    interval = view.intervals.get(row["label"])
    if key == f"test_{view.metric}" and interval is not None:
        return f"{interval[0]:.2f} to {interval[1]:.2f}"
    low, high = row.get(f"{key}_range") or (None, None)
    mixed = bool(view.intervals) and key == f"test_{view.metric}"  # an interval for some, a range for others
    if low is None or high is None or mixed:
        return ""
    ends = [f"{scale * end:.{digits}f}" for end in (low, high)]
    return "" if ends[0] == ends[1] else " to ".join(ends)


def comparison_rows(view: View) -> list[dict[str, Any]]:
    """Every comparison as a line: the pair, the difference with its interval, p, and the verdict."""
    lines = []
    for pair in view.comparisons:
        interval, difference = pair.get("interval"), pair.get("difference")
        loss = pair.get("unit") == "nats"
        lines.append(
            {
                "a": pair["a"],
                "b": pair["b"],
                "difference": tables.NOTHING if difference is None else matrices.signed(difference),
                "unit": "" if difference is None else "nats" if loss else "points",
                "interval": tables.NOTHING
                if interval is None
                else f"{matrices.signed(interval[0])} to {matrices.signed(interval[1])}",
                "p": matrices.p_text(pair.get("p"), "").removeprefix(" = ").strip() or tables.NOTHING,
                "p_adjusted": matrices.p_text(pair.get("p_adjusted"), "").removeprefix(" = ").strip() or tables.NOTHING,
                "verdict": str(pair.get("verdict", "")).replace("_", " "),
            }
        )
    return lines


def tint(value: float, scale: str, largest: float = 1.0) -> str:
    """Strength of a cell's colour in percent, for the style sheet to mix: `--t:40%`."""
    share = min(1.0, abs(value) / largest) if largest else 0.0
    return f"--t:{5 + 45 * share:.0f}%" if scale == "sequential" else f"--t:{42 * share:.0f}%"
