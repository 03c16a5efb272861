"""What runs of written texts share: one pass over the frozen blocks for all methods of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whichtune.compare import prepare
from whichtune.executors.local import siblings
from whichtune.models.loading import load_config
from whichtune.runs.run import RunResult, run_one
from whichtune.study.spec import RunSpec
from whichtune.tasks.tagging.model import meta_tagger
from whichtune.tasks.tagging.planned import frozen_tag_blocks
from whichtune.tasks.text.model import meta_language_model
from whichtune.tasks.text.planned import boundary_of_text_method, frozen_text_blocks
from written_texts import spec_of, study_of

BLOCKS = 3  # of the tiny model


def made(spec: RunSpec, folder: Path, shared: list[Any]) -> tuple[RunResult, dict[str, Any]]:
    result = run_one(spec, cache={"folder": folder, "siblings": shared})
    return result, result.record.shortcuts["used"]


@pytest.mark.parametrize(
    "first,second",
    [("head_only", "last_block"), pytest.param("last_block", "head_only", marks=pytest.mark.slow)],
)
def test_methods_with_other_boundaries_take_one_pass(
    first: str, second: str, tiny_gpt2: Path, notes: Path, tmp_path: Path
) -> None:
    shared = [("head_only", {}), ("last_block", {}), ("lora", {}), ("untuned", {})]
    pays, found = (spec_of(tiny_gpt2, notes, method, tied="untie") for method in (first, second))
    (payer, used), (heir, inherited) = made(pays, tmp_path, shared), made(found, tmp_path, shared)
    assert used["cache_made"]
    assert not inherited["cache_made"]
    assert {used["cached"], inherited["cached"]} == {"read", "states"}
    assert payer.record.cost is not None
    assert heir.record.cost is not None
    assert payer.record.cost.cache_flops > payer.record.cost.cache_flops_alone * 0.99 > 0
    assert heir.record.cost.cache_flops == 0
    assert heir.record.cost.cache_flops_alone > 0
    for spec, result in ((pays, payer), (found, heir)):
        plain = run_one(spec.model_copy(update={"plan": "off"}))
        for name in ("train_loss", "validation_loss"):
            ours, theirs = ([point[name] for point in each.curves] for each in (result, plain))
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert result.predictions is not None
        assert plain.predictions is not None
        np.testing.assert_allclose(result.predictions["loss"], plain.predictions["loss"], rtol=1e-4)
        assert list(result.predictions["prediction"]) == list(plain.predictions["prediction"])


@pytest.mark.slow
def test_alone_a_run_makes_what_it_needs(tiny_gpt2: Path, notes: Path, tmp_path: Path) -> None:
    """Without siblings a pass for one boundary is of no use to the other."""
    head, block = (spec_of(tiny_gpt2, notes, method, tied="untie") for method in ("head_only", "last_block"))
    assert made(block, tmp_path, [])[1]["cache_made"]
    assert made(head, tmp_path, [])[1]["cache_made"]


@pytest.mark.parametrize(
    "method,settings,tied,boundary",
    [
        ("head_only", {}, "untie", BLOCKS),
        ("head_only", {}, "train_both", 0),
        ("last_block", {}, "untie", BLOCKS - 1),
        ("last_blocks", {"blocks": BLOCKS}, "untie", 0),
        ("lora", {"lora_targets": "attention"}, "untie", 0),
        ("soft_prompt", {}, "untie", 0),
        ("untuned", {}, "untie", 0),
    ],
)
def test_a_boundary_is_known_without_weights(
    method: str, settings: dict[str, Any], tied: str, boundary: int, tiny_gpt2: Path, notes: Path
) -> None:
    spec = spec_of(tiny_gpt2, notes, "full", tied=tied)
    assert boundary_of_text_method(spec, method, settings, load_config(tiny_gpt2)) == boundary


def test_runs_with_other_texts_are_no_siblings(tiny_gpt2: Path, notes: Path) -> None:
    runs = [
        {"method": "head_only", "label": "a"},
        {"method": "last_block", "label": "b"},
        {"method": "last_block", "label": "c", "template": "{document} TL;DR:"},
    ]
    expansion, _ = prepare(study_of(tiny_gpt2, notes, [], runs=runs))
    found = {spec.label: [method for method, _ in siblings(expansion.specs)[spec.run_id]] for spec in expansion.specs}
    assert found == {"a": ["head_only", "last_block"], "b": ["head_only", "last_block"], "c": ["last_block"]}


def test_a_model_in_fewer_bits_has_no_plan(tiny_gpt2: Path, notes: Path) -> None:
    """What is cached is of float32, for tasks of texts and of tags alike."""
    spec = spec_of(tiny_gpt2, notes, "last_block")
    config = load_config(tiny_gpt2)
    in_bits = spec.model_copy(update={"base_precision": "nf4"})
    assert frozen_text_blocks(spec, meta_language_model(spec, config)) is not None
    assert frozen_text_blocks(in_bits, meta_language_model(spec, config)) is None
    tagged = spec.model_copy(update={"task": "tagging", "task_settings": {}})
    assert frozen_tag_blocks(tagged, meta_tagger(tagged, config, 3)) is not None
    in_bits = tagged.model_copy(update={"base_precision": "nf4"})
    assert frozen_tag_blocks(in_bits, meta_tagger(tagged, config, 3)) is None
