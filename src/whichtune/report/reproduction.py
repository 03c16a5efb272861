"""Measured beside published: the table of a reproduction, from `summary.json` alone."""

from __future__ import annotations

import csv
import io
from typing import Any

from whichtune.report.summary import table_rows
from whichtune.report.tables import few, plural

HEADER = [
    "row",
    "train %",
    "validation %",
    "test %",
    "published",
    "difference",
    "95 % interval",
    "agrees?",
    "without repeats",
    "time",
    "published time",
]
PUBLISHED = ("train", "validation", "test", "f1_macro", "steps")
# Columns for figures that not every published table has, and how they are written.
MORE = {"f1_macro": ("macro F1 %", "{:.2f}"), "steps": ("optimiser steps", "{:,.0f}")}


def reproduction_rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a line of the study. Accuracies are in percent, times in minutes; None where there is no figure.

    `agrees` is whether the published test accuracy lies in the measured one's 95 % interval; None for a row
    that is no reproduction, that failed, or whose interval is not known.
    """
    published = (summary["study"].get("published") or {}).get("rows", {})
    intervals = {figures["label"]: figures.get("interval") for figures in summary["intervals"]["methods"]}
    devices = {run["label"]: _device(run) for run in summary["runs"] if run["environment"]}
    return [_row(row, published.get(row["label"]), intervals, devices) for row in table_rows(summary)]


def _row(
    row: dict[str, Any], published: dict[str, Any] | None, intervals: dict[str, Any], devices: dict[str, str]
) -> dict[str, Any]:
    measured = {split: _percent(row[f"{split}_accuracy"]) for split in ("train", "validation", "test")}
    interval = intervals.get(row["label"])
    bounds = [100 * bound for bound in interval] if interval else None
    seconds = [row.get(key) for key in ("train_seconds", "curve_seconds", "cache_seconds")]
    known = [value for value in seconds if value is not None]
    facts = published or {}
    reproduced = bool(facts.get("reproduced", False))
    target = facts.get("test")
    test = measured["test"]
    difference = test - target if test is not None and target is not None else None
    return {
        "label": row["label"],
        "role": row["role"],
        "seeds": row["seeds"],
        "errors": row["errors"],
        "measured": measured,
        "published": {key: facts.get(key) for key in PUBLISHED} if facts else None,
        "f1_macro": _percent(row["test_f1_macro"]),
        "steps": row.get("optimiser_steps"),
        "difference": difference,
        "interval": bounds,
        "reproduced": reproduced,
        "why_not": facts.get("why_not"),
        "reasons": facts.get("reasons") or [str(facts.get("why_not"))],
        # Published figures have two decimals: half of the last one is no disagreement.
        "agrees": bounds[0] - 0.005 <= target <= bounds[1] + 0.005 if bounds and reproduced and target else None,
        "without_duplicates": _percent(row["test_accuracy_without_duplicates"]),
        "minutes": sum(known) / 60 if known else None,
        "device": devices.get(row["label"]),
        "published_minutes": facts.get("minutes"),
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _device(run: dict[str, Any]) -> str:
    environment = run["environment"]
    if environment["device"] != "cpu":
        return str(environment["device"])
    threads = environment["threads"]
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def reproduction_table(summary: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and cells. Published figures stand in parentheses, but test accuracy's, which have a column.

    Macro F1 and optimiser steps have columns where they were published.
    """
    device = (summary["study"].get("published") or {}).get("device")
    rows = reproduction_rows(summary)
    more = [key for key in MORE if any((row["published"] or {}).get(key) is not None for row in rows)]
    header = [*HEADER, *(MORE[key][0] for key in more)]
    return header, [[*_cells(row, device), *(_beside(row, key) for key in more)] for row in rows]


