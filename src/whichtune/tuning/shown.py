"""What a search shows: the figures of its draws, from the records that the folder holds."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.metrics import METRICS
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.stats.tuning import (
    Axis,
    DrawFigures,
    RungFigures,
    TuningFigures,
    better_first,
    crossings,
    line_figures,
    select_draw,
)
from whichtune.tuning.halving import SHARES, Climb, climb, rung_spec
from whichtune.tuning.search import Draw
from whichtune.tuning.trials import WAITING, SearchedDraws, SearchPlan


def draw_figures(draw: Draw, record: RunRecord, metric: str) -> DrawFigures:
    """A draw's record as the statistics read it; it has no score where it did not complete."""
    validation = record.metrics.validation if record.status is RunStatus.COMPLETED else None
    flops, cost = draw.flops, record.cost
    if cost.flops is not None:
        flops = cost.flops - (cost.cache_flops or 0)
    return DrawFigures(
        number=draw.number,
        run_id=record.run_id,
        status=str(record.status),
        error=record.error,
        settings=draw.settings,
        score=None if validation is None else validation.value(metric),
        loss=None if validation is None else validation.loss,
        flops=flops,
        seconds=cost.train_seconds,
        share=_share(record),
    )


def _share(record: RunRecord) -> float:
    """The share of a draw's steps that a run of it ends at."""
    part = record.spec.get("part")
    return float(part) if isinstance(part, (int, float)) else 1.0


def _with_earlier_costs(draw: Draw, figures: DrawFigures, folder: StudyFolder) -> DrawFigures:
    """A draw that failed with what it had cost to the end of the rung before; else all of it is in its record."""
    if figures.score is not None or figures.share == SHARES[0]:
        return figures
    record = folder.read_run(rung_spec(draw, SHARES.index(figures.share) - 1).run_id)
    if record is None or record.cost.flops is None:
        return figures
    flops = record.cost.flops - (record.cost.cache_flops or 0)
    return figures.model_copy(update={"flops": flops, "seconds": record.cost.train_seconds})


def search_figures(plan: SearchPlan, folder: StudyFolder) -> TuningFigures:
    """What the search shows so far, from the records that the folder holds."""
    assert plan.study.tuning is not None
    higher = METRICS[plan.metric].higher_is_better
    lines = []
    for line in plan.lines:
        climbed = climb_of(plan, line, folder) if line.rungs else None
        records = _counted(plan, line, folder) if climbed is None else _furthest(plan, climbed, folder)
        draws = [draw_figures(draw, record, plan.metric) for draw, record in records]
        if line.rungs:
            draws = [
                _with_earlier_costs(draw, figures, folder) for (draw, _), figures in zip(records, draws, strict=True)
            ]
        costs = [record.cost for _, record in records]
        shared = (
            max((cost.cache_flops_alone or 0.0 for cost in costs), default=0.0),
            max((cost.cache_seconds_alone or 0.0 for cost in costs), default=0.0),
        )
        is_over = climbed.over if climbed is not None else len(records) == len(line.draws)
        error = _why_none(line, records, select_draw(draws, higher), is_over)
        rungs = [] if climbed is None else _rungs(climbed)
        lines.append(line_figures(line.label, line.method, line.spaces, draws, higher, shared, error, rungs))
    axes: tuple[Axis, ...] = ("draws",) if plan.unit == "draws" else (plan.unit,)
    return TuningFigures(
        metric=plan.metric,
        higher_is_better=higher,
        seed=plan.study.tuning.seed,
        run_seed=plan.study.seeds[0],
        budget=plan.study.tuning.budget,
        unit=plan.unit,
        amount=plan.amount if plan.unit != "draws" else float(plan.study.tuning.limit),
        limit=plan.study.tuning.limit,
        strategy=plan.study.tuning.strategy,
        lines=lines,
        crossings=[crossing for axis in axes for crossing in crossings(lines, higher, axis)],
    )


def _counted(plan: SearchPlan, line: SearchedDraws, folder: StudyFolder) -> list[tuple[Draw, RunRecord]]:
    """A line's draws with their records; with a budget in seconds, those from the first until it is spent."""
    found = [(draw, record) for draw in line.draws if (record := plan.asked.read(folder, draw.spec.run_id)) is not None]
    if plan.unit != "seconds" or plan.amount is None:
        return found
    times = seconds_of([draw_figures(draw, record, plan.metric) for draw, record in found])
    spent = max((record.cost.cache_seconds_alone or 0.0 for _, record in found), default=0.0)
    kept: list[tuple[Draw, RunRecord]] = []
    for pair, seconds in zip(found, times, strict=True):
        if kept and spent >= plan.amount:
            break
        kept.append(pair)
        spent += seconds
    return kept


def climb_of(plan: SearchPlan, line: SearchedDraws, folder: StudyFolder, tried: set[str] | None = None) -> Climb:
    """How far the records say that a line has come; what failed is to be made again unless it was `tried`, as None says
    of all."""
    higher = METRICS[plan.metric].higher_is_better

    def rank(draw: Draw, record: RunRecord) -> tuple[float, float, int]:
        return better_first(draw_figures(draw, record, plan.metric), higher)

    return climb(line.draws, line.rungs, lambda run_id: plan.asked.read(folder, run_id), rank, tried)


def _furthest(plan: SearchPlan, climbed: Climb, folder: StudyFolder) -> list[tuple[Draw, RunRecord]]:
    """The draws that were begun, each with the record of the last rung that it is in and was made in."""
    found: dict[int, tuple[Draw, RunRecord]] = {}
    for number, members in enumerate(climbed.reached):
        for draw in members:
            if (record := plan.asked.read(folder, rung_spec(draw, number).run_id)) is not None:
                found[draw.number] = (draw, record)
    return [found[number] for number in sorted(found)]


def _rungs(climbed: Climb) -> list[RungFigures]:
    reached = zip(SHARES, climbed.reached, strict=False)  # fewer while it is under way
    return [RungFigures(share=share, draws=len(members)) for share, members in reached]


def seconds_of(figures: Sequence[DrawFigures]) -> list[float]:
    """What each draw took; a draw that failed counts as one of mean length."""
    known = [f.seconds for f in figures if f.seconds is not None]
    mean = sum(known) / len(known) if known else 0.0
    return [mean if f.seconds is None else f.seconds for f in figures]


def _why_none(
    line: SearchedDraws, records: list[tuple[Draw, RunRecord]], best: DrawFigures | None, is_over: bool
) -> str | None:
    """Why a line that was searched has no selection."""
    if best is not None or not line.draws:
        return None
    if not is_over:
        return WAITING[1]
    reasons = list(dict.fromkeys(record.error for _, record in records if record.error))
    return f"All {len(records)} draws of its search failed: {reasons[0] if reasons else 'they have no score'}"
