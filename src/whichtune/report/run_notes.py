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
    """A sentence a row that was trained with early stopping: how far its runs went and where they were best."""
    notes = []
    for label, runs in group_by_label(summary["runs"]).items():
        watched = [(run["seed"], run["stopping"]) for run in runs if run.get("stopping")]
        if watched:
            notes.append(f"{label}: {_sentence(watched)}")
    if notes:
        notes.append("Figures and weights of a run with early stopping are those of its best point.")
    return notes


def _sentence(watched: list[tuple[int | None, dict[str, Any]]]) -> str:
    from whichtune.report.tables import few, plural

    on = WATCHED.get(watched[0][1]["on"], f"validation {watched[0][1]['on']}")
    ended = sum(stop["stopped"] for _, stop in watched)
    by_seed = [
        f"seed {seed} ran {stop['last_epoch']:.3g} of {stop['planned_epochs']:.3g} epochs, "
        + ("best at none" if stop["best_epoch"] is None else f"best at {stop['best_epoch']:.3g}")
        for seed, stop in watched
    ]
    return f"the {on} ended {ended} of {plural(len(watched), 'run')} early ({few(by_seed, 10)})."
