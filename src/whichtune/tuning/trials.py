"""The search before a study: plan its draws, make them, select on validation, settle the study's runs.

Nothing here sees the test split: the data set comes without it, and the process that makes a draw drops it.
Which draws there are is known before the first is made, but for budgets in seconds, which are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from whichtune.expansion.expand import Expansion, asked_of
from whichtune.metrics import METRICS
from whichtune.records.events import Event, Listener
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.stats.asked import Asked
from whichtune.stats.tuning import Axis, DrawFigures, TuningFigures, crossings, line_figures, select_draw
from whichtune.study.resolved import SearchedDraw, SearchedRow
from whichtune.study.roles import Role
from whichtune.study.spaces import Budget, Space
from whichtune.study.spec import RunSpec, Study
from whichtune.tuning.search import Draw, draws_of, searched_lines, specs_with

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset

WAITING = (RunStatus.INTERRUPTED, "The run was not made: the search for its settings is not complete.")
# Makes runs and gives how many were started, as an executor does.
Execute = Callable[[Sequence[RunSpec], StudyFolder, bool, Listener], int]
# Settings that change what is learned and not what is computed.
FREE_OF_COST = ("learning_rate", "weight_decay", "beta1", "beta2", "schedule", "warmup_steps", "warmup_ratio", "seed")


@dataclass(frozen=True)
class SearchedDraws:
    """A line's draws in order. `shared_flops` are paid once for all of them, where operations were predicted."""

    label: str
    method: str
    spaces: dict[str, Space]
    draws: list[Draw]
    shared_flops: int = 0


@dataclass(frozen=True)
class SearchPlan:
    """The search of a study: every line's draws; with a budget what each may spend, in `unit`."""

    study: Study
    metric: str
    lines: list[SearchedDraws]
    unit: Axis
    amount: float | None
    asked: Asked

    @property
    def draws(self) -> list[Draw]:
        """All draws, the first of every line before the second of any."""
        rounds = zip_longest(*(line.draws for line in self.lines))
        return [draw for each in rounds for draw in each if draw is not None]

    def described(self, figures: TuningFigures | None = None) -> dict[str, SearchedRow]:
        """For study.json: each line's ranges, draws and, once it is made, the selection."""
        selected = {line.label: line.selected for line in figures.lines} if figures else {}
        return {
            line.label: SearchedRow(
                spaces=line.spaces,
                draws=[SearchedDraw(number=d.number, run_id=d.spec.run_id, settings=d.settings) for d in line.draws],
                selected=selected.get(line.label),
            )
            for line in self.lines
        }


# -- the plan ---------------------------------------------------------------------------------------


def plan_search(expansion: Expansion, dataset: AnyDataset) -> SearchPlan | None:
    """The draws of a study's search; None where it asks for none. `dataset` has no test split.

    Raises SettingError for a range that cannot be. With a budget in operations, each line's draws are those it pays
    for, by predicted operations; with one in seconds they are all that could be made.
    """
    study = expansion.study
    if study.tuning is None:
        return None
    draws = draws_of(expansion, dataset)
    lines = [
        SearchedDraws(line.label, line.method, line.spaces, draws.get(line.label, [])) for line in searched_lines(study)
    ]
    unit, amount = _unit_and_amount(study.tuning.most)
    if unit == "flops":
        lines, amount = _within_operations(expansion, lines, dataset)
    return SearchPlan(study, expansion.primary_metric, lines, unit, amount, asked_of(expansion))


def _unit_and_amount(budget: Budget | None) -> tuple[Axis, float | None]:
    if budget is None:
        return "draws", None
    return ("seconds", budget.amount) if budget.unit == "seconds" else ("flops", budget.amount)


