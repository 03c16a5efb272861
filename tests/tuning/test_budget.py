"""Equal budgets, in operations and in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuning.conftest import known_study
from whichtune.compare import prepare
from whichtune.executors.local import LocalExecutor
from whichtune.records.store import StudyFolder
from whichtune.tuning.estimate import estimate_search
from whichtune.tuning.making import make_draws
from whichtune.tuning.shown import search_figures
from whichtune.tuning.trials import SearchPlan, plan_search


def plan_of(data: Path, model: Path, budget: str, draws: int | None = None, **keys: Any) -> tuple[SearchPlan, Any]:
    tuning = {"budget": budget, "draws": draws}
    methods = ["head_only", "last_block", "lora", "linear_probe"]
    study = known_study(data, model, **{"methods": methods, "tuning": tuning, **keys})
    expansion, dataset = prepare(study)
    plan = plan_search(expansion, dataset.without_test())
    assert plan is not None
    return plan, dataset.without_test()


def spent(plan: SearchPlan) -> dict[str, list[int]]:
    """What each line has spent after each of its draws."""
    found = {}
    for line in plan.lines:
        total, found[line.label] = line.shared_flops, []
        for draw in line.draws:
            total += draw.flops or 0
            found[line.label].append(total)
    return found


def test_a_budget_in_operations_is_equal_to_within_one_draw(known_data: Path, tiny_gpt2: Path) -> None:
    plan, dataset = plan_of(known_data, tiny_gpt2, "3x")
    amounts = spent(plan)
    assert plan.unit == "flops"
    assert amounts["linear_probe"] == []  # nothing to search
    for label in ("last_block", "lora"):
        before, after = ([0, *amounts[label]])[-2:]
        assert before < plan.amount <= after
    assert len(amounts["head_only"]) == 100  # the limit comes first: its draws cost next to nothing
    assert len(amounts["last_block"]) > len(amounts["lora"]) >= 1
    again, _ = plan_of(known_data, tiny_gpt2, "3x")
    assert [d.spec.run_id for d in again.draws] == [d.spec.run_id for d in plan.draws]
    estimates = {guess.label: guess for guess in estimate_search(plan, dataset)}
    assert estimates["lora"].flops == amounts["lora"][-1]
    assert estimates["linear_probe"].draws == 0


@pytest.mark.slow
def test_x_is_the_median_line_and_flops_are_flops(known_data: Path, tiny_gpt2: Path) -> None:
    one, _ = plan_of(known_data, tiny_gpt2, "1x", draws=8)
    five, _ = plan_of(known_data, tiny_gpt2, "5x", draws=8)
    assert five.amount == pytest.approx(5 * one.amount)
    same, _ = plan_of(known_data, tiny_gpt2, f"{one.amount:.0f}flops", draws=8)
    assert {line.label: len(line.draws) for line in same.lines} == {line.label: len(line.draws) for line in one.lines}
    assert max(len(line.draws) for line in five.lines) == 8
    tiny, _ = plan_of(known_data, tiny_gpt2, "1flops")
    assert [len(line.draws) for line in tiny.lines] == [1, 1, 1, 0]  # at least one each


def test_predicted_operations_are_those_that_are_counted(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    """Over all epochs within the few percent by which batches of other orders differ."""
    plan, _ = plan_of(mail, tiny_gpt2, "1flops", methods=["last_block"])
    folder = StudyFolder(tmp_path / "s", create=True)
    assert make_draws(plan, folder, LocalExecutor(threads=1).execute, lambda event: None) == 1
    (line,) = search_figures(plan, folder).lines
    assert line.draws[0].flops == pytest.approx(plan.lines[0].draws[0].flops, rel=0.05)
    # States may stand in the cache already, from a pass that packed its texts otherwise.
    assert line.shared_flops == pytest.approx(plan.lines[0].shared_flops, rel=0.2)


@pytest.mark.slow
def test_a_budget_in_seconds_is_spent_to_within_one_draw_and_kept_on_resuming(
    known_data: Path, tiny_gpt2: Path, tmp_path: Path
) -> None:
    plan, _ = plan_of(known_data, tiny_gpt2, "0.5s", draws=40, methods=["last_block"], settings={"epochs": 1})
    folder = StudyFolder(tmp_path / "s", create=True)
    assert make_draws(plan, folder, LocalExecutor(threads=1).execute, lambda event: None) >= 1
    (line,) = search_figures(plan, folder).lines
    times = [draw.seconds or 0.0 for draw in line.draws]
    assert [draw.number for draw in line.draws] == list(range(1, len(times) + 1))
    before = line.shared_seconds + sum(times[:-1])
    assert len(times) == 1 or before < plan.amount
    assert before + times[-1] >= plan.amount or len(times) == 40
    assert make_draws(plan, folder, LocalExecutor(threads=1).execute, lambda event: None) == 0
    assert search_figures(plan, folder).lines == [line]
