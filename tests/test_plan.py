"""What a plan decides, from settings, model and texts; and what is told of it before a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from planned_runs import Cell, made_up_texts, make_classifier, make_spec, run
from whichtune.cli.app import app
from whichtune.cli.asked import parse_bytes
from whichtune.errors import ModelError, SettingError
from whichtune.executors.order import siblings
from whichtune.models.heads import Classifier
from whichtune.shortcuts.boundary import Plan, boundary_of_method, find_boundary, make_plan
from whichtune.tasks.classification.estimate import describe_plan


def _plan(method: str = "last_block", position: str = "last_nonpad", padding: str = "dynamic", **more: object) -> Plan:
    attend, family = bool(more.pop("attend", False)), str(more.pop("family", "gpt2"))
    cell = Cell(family, method, position, padding, attend)
    classifier = make_classifier(cell, **more)  # type: ignore[arg-type]
    return make_plan(make_spec(cell, "auto"), classifier, made_up_texts(0, padding, attend))


@pytest.mark.parametrize(
    "method,boundary,cached",
    [
        ("head_only", 4, "features"),
        ("linear_probe", 4, "features"),
        ("last_block", 3, "states"),
        ("last_two_blocks", 2, "states"),
        ("full", 0, "nothing"),
        ("lora", 0, "nothing"),
        ("lora above", 3, "states"),
    ],
)
@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_the_boundary_is_the_first_block_that_trains(family: str, method: str, boundary: int, cached: str) -> None:
    plan = _plan(method, family=family)
    assert (plan.boundary, plan.cached) == (boundary, cached)


def test_a_sibling_s_boundary_is_known_without_weights() -> None:
    classifier = make_classifier(Cell("gpt2", "full", "first", "dynamic", False))
    config = classifier.backbone.config
    found = {name: boundary_of_method(name, {}, config) for name in ("head_only", "last_block", "full", "lora")}
    assert found == {"head_only": 4, "last_block": 3, "full": 0, "lora": 0}
    with pytest.raises(ModelError, match="99"):
        boundary_of_method("last_blocks", {"blocks": 99}, config)


def test_a_tied_weight_trains_wherever_it_is_used() -> None:
    """Training a last layer that shares the embeddings' weight changes the embeddings: boundary 0."""
    classifier = make_classifier(Cell("gpt2", "last_block", "last", "right", False))
    backbone = classifier.backbone
    assert find_boundary(classifier, make_plan_partition(classifier))[0] == 3
    backbone.ln_f.register_parameter("tied", backbone.wte.weight)
    backbone.wte.weight.requires_grad_(True)
    assert find_boundary(classifier, make_plan_partition(classifier))[0] == 0


def make_plan_partition(classifier: Classifier) -> object:
    from whichtune.models.partition import Partition

    return Partition(classifier.backbone)


@pytest.mark.parametrize(
    "position,padding,attend,family,rule",
    [
        ("first", "right", True, "gpt2", "first token"),
        ("last", "right", True, "gpt2", "padded"),
        ("last", "none", False, "gpt2", "unpadded"),
        ("last_nonpad", "right", True, "gpt2", "unpadded"),
        ("mean", "right", False, "gpt2", "padded"),
        ("mean_nonpad", "right", True, "gpt2", "unpadded"),
        ("first", "right", False, "bert", "unpadded"),
        ("first", "right", True, "bert", "padded"),
        ("last_nonpad", "dynamic", False, "bert", "unpadded"),
    ],
)
def test_how_much_of_a_text_is_computed(position: str, padding: str, attend: bool, family: str, rule: str) -> None:
    assert _plan("last_block", position, padding, attend=attend, family=family).text_rule == rule


def test_without_a_causal_mask_the_first_token_needs_the_text() -> None:
    assert _plan("last_block", "first", "dynamic", causal_mask=False).text_rule == "unpadded"


def test_a_method_that_trains_something_else_has_no_plan() -> None:
    cell = Cell("gpt2", "last_block", "last", "right", False)
    classifier = make_classifier(cell)
    classifier.extra = torch.nn.Parameter(torch.zeros(3))
    plan = make_plan(make_spec(cell, "auto"), classifier, made_up_texts(0, "right"))
    assert plan.is_off
    assert "outside the model" in plan.reasons["plan"]


@pytest.mark.parametrize("method", ["head_only", "last_two_blocks", "full", "lora", "soft_prompt", "prefix_tuning"])
@pytest.mark.parametrize("position,padding", [("last_nonpad", "dynamic"), ("last", "right")])
def test_predicted_operations_are_those_of_the_run(tmp_path: Path, method: str, position: str, padding: str) -> None:
    cell = Cell("gpt2", method, position, padding, False)
    one_epoch = {"epochs": 1, "max_steps": None}
    spec = make_spec(cell, "auto", **one_epoch)
    classifier, encoded = make_classifier(cell), made_up_texts(0, padding)
    shown = describe_plan(spec, make_plan(spec, classifier, encoded), classifier, encoded, torch.device("cpu"))
    planned = run(cell, "auto", tmp_path, encoded=encoded, **one_epoch)
    assert planned.prepared is not None
    assert shown.flops_shared == planned.flops
    assert shown.flops_alone == planned.flops + planned.prepared.flops
    assert shown.flops_plain == run(cell, "off", tmp_path, encoded=encoded, **one_epoch).flops
    stored = sum(file.stat().st_size for file in tmp_path.glob("*/states.bin"))
    assert shown.cache_bytes == stored


def test_runs_that_share_texts_and_model_are_siblings() -> None:
    cells = [Cell("gpt2", method, "last", "right", True) for method in ("head_only", "last_block")]
    other = Cell("gpt2", "full", "first", "right", True)
    specs = [make_spec(cell, "auto", seed=seed) for cell in [*cells, other] for seed in (0, 1)]
    found = siblings(specs)
    assert found[specs[0].run_id] == [("head_only", {}), ("last_block", {})]
    assert found[specs[-1].run_id] == [("full", {})]
    assert siblings([make_spec(other, "off")]) == {}


@pytest.mark.parametrize("text,count", [("20GB", 20 * 10**9), ("1.5 mb", 1_500_000), ("700", 700), ("2T", 2 * 10**12)])
def test_sizes(text: str, count: int) -> None:
    assert parse_bytes("--cache-limit", text) == count


def test_no_size() -> None:
    with pytest.raises(SettingError, match="--cache-limit lots is no size"):
        parse_bytes("--cache-limit", "lots")


def test_the_cache_is_listed_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHICHTUNE_CACHE", str(tmp_path))
    run(Cell("gpt2", "last_block", "last_nonpad", "dynamic", False), "auto", tmp_path / "states")
    listed = CliRunner().invoke(app, ["cache"]).output
    assert "3 entries" in listed
    assert "train, all" in listed
    assert "MB freed" in CliRunner().invoke(app, ["cache", "--clear"]).output
    assert "0 entries" in CliRunner().invoke(app, ["cache"]).output
