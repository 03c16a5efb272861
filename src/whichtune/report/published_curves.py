"""Training loss beside a published curve: both are means since the step before, by optimiser step."""

from __future__ import annotations

from statistics import mean

from whichtune.report import words
from whichtune.report.figures import Figure, finite
from whichtune.report.published import published_of
from whichtune.report.view import View
from whichtune.report.words import number
from whichtune.wording import plural


def published_curve_figure(view: View) -> Figure | None:
    """A panel for each row with a published training loss. None where there is none, or nothing was measured."""
    published_rows = published_of(view)
    if published_rows is None:
        return None
    panels, body = [], []
    for label, runs in view.groups.items():
        if label not in published_rows.rows or not published_rows.rows[label].training_loss:
            continue
        published = published_rows.rows[label].training_loss
        measured = {run.seed: _losses(view, run.run_id) for run in runs}
        lines = [
            {"series": "train", "seed": seed, "points": [list(point) for point in points]}
            for seed, points in measured.items()
            if points
        ]
        if not lines:
            continue
        lines.append({"series": "published", "seed": None, "points": [list(point) for point in published]})
        panels.append({"title": label, "mark": view.mark(label), "lines": lines})
        for step, loss in published:
            ours = [own for points in measured.values() for at, own in points if at == step]
            body.append([label, f"{step:,}", number(loss, 4), number(mean(ours), 4) if ours else words.NOTHING])
    if not panels:
        return None
    return {
        "kind": "curves",
        "name": "published-loss",
        "title": "Training loss beside the published one",
        "axis_x": "step",
        "axis_y": "loss (nats)",
        "caption": "Dashed: training loss as measured here, one line a seed. Dotted: as published. Each point is the "
        "mean since the point before.",
        "alt": f"Training loss, measured and published, for {plural(len(panels), 'row')}; the table has both at "
        "the published steps.",
        "panels": panels,
        "table": {"header": ["run", "step", "published loss", "measured loss (mean over seeds)"], "rows": body},
    }


def _losses(view: View, run_id: str) -> list[tuple[int, float]]:
    curve = view.curves.get(run_id, [])
    pairs = [(p.get("step"), p.get("train_loss")) for p in curve]
    return [(int(step), loss) for step, loss in pairs if step is not None and finite(loss)]
