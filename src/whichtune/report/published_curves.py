"""Training loss beside a published curve: both are means since the step before, by optimiser step."""

from __future__ import annotations

from statistics import mean

from whichtune.report import words
from whichtune.report.drawing.kinds import CurveLine, CurvePanel, Curves, Data
from whichtune.report.score_figures import finite
from whichtune.report.training_figures import drawable, not_drawn
from whichtune.report.view import View
from whichtune.report.words import number
from whichtune.wording import plural

CAPTION = (
    "Dashed: training loss as measured here, one line a seed. Dotted: as published. Each point is the mean since the "
    "point before."
)
Losses = list[tuple[int, float]]  # by optimiser step


def published_curve_figure(view: View) -> Curves | None:
    """A panel for each row with a published training loss. None where there is none, or nothing was measured."""
    panels, body = [], []
    for label, runs in view.groups.items():
        published = _published(view, label)
        measured = {run.seed: losses for run in runs if (losses := _losses(view, run.run_id))}
        if not published or not measured:
            continue
        mark = view.mark(label)
        lines = [
            CurveLine(label, mark, "train", seed, [(float(step), loss) for step, loss in losses])
            for seed, losses in measured.items()
        ]
        lines.append(CurveLine(label, mark, "published", None, [(float(step), loss) for step, loss in published]))
        panels.append(CurvePanel(label, lines))
        for step, loss in published:
            ours = [own for losses in measured.values() for at, own in losses if at == step]
            body.append([label, f"{step:,}", number(loss, 4), number(mean(ours), 4) if ours else words.NOTHING])
    panels, short = drawable(panels)
    panels = [panel for panel in panels if {line.series for line in panel.lines} == {"train", "published"}]
    if not body:
        return None
    return Curves(
        name="published-loss",
        title="Training loss beside the published one",
        axis_x="step",
        axis_y="loss (nats)",
        caption=f"{CAPTION if panels else ''} {not_drawn(short)}".strip(),
        alt=f"Training loss, measured and published, for {plural(len(panels), 'row')}; the table has both at "
        "the published steps.",
        panels=panels,
        data=Data(["run", "step", "published loss", "measured loss (mean over seeds)"], body),
    )


def _published(view: View, label: str) -> Losses:
    rows = (view.study.published or {}).get("rows", {})
    facts = rows.get(label) if isinstance(rows, dict) else None
    curve = (facts or {}).get("training_loss") or {}
    return sorted((int(step), float(loss)) for step, loss in curve.items())


def _losses(view: View, run_id: str) -> Losses:
    pairs = [(point.get("step"), point.get("train_loss")) for point in view.curves.get(run_id, [])]
    return [(int(step), loss) for step, loss in pairs if step is not None and finite(loss)]
