"""What a reader must know of a study's costs: what sharing saved, which seconds are those of a shared
machine, what is estimated, and what the study took in money."""

from __future__ import annotations

from whichtune.report import words
from whichtune.report.columns import SHARED_MARK
from whichtune.report.cost_columns import energy_notes, money_notes
from whichtune.report.rows import TableRow
from whichtune.report.view import View
from whichtune.wording import plural

OUTSIDE = "outside"  # beside the name of a row that does not keep what is required


def cost_notes(view: View) -> list[str]:
    """Sentences on the costs of a study's rows."""
    return [
        *outside_notes(view),
        *shared_passes(view),
        *shared_machine(view),
        *energy_notes(view),
        *money_notes(view),
    ]


def is_outside(view: View, label: str) -> bool:
    """Whether a row may not be recommended, by what the study requires."""
    return view.verdict is not None and label in view.verdict.outside


def outside_notes(view: View) -> list[str]:
    """What the mark beside rows means."""
    rows = [row.label for row in view.rows if is_outside(view, row.label)]
    required = words.few(view.study.require)
    return [f"Rows marked {OUTSIDE} do not keep {required} and are not recommended: {words.few(rows)}."] if rows else []


def shared_passes(view: View) -> list[str]:
    """What rows paid for their training where a pass through frozen blocks was shared: one sentence for all."""
    paid = [f"{row.label} {text}" for row in view.rows if (text := _paid(row)) is not None]
    if not paid:
        return []
    return [
        "Training time and operations are those of a run alone. As the pass through the frozen blocks was shared, less "
        f"was paid: {'; '.join(paid)}."
    ]


def _paid(row: TableRow) -> str | None:
    """`paid 0.3 s of 13.8 s`, over a row's seeds; None where it made every pass itself."""
    costs = [run.cost for run in row.done]
    if all((cost.cache_flops or 0) >= (cost.cache_flops_alone or 0) for cost in costs):
        return None
    alone = sum(cost.training_seconds or 0.0 for cost in costs)
    paid = sum((cost.cache_seconds or 0.0) + (cost.train_seconds or 0.0) for cost in costs)
    if paid >= alone:
        return None
    runs = f" in {plural(len(costs), 'run')}" if len(costs) > 1 else ""
    return f"paid {words.seconds(paid)} s of {words.seconds(alone)} s{runs}"


def shared_machine(view: View) -> list[str]:
    """Which rows' seconds were measured while other runs shared the machine, by how many runs."""
    rows: dict[int, list[str]] = {}
    for row in view.rows:
        if row.runs_at_once > 1:
            rows.setdefault(row.runs_at_once, []).append(row.label)
    everywhere = len(rows) == 1 and sum(map(len, rows.values())) == sum(1 for row in view.rows if row.completed)
    return [
        f"{SHARED_MARK.strip()} Seconds measured while {count} runs shared the machine"
        f"{'' if everywhere else f': {words.few(labels)}'}."
        for count, labels in sorted(rows.items())
    ]