def _within_operations(
    expansion: Expansion, lines: list[SearchedDraws], dataset: AnyDataset
) -> tuple[list[SearchedDraws], float | None]:
    """Each line's draws until the budget is spent, with what each will take, and the budget in operations."""
    assert expansion.study.tuning is not None
    assert expansion.study.tuning.most is not None
    predict = _Predictions(dataset)
    amount, unit = expansion.study.tuning.most
    if unit == "runs":
        amount *= _median_run(expansion, [line.label for line in lines if line.draws], predict)
    found = []
    for line in lines:
        shared = predict.shared(line.draws[0].spec) if line.draws else 0
        kept: list[Draw] = []
        spent = float(shared)
        for draw in line.draws:
            if kept and spent >= amount:
                break
            kept.append(replace(draw, flops=predict.alone(draw.spec)))
            spent += kept[-1].flops or 0
        found.append(replace(line, draws=kept, shared_flops=shared))
    return found, amount


def _median_run(expansion: Expansion, labels: list[str], predict: _Predictions) -> float:
    """Operations of one run of the median searched line at the study's own settings, what it shares included."""
    first: dict[str, RunSpec] = {}
    for spec in expansion.specs:
        if spec.label in labels:
            first.setdefault(spec.label, spec)
    costs = sorted(predict.alone(spec) + predict.shared(spec) for spec in first.values())
    return float(costs[(len(costs) - 1) // 2]) if costs else 0.0


class _Predictions:
    """Operations of runs, counted by their plan; runs that differ in free settings alone are counted once."""

    def __init__(self, dataset: AnyDataset) -> None:
        self.dataset = dataset
        self.known: dict[str, tuple[int, int]] = {}

    def alone(self, spec: RunSpec) -> int:
        """Of the training, states of frozen blocks left out."""
        return self._of(spec)[0]

    def shared(self, spec: RunSpec) -> int:
        """Of the states of frozen blocks, which all draws of a line share."""
        return self._of(spec)[1]

    def _of(self, spec: RunSpec) -> tuple[int, int]:
        from whichtune.runs.preview import preview_run

        usual = {name: RunSpec.model_fields[name].default for name in FREE_OF_COST}
        key = spec.model_copy(update={**usual, "learning_rate": 1.0, "role": Role.RUN}).run_id
        if key not in self.known:
            preview = preview_run(spec, self.dataset)
            self.known[key] = (preview.flops_shared, preview.flops_alone - preview.flops_shared)
        return self.known[key]


# -- making the draws ---------------------------------------------------------------------------------


def make_draws(plan: SearchPlan, folder: StudyFolder, execute: Execute, on_event: Listener) -> int:
    """Make the draws that the folder does not hold yet; gives how many were made now."""
    numbers = {draw.spec.run_id: draw.number for draw in plan.draws}

    def listen(event: Event) -> None:
        on_event({**event, "draw": numbers[event["run_id"]]} if event.get("run_id") in numbers else event)

    if plan.unit != "seconds":
        specs = [draw.spec for draw in plan.draws]
        on_event({"event": "search", "draws": len(specs), "complete": _complete(folder, specs)})
        return execute(specs, folder, False, listen)
    on_event({"event": "search", "draws": None, "complete": _complete(folder, [d.spec for d in plan.draws])})
    made, attempted = 0, set[str]()
    while batch := [draw for line in plan.lines for draw in _next_draws(plan, line, folder, attempted)]:
        attempted |= {draw.spec.run_id for draw in batch}
        made += execute([draw.spec for draw in batch], folder, False, listen)
    return made


def _complete(folder: StudyFolder, specs: Sequence[RunSpec]) -> int:
    return sum(folder.is_complete(spec.run_id) for spec in specs)


def _next_draws(plan: SearchPlan, line: SearchedDraws, folder: StudyFolder, attempted: set[str]) -> list[Draw]:
    """As many of a line's next draws as surely fit what is left of its seconds."""
    assert plan.amount is not None
    figures, shared = _leading_figures(plan, line, folder, attempted)
    times = [f.seconds for f in figures if f.seconds]
    left = plan.amount - shared - sum(_seconds(figures))
    if figures and left <= 0:
        return []
    count = left / max(times) if times else len(figures)  # without a measurement: as many as were tried
    return line.draws[len(figures) : len(figures) + max(1, int(count))]


def _leading_figures(
    plan: SearchPlan, line: SearchedDraws, folder: StudyFolder, attempted: set[str]
) -> tuple[list[DrawFigures], float]:
    """The draws from the first up to the first that is still to be made, and the seconds that they share."""
    found, shared = [], 0.0
    for draw in line.draws:
        record = plan.asked.read(folder, draw.spec.run_id)
        if record is None or (record.status is not RunStatus.COMPLETED and record.run_id not in attempted):
            break
        found.append(draw_figures(draw, record, plan.metric))
        shared = max(shared, record.cost.cache_seconds_alone or 0.0)
    return found, shared


# -- what they show ------------------------------------------------------------------------------------


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
    )


def search_figures(plan: SearchPlan, folder: StudyFolder) -> TuningFigures:
    """What the search shows so far, from the records that the folder holds."""
    assert plan.study.tuning is not None
    higher = METRICS[plan.metric].higher_is_better
    lines = []
    for line in plan.lines:
        records = _counted(plan, line, folder)
        draws = [draw_figures(draw, record, plan.metric) for draw, record in records]
        costs = [record.cost for _, record in records]
        shared = (
            max((cost.cache_flops_alone or 0.0 for cost in costs), default=0.0),
            max((cost.cache_seconds_alone or 0.0 for cost in costs), default=0.0),
        )
        error = _why_none(line, records, select_draw(draws, higher))
        lines.append(line_figures(line.label, line.method, line.spaces, draws, higher, shared, error))
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
        lines=lines,
        crossings=[crossing for axis in axes for crossing in crossings(lines, higher, axis)],
    )


