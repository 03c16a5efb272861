"""What the study and its runs want their reader to know: their notes, and where early stopping ended them."""

from __future__ import annotations

from typing import Any

from whichtune.report.summary import group_by_label

WATCHED = {"loss": "validation loss", "accuracy": "validation accuracy", "f1_macro": "validation macro F1"}


def run_notes(summary: dict[str, Any]) -> list[str]:
    """Notes of the study and of its runs, each once, with the rows that say it in front."""
    from whichtune.report.tables import few

    found: dict[str, list[str]] = {}
    for label, runs in group_by_label(summary["runs"]).items():
        for note in (note for run in runs for note in run["notes"]):
            names = found.setdefault(note, [])
            if label not in names:
                names.append(label)
    return [
        *map(str, summary["study"].get("notes") or []),
        *(f"{few(names)}: {note}" for note, names in found.items()),
    ]


def stopping_notes(summary: dict[str, Any]) -> list[str]:
    """How far the runs with early stopping went and where they were best, rows of which the same holds together."""
    from whichtune.report.tables import few

    rows: dict[str, list[str]] = {}
    for label, runs in group_by_label(summary["runs"]).items():
        watched = [(run["seed"], run["stopping"]) for run in runs if run.get("stopping")]
        if watched:
            rows.setdefault(_sentence(watched), []).append(label)
    notes = [f"{few(names)}: {sentence}" for sentence, names in rows.items()]
    if notes:
        notes.append("Figures and weights of a run with early stopping are those of its best point.")
    return notes


def _sentence(watched: list[tuple[int | None, dict[str, Any]]]) -> str:
    from whichtune.report.tables import few, plural

    on = WATCHED.get(watched[0][1]["on"], f"validation {watched[0][1]['on']}")
    ended = sum(stop["stopped"] for _, stop in watched)
    alike: dict[str, list[str]] = {}
    for seed, stop in watched:
        best = "at none" if stop["best_epoch"] is None else f"at {stop['best_epoch']:.3g}"
        course = f"ran {stop['last_epoch']:.3g} of {stop['planned_epochs']:.3g} epochs, best {best}"
        alike.setdefault(course, []).append(str(seed))
    courses = [f"{'seeds' if len(seeds) > 1 else 'seed'} {few(seeds, 10)} {course}" for course, seeds in alike.items()]
    return f"the {on} ended {ended or 'none'} of {plural(len(watched), 'run')} early ({few(courses, 10)})."
