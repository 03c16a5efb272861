"""The search before a study: plan its draws, and settle the study's runs with those that were selected on validation.

Nothing here sees the test split: the data set comes without it, and the process that makes a draw drops it.
Which draws there are is known before the first is made, but for budgets in seconds, which are measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar

from whichtune.expansion.expand import Expansion, asked_of
from whichtune.records.record import RunStatus
from whichtune.stats.asked import Asked
from whichtune.stats.tuning import Axis, TuningFigures
from whichtune.study.resolved import SearchedDraw, SearchedRow
from whichtune.study.roles import Role
from whichtune.study.run_settings import FREE_OF_COST
from whichtune.study.spaces import Budget, Space
from whichtune.study.spec import RunSpec, Study
from whichtune.tuning.halving import SHARES, Rung, can_be_halved, check_steps, draws_begun, rung_spec, rungs_of
from whichtune.tuning.search import Draw, draws_of, searched_lines, specs_with
from whichtune.wording import listing

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset

WAITING = (RunStatus.INTERRUPTED, "The run was not made: the search for its settings is not complete.")


@dataclass(frozen=True)
class SearchedDraws:
    """A line's draws in order. `shared_flops` are paid once for all of them, where operations were predicted. With
    `rungs` the worse are dropped on the way; without, each is trained to its end."""

    label: str
    method: str
    spaces: dict[str, Space]
    draws: list[Draw]
    shared_flops: int = 0
    rungs: list[Rung] = field(default_factory=list)

    @property
    def runs(self) -> int:
        """How many runs are made for it, where none fails."""
        return sum(rung.draws for rung in self.rungs) if self.rungs else len(self.draws)

    @property
    def specs(self) -> list[RunSpec]:
        """All runs that may be made for it."""
        return [spec for draw in self.draws for spec in parts_of(self, draw)]

    @property
    def whole_draws(self) -> float:
        """What it costs, in draws that are trained to their end."""
        before = [0.0, *SHARES]
        parts = [rung.draws * (rung.share - before[place]) for place, rung in enumerate(self.rungs)]
        return sum(parts) if self.rungs else len(self.draws)


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
        return in_turn([line.draws for line in self.lines])

    @property
    def specs(self) -> list[RunSpec]:
        """All runs that may be made for it."""
        return in_turn([line.specs for line in self.lines])

    @property
    def notes(self) -> list[str]:
        """What a user who asked for halving must know before it begins."""
        assert self.study.tuning is not None
        whole = [line.label for line in self.lines if line.draws and not line.rungs]
        if self.study.tuning.strategy != "halving" or not whole:
            return []
        return [
            f"Nothing is dropped on the way for {listing(whole)}, whose draws are too few, made in one step, or of the "
            "head alone."
        ]

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


Item = TypeVar("Item")


def in_turn(lines: Sequence[Sequence[Item]]) -> list[Item]:
    """The first of every line before the second of any."""
    return [each for turn in zip_longest(*lines) for each in turn if each is not None]


def parts_of(line: SearchedDraws, draw: Draw) -> list[RunSpec]:
    """The runs that train a draw to its end, one after the other."""
    return [rung_spec(draw, rung) for rung in range(len(SHARES))] if line.rungs else [draw.spec]


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
    predict = _Predictions(dataset)
    if unit == "flops":
        lines, amount = _within_operations(expansion, lines, predict)
    if study.tuning.strategy == "halving":
        lines = _halved(expansion, lines, dataset, predict if unit == "flops" else None)
    return SearchPlan(study, expansion.primary_metric, lines, unit, amount, asked_of(expansion))


def _halved(
    expansion: Expansion, lines: list[SearchedDraws], dataset: AnyDataset, predict: _Predictions | None
) -> list[SearchedDraws]:
    """The same lines with the draws that are begun at the cost of theirs, and their rungs. Raises SettingError where a
    line has too few steps."""
    able = [line for line in lines if can_be_halved(line.method, len(line.draws))]
    most = max((len(line.draws) for line in able), default=0)
    more = draws_of(expansion, dataset, range(1, draws_begun(most) + 1)) if able else {}
    found = []
    for line in lines:
        if line not in able:
            found.append(line)
            continue
        draws = [*line.draws, *more[line.label][len(line.draws) : draws_begun(len(line.draws))]]
        check_steps([draw.spec for draw in draws], dataset)
        if predict is not None:
            draws = [replace(draw, flops=predict.alone(draw.spec)) for draw in draws]
        found.append(replace(line, draws=draws, rungs=rungs_of(len(line.draws))))
    return found


def _unit_and_amount(budget: Budget | None) -> tuple[Axis, float | None]:
    if budget is None:
        return "draws", None
    return ("seconds", budget.amount) if budget.unit == "seconds" else ("flops", budget.amount)


def _within_operations(
    expansion: Expansion, lines: list[SearchedDraws], predict: _Predictions
) -> tuple[list[SearchedDraws], float | None]:
    """Each line's draws until the budget is spent, with what each will take, and the budget in operations."""
    assert expansion.study.tuning is not None
    assert expansion.study.tuning.most is not None
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