def _counted(plan: SearchPlan, line: SearchedDraws, folder: StudyFolder) -> list[tuple[Draw, RunRecord]]:
    """A line's draws with their records; with a budget in seconds, those from the first until it is spent."""
    found = [(draw, record) for draw in line.draws if (record := plan.asked.read(folder, draw.spec.run_id)) is not None]
    if plan.unit != "seconds" or plan.amount is None:
        return found
    times = _seconds([draw_figures(draw, record, plan.metric) for draw, record in found])
    spent = max((record.cost.cache_seconds_alone or 0.0 for _, record in found), default=0.0)
    kept: list[tuple[Draw, RunRecord]] = []
    for pair, seconds in zip(found, times, strict=True):
        if kept and spent >= plan.amount:
            break
        kept.append(pair)
        spent += seconds
    return kept


def _seconds(figures: Sequence[DrawFigures]) -> list[float]:
    """What each draw took; a draw that failed counts as one of mean length."""
    known = [f.seconds for f in figures if f.seconds is not None]
    mean = sum(known) / len(known) if known else 0.0
    return [mean if f.seconds is None else f.seconds for f in figures]


def _why_none(line: SearchedDraws, records: list[tuple[Draw, RunRecord]], best: DrawFigures | None) -> str | None:
    """Why a line that was searched has no selection."""
    if best is not None or not line.draws:
        return None
    if len(records) < len(line.draws):
        return WAITING[1]
    reasons = list(dict.fromkeys(record.error for _, record in records if record.error))
    return f"All {len(records)} draws of its search failed: {reasons[0] if reasons else 'they have no score'}"


# -- the study with its selection -----------------------------------------------------------------------


def waiting(expansion: Expansion, plan: SearchPlan) -> Expansion:
    """The study while its search runs: lines that are searched have no runs yet."""
    return replace(expansion, unsettled={line.label: WAITING for line in plan.lines if line.draws})


def settle(expansion: Expansion, figures: TuningFigures, dataset: AnyDataset) -> Expansion:
    """The study's runs with the selected settings; a line whose draws all failed is a failed row."""
    chosen = {line.label: line.settings for line in figures.lines if line.selected is not None}
    unsettled: Mapping[str, tuple[RunStatus, str]] = {
        line.label: (RunStatus.FAILED, line.error) for line in figures.lines if line.error is not None
    }
    specs = specs_with(expansion.study, chosen, expansion, dataset)
    return replace(expansion, specs=specs, unsettled=dict(unsettled))
