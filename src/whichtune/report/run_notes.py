"""What the study and its runs want their reader to know: their notes, and where early stopping ended them."""

from __future__ import annotations

from whichtune.metrics import metric_title
from whichtune.records.record import Stopping
from whichtune.report.view import View
from whichtune.report.words import few
from whichtune.wording import plural


def run_notes(view: View) -> list[str]:
    """Notes of the study and of its runs, each once, with the rows that say it in front."""
    found: dict[str, list[str]] = {}
    for label, runs in view.groups.items():
        for note in (note for run in runs for note in run.notes):
            names = found.setdefault(note, [])
            if label not in names:
                names.append(label)
    return [
        *view.study.notes,
        *(f"{few(names)}: {note}" for note, names in found.items()),
    ]


def stopping_notes(view: View) -> list[str]:
    """How far the runs with early stopping went and where they were best, rows of which the same holds together."""
    rows: dict[str, list[str]] = {}
    for label, runs in view.groups.items():
        watched = [(run.seed, run.stopping) for run in runs if run.stopping is not None]
        if watched:
            rows.setdefault(_sentence(watched), []).append(label)
    notes = [f"{few(names)}: {sentence}" for sentence, names in rows.items()]
    if notes:
        notes.append("Figures and weights of a run with early stopping are those of its best point.")
    return notes


def _sentence(watched: list[tuple[int | None, Stopping]]) -> str:
    on = f"validation {metric_title(watched[0][1].on)}"
    ended = sum(stop.stopped for _, stop in watched)
    alike: dict[str, list[str]] = {}
    for seed, stop in watched:
        best = "at none" if stop.best_epoch is None else f"at {stop.best_epoch:.3g}"
        course = f"ran {stop.last_epoch:.3g} of {stop.planned_epochs:.3g} epochs, best {best}"
        alike.setdefault(course, []).append(str(seed))
    courses = [f"{'seeds' if len(seeds) > 1 else 'seed'} {few(seeds, 10)} {course}" for course, seeds in alike.items()]
    return f"the {on} ended {ended or 'none'} of {plural(len(watched), 'run')} early ({few(courses, 10)})."