def _cells(row: dict[str, Any], published_device: str | None) -> list[str]:
    published = row["published"] or {}
    if row["measured"]["test"] is None:
        failed = ["failed"] * 3
        return [row["label"], *failed, _two(published.get("test")), "", "", "", "", "", _time(row, published_device)]
    beside = [
        f"{row['measured'][split]:.2f}" + (f" ({published[split]:.2f})" if published.get(split) is not None else "")
        for split in ("train", "validation")
    ]
    agrees = {True: "yes", False: "no", None: "" if not published else "not compared"}[row["agrees"]]
    minutes = f"{row['minutes']:.2f} min" if row["minutes"] is not None else ""
    return [
        row["label"],
        *beside,
        f"{row['measured']['test']:.2f}",
        _two(published.get("test")),
        "" if row["difference"] is None else f"{row['difference'] + 0.0:+.2f}",
        f"{row['interval'][0]:.1f} to {row['interval'][1]:.1f}" if row["interval"] else "",
        agrees,
        _two(row["without_duplicates"]),
        f"{minutes}, {row['device']}" if minutes and row["device"] else minutes,
        _time(row, published_device),
    ]


def _beside(row: dict[str, Any], key: str) -> str:
    """A measured figure with the published one in parentheses."""
    write = MORE[key][1].format
    published = (row["published"] or {}).get(key)
    measured = "" if row[key] is None else write(row[key])
    return measured if published is None else f"{measured} ({write(published)})".strip()


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _time(row: dict[str, Any], device: str | None) -> str:
    minutes = row["published_minutes"]
    return "" if minutes is None else f"{minutes:.2f} min, {device}"


def heading(summary: dict[str, Any]) -> list[str]:
    """What the table is, and what it is not, in sentences."""
    published = summary["study"].get("published")
    if not published:
        return []
    rows = [row for row in reproduction_rows(summary) if row["published"]]
    real = [row for row in rows if row["reproduced"]]
    lines = []
    if not real:
        lines.append(f"This is not a reproduction of the published figures: {_reasons(rows)}.")
    elif len(real) < len(rows):
        others = _reasons([row for row in rows if not row["reproduced"]])
        lines.append(f"{len(real)} of {len(rows)} rows are a reproduction; for the others {others}.")
    done = [row for row in real if row["agrees"] is not None]
    if done:
        agree = sum(bool(row["agrees"]) for row in done)
        lines.append(
            f"{agree} of {len(done)} reproduced rows agree: the published test accuracy lies in the measured "
            "one's 95 % interval."
        )
    return lines


def _reasons(rows: list[dict[str, Any]]) -> str:
    """Why rows are no reproduction, each reason once; one that is not every row's names its rows."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for reason in row["reasons"]:
            found.setdefault(reason, []).append(row["label"])
    return "; ".join(
        reason if len(labels) == len(rows) else f"{reason} ({few(labels)})" for reason, labels in found.items()
    )


def footnotes(summary: dict[str, Any]) -> list[str]:
    """Why rows failed, what the columns mean, and what is known to be wrong with the published table."""
    published = summary["study"].get("published") or {}
    failed = [f"{row['label']}: {reason}" for row in reproduction_rows(summary) for reason in row["errors"]]
    unit = published.get("unit") or "message"
    n = max((run["metrics"]["test"]["n"] for run in summary["runs"] if run["metrics"]["test"]), default=0)
    means = [
        f"Differences are in points; with {plural(n, f'test {unit}')} one {unit} is {100 / max(1, n):.2g} points.",
        f"Without repeats: test accuracy on the {unit}s that do not stand in train too.",
        "Times are of training with its evaluations, as published, on the device named.",
    ]
    notes = [f"Published table: {note}" for note in published.get("notes", [])]
    source = [f"Published: {', '.join(filter(None, (published['source'], published['url'])))}"] if published else []
    return [*failed, *means, *notes, *source]


def reproduction_markdown(summary: dict[str, Any]) -> str:
    """reproduction.md."""
    header, rows = reproduction_table(summary)
    table = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    table += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    parts = [f"# {summary['study']['name']}: measured beside published", "", *heading(summary), "", *table, ""]
    return "\n".join([*parts, *(f"- {note}" for note in footnotes(summary))]) + "\n"


def reproduction_csv(summary: dict[str, Any]) -> str:
    """reproduction.csv: the same table for other programs."""
    header, rows = reproduction_table(summary)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
