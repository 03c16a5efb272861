"""What is searched, what is drawn from it, and what is no search."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from whichtune.compare import prepare
from whichtune.errors import SettingError
from whichtune.expansion.assemble import assemble_study
from whichtune.methods import METHODS
from whichtune.study.load import parse_study
from whichtune.study.roles import Role
from whichtune.study.spaces import (
    choice,
    edge_of,
    integers,
    log_uniform,
    parse_budget,
    read_space,
    uniform,
    usual_spaces,
)
from whichtune.tuning.search import drawn_settings, draws_of, quantile, searched_lines


def study(tuning: Any = 6, **keys: Any) -> Any:
    return parse_study({"methods": ["head_only", "lora"], "tuning": tuning, **keys}, "study.yaml")


def test_every_space_covers_its_range_and_nothing_else() -> None:
    grid = [i / 1000 for i in range(1000)]
    logs = [math.log10(log_uniform(1e-5, 1e-3).value(q)) for q in grid]
    assert min(logs) == -5
    assert max(logs) <= -3
    assert sum(x < -4 for x in logs) == pytest.approx(500, abs=2)  # each order of magnitude alike
    assert [uniform(0, 2).value(q) for q in (0, 0.25, 0.5)] == [0, 0.5, 1]
    assert {integers(2, 4).value(q) for q in grid} == {2, 3, 4}
    assert [choice("a", "b").value(q) for q in (0, 0.499, 0.5, 0.999)] == ["a", "a", "b", "b"]


def test_edges_are_the_outer_tenths_of_the_scale() -> None:
    space = log_uniform(1e-5, 1e-3)
    assert [edge_of(space, rate) for rate in (1e-5, 1.5e-5, 2e-5, 1e-4, 6e-4, 7e-4)] == [
        "low", "low", None, None, None, "high",
    ]  # fmt: skip
    assert edge_of(uniform(0, 1), 0.95) == "high"
    assert edge_of(choice(4, 8), 8) is None


def test_draws_are_nested_and_depend_on_nothing_but_seed_setting_and_number(known_data: Path, tiny_gpt2: Path) -> None:
    def drawn(**keys: Any) -> dict[str, list[tuple[str, dict]]]:
        value = {"data": str(known_data), "model": str(tiny_gpt2), "baselines": [], "seeds": [0], **keys}
        expansion, dataset = prepare(parse_study(value, "test"))
        found = draws_of(expansion, dataset.without_test())
        return {label: [(d.spec.run_id, d.settings) for d in draws] for label, draws in found.items()}

    six = drawn(methods=["head_only", "lora"], tuning=6)
    assert drawn(methods=["lora"], tuning=3) == {"lora": six["lora"][:3]}
    assert drawn(methods=["lora"], tuning={"draws": 3, "seed": 1})["lora"] != six["lora"][:3]
    assert len({run_id for draws in six.values() for run_id, _ in draws}) == 12
    # The value itself: a change would make every stored search another one.
    assert quantile(0, "learning_rate", 1) == pytest.approx(0.8759, abs=1e-4)
    assert six["lora"][0][1]["learning_rate"] == 0.00282


def test_a_draw_is_never_the_run_with_the_same_settings(known_data: Path, tiny_gpt2: Path) -> None:
    value = {"data": str(known_data), "model": str(tiny_gpt2), "methods": ["full"], "tuning": 1}
    expansion, dataset = prepare(parse_study(value, "test"))
    draw = next(iter(draws_of(expansion, dataset.without_test()).values()))[0].spec
    assert draw.role is Role.DRAW
    assert draw.model_copy(update={"role": Role.RUN}).run_id != draw.run_id
    assert draw.learning_rate_source == "tuned"


def test_every_method_declares_what_is_searched() -> None:
    for method in METHODS.values():
        spaces = method.spaces(method.card.learning_rate)
        assert bool(spaces) != (method.closed_form or not method.trains)
        if method.card.learning_rate is not None and not method.closed_form:
            assert spaces["learning_rate"].place(method.card.learning_rate) == pytest.approx(0.5)
            known = {*method.Settings.model_fields, *usual_spaces(1.0)}
            assert set(spaces) <= known


def test_what_a_line_or_a_factor_sets_is_held() -> None:
    lines = {
        line.label: set(line.spaces)
        for line in searched_lines(
            study(
                methods=["full", "linear_probe"],
                factors={"weight_decay": [0.0, 0.1]},
                runs=[
                    {"method": "lora", "label": "rank 4", "lora_rank": 4},
                    {"method": "lora", "label": "own rate", "learning_rate": 1e-3, "warmup_steps": 5},
                ],
            )
        )
    }
    assert lines == {
        "full, weight_decay=0.0": {"learning_rate", "warmup_ratio"},
        "full, weight_decay=0.1": {"learning_rate", "warmup_ratio"},
        "linear_probe, weight_decay=0.0": set(),
        "linear_probe, weight_decay=0.1": set(),
        "rank 4": {"learning_rate", "weight_decay", "warmup_ratio"},
        "own rate": {"weight_decay", "lora_rank"},
    }


def test_a_shared_rate_is_the_centre_and_other_shared_settings_are_held() -> None:
    head, lora = searched_lines(study(settings={"learning_rate": 0.02, "lora.learning_rate": 0.001, "lora_rank": 2}))
    assert (head.spaces["learning_rate"].low, head.spaces["learning_rate"].high) == (0.002, 0.2)
    assert (lora.spaces["learning_rate"].low, lora.spaces["learning_rate"].high) == (0.0001, 0.01)
    assert "lora_rank" not in lora.spaces


def test_ranges_of_a_study_replace_add_and_leave_out() -> None:
    spaces = {
        "lora": {"learning_rate": {"low": "1e-4", "high": "1e-2", "scale": "log"}, "batch_size": [8, 16]},
        "wide": {"lora_rank": {"low": 1, "high": 64, "scale": "int"}, "weight_decay": None},
    }
    runs = [{"method": "lora", "label": "plain"}, {"method": "lora", "label": "wide", "warmup_ratio": 0.1}]
    plain, wide = searched_lines(study({"draws": 2, "spaces": spaces}, methods=[], runs=runs))
    assert plain.spaces["learning_rate"] == log_uniform(1e-4, 1e-2)
    assert plain.spaces["batch_size"] == choice(8, 16)
    assert set(wide.spaces) == {"learning_rate", "batch_size", "lora_rank"}
    assert wide.spaces["lora_rank"] == integers(1, 64)
    first = drawn_settings(plain, 0, 1)
    assert first["learning_rate"] == drawn_settings(wide, 0, 1)["learning_rate"]  # paired, as seeds pair data orders


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("20x", 20, "runs"), ("2e15flops", 2e15, "flops"), ("1 flop", 1, "flops"), ("90s", 90, "seconds"),
        ("10min", 600, "seconds"), ("1.5h", 5400, "seconds"), ("2 hours", 7200, "seconds"),
    ],
)  # fmt: skip
def test_budgets(text: str, amount: float, unit: str) -> None:
    assert parse_budget(text) == (amount, unit)


@pytest.mark.parametrize("text", ["5 parsecs", "x", "0x", "-3x", "20", "1e999flops", ""])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(ValueError, match="write 20x"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("tuning", "words"),
    [
        (0, "'tuning.draws' is wrong (given: 0)"),
        ("six", "write a number of draws, or a mapping"),
        ({"drws": 3}, "did you mean 'draws'"),
        ({"budget": "5 parsecs"}, "'tuning.budget' is wrong (given: '5 parsecs'): write 20x"),
        ({"spaces": {"lora": {"learning_rate": {"low": 1, "high": 0.1}}}}, "low (1) must be below high (0.1)"),
        ({"spaces": {"lora": {"learning_rate": {"low": 0, "high": 1, "scale": "log"}}}}, "above 0 on a log scale"),
        ({"spaces": {"lora": {"learning_rate": {"low": 1, "high": 2, "scale": "lg"}}}}, "no scale 'lg'"),
        ({"spaces": {"lora": {"learning_rate": {"low": 1, "scale": "log"}}}}, "needs high"),
        ({"spaces": {"lora": {"learning_rate": {"low": 1, "high": 2, "step": 1}}}}, "has no 'step'"),
        ({"spaces": {"lora": {"lora_rank": {"low": 1.5, "high": 2, "scale": "int"}}}}, "whole numbers"),
        ({"spaces": {"lora": {"learning_rate": 5}}}, "is no space"),
        ({"spaces": {"lora": {"lora_rank": []}}}, "choices: must not be empty"),
        ({"spaces": {"lora": 3}}, "mapping of settings"),
        ({"spaces": 3}, "mapping of methods"),
        ({"spaces": {"lora": {"lerning_rate": [1]}}}, "lora has no setting 'lerning_rate': did you mean"),
        ({"spaces": {"head_only": {"lora_rank": [1]}}}, "head_only has no setting 'lora_rank'"),
        ({"spaces": {"lara": {"lora_rank": [1]}}}, "no line or method 'lara': did you mean 'lora'"),
        ({"spaces": {"held": {"lora_rank": [1, 2]}}}, "the line itself sets lora_rank"),
    ],
)
def test_bad_searches_get_a_sentence(tuning: Any, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        searched_lines(study(tuning, runs=[{"method": "lora", "label": "held", "lora_rank": 4}]))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_that_no_run_can_have_is_found_before_anything_runs(known_data: Path, tiny_gpt2: Path) -> None:
    tuning = {"draws": 4, "spaces": {"full": {"batch_size": [0]}}}
    value = {"data": str(known_data), "model": str(tiny_gpt2), "methods": ["full"], "tuning": tuning}
    expansion, dataset = prepare(parse_study(value, "test"))
    with pytest.raises(SettingError, match="'batch_size' is wrong"):
        draws_of(expansion, dataset.without_test())


def command(draws: int | None = None, budget: str | None = None, file: Path | None = None) -> Any:
    search = {"draws": draws, "budget": budget}
    return assemble_study(file, None, None, None, None, "lora", None, [], None, None, search).tuning


def test_the_command_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "runs: [{method: lora, label: mine}]\ntuning: {draws: 4, seed: 9, spaces: {mine: {lora_rank: [2]}, "
        "full: {weight_decay: [0.1]}}}\n"
    )
    assert command() is None
    assert command(6).draws == 6
    over = command(None, "10min", file=file)
    assert (over.draws, over.seed, over.budget) == (4, 9, "10min")
    assert set(over.spaces) == {"full"}  # the lines that --methods replaces are gone
    with pytest.raises(SettingError, match="--tune 0: a search needs at least one draw"):
        command(0)
    with pytest.raises(SettingError, match="--tune-budget 5 parsecs is no budget: write 20x"):
        command(None, "5 parsecs")


def test_spaces_survive_being_written_down() -> None:
    before = study({"draws": 2, "spaces": {"lora": {"lora_rank": [1, 2], "weight_decay": None, "learning_rate": {
        "low": 1e-4, "high": 1, "scale": "log"}}}}).tuning  # fmt: skip
    assert type(before).model_validate(before.model_dump(mode="json")) == before
    with pytest.raises(ValueError, match="is no space"):
        read_space("wide")
