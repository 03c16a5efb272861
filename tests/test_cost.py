"""Costs are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.tiny_families import FAMILIES
from planned_runs import Cell, make_classifier, make_spec
from test_oracle import spec_of
from whichtune.data.batch import Batch
from whichtune.data.splits import load_dataset
from whichtune.measure.cost import MemoryMonitor, anonymous_bytes, count_flops, count_parameters
from whichtune.measure.energy import EnergyMeter
from whichtune.measure.flops import flops_of_length
from whichtune.runs.estimate import estimate_runs
from whichtune.runs.preview import preview_run
from whichtune.runs.run import run_one
from whichtune.tasks.classification.estimate import meta_classifier, meta_loss
from whichtune.tasks.classification.task import build_classifier, encode_for
from whichtune.training.forward import PlainForward


def plain_forward(model: Path, mail: Path, **changes: object) -> PlainForward:
    spec = spec_of(model, mail, "off", **changes)
    dataset = load_dataset(spec.data)
    classifier, tokenizer = build_classifier(spec, 2)
    encoded = encode_for(spec, dataset, tokenizer, classifier.backbone.config)
    return PlainForward(classifier, encoded, torch.device("cpu"), "float32")


@pytest.mark.parametrize("method", ["head_only", "last_block", "full", "lora"])
@pytest.mark.parametrize("padding", ["dynamic", "right", "none"])
def test_flops_of_a_step_are_those_of_torchs_counter(tiny_gpt2: Path, mail: Path, method: str, padding: str) -> None:
    """The curve from three short texts equals counting the real batch, forward and backward."""
    forward = plain_forward(tiny_gpt2, mail, method=method, padding=padding, method_settings={})
    rows = [0, 3, 5, 7]
    labels = torch.tensor(forward.encoded.splits["train"].labels[rows])

    def loss() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(forward.logits("train", rows), labels)

    assert forward.training_flops(rows) == count_flops(loss) > 0


def test_a_curve_that_is_no_parabola_is_counted_length_by_length() -> None:
    calls = []

    def loss(length: int) -> torch.Tensor:
        calls.append(length)
        side = length**2
        return (torch.ones(side, 1) @ torch.ones(1, side)).sum()

    curve = flops_of_length(loss, limit=100)
    assert curve(10) == 2 * 10**4
    assert 10 in calls


def test_peak_memory_sees_what_comes_and_goes() -> None:
    with MemoryMonitor(torch.device("cpu"), anonymous_bytes()) as quiet:
        pass
    with MemoryMonitor(torch.device("cpu"), anonymous_bytes()) as busy:
        for _ in range(5):
            block = torch.ones(50_000_000)  # 200 MB
            block.add_(1)
            del block
    assert quiet.peak < 20e6
    assert 195e6 < busy.peak < 260e6


@pytest.mark.parametrize("masked", [False, True])
def test_attention_on_a_cpu_is_counted(masked: bool) -> None:
    """Two products of (T, D) and (T, T) forward, five backward, the scores' recomputation among them."""
    q = torch.randn(1, 4, 40, 8, requires_grad=True)
    mask = torch.zeros(1, 1, 40, 40) if masked else None

    def attend() -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask).sum()

    product = 2 * 4 * 40 * 40 * 8
    assert count_flops(attend) == 7 * product
    with torch.no_grad():
        assert count_flops(attend) == 2 * product


def test_tied_weights_count_once() -> None:
    one = torch.nn.Linear(10, 10, bias=False)
    two = torch.nn.Linear(10, 10, bias=False)
    two.weight = one.weight
    assert count_parameters(torch.nn.ModuleList([one, two])) == (100, 100)


def test_every_cost_of_a_run_is_filled(tiny_gpt2: Path, mail: Path) -> None:
    cost = run_one(spec_of(tiny_gpt2, mail, "off", method="lora")).record.cost
    empty = [name for name, value in cost.model_dump().items() if value is None]
    counted = [] if EnergyMeter(torch.device("cpu")).joules is None else ["training_joules"]
    without_plan, of_writing, of_cuda = (
        ["check_seconds"],
        ["save_seconds", "total_seconds"],
        ["peak_memory_reserved_bytes", "retention_loss", "retention_loss_before"],
    )
    assert sorted([*empty, *counted]) == sorted([*without_plan, *of_writing, *of_cuda, "training_joules"])
    assert cost.optimiser_steps == 20
    assert cost.examples_seen == 20 * 8 - 7  # 105 training examples: each epoch's last batch has one
    assert cost.max_epoch_seconds <= cost.train_seconds
    assert cost.inference_ms <= cost.inference_ms_p95
    assert cost.inference_ms_batch_32 <= cost.inference_ms_batch_32_p95


def test_a_dry_run_predicts_operations_and_parameters(tiny_gpt2: Path, mail: Path) -> None:
    """Predicted without the model's weights; the shuffle differs, so the padding does by a little."""
    spec = spec_of(tiny_gpt2, mail, "off", method="last_two_blocks", max_steps=None, epochs=2)
    (guess,) = estimate_runs([spec], load_dataset(spec.data)).values()
    record = run_one(spec).record
    assert guess.trainable_parameters == record.cost.trainable_parameters
    assert guess.flops == pytest.approx(record.cost.flops, rel=0.05)
    assert guess.memory_bytes > 0


@pytest.mark.parametrize("method", ["head_only", "linear_probe", "last_block"])
def test_a_dry_run_counts_the_frozen_blocks_once(tiny_gpt2: Path, mail: Path, method: str) -> None:
    """As a run costs alone; what its plan leaves out of the last block and of padding is not foreseen."""
    spec = spec_of(tiny_gpt2, mail, "auto", method=method, max_steps=None, epochs=4)
    dataset = load_dataset(spec.data)
    guess = estimate_runs([spec], dataset)[spec.run_id].flops
    preview = preview_run(spec, dataset)
    if method == "last_block":
        assert preview.flops_alone < guess < 0.7 * preview.flops_plain
    else:
        assert guess == pytest.approx(preview.flops_alone, rel=0.15)


CELLS = [Cell(family, "last_block", "first", "right", True) for family in FAMILIES]
CELLS += [Cell(f, m, "first", "right", True) for f in FAMILIES for m in ("soft_prompt", "prefix_tuning")]


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.is_valid], ids=str)
def test_operations_are_known_without_weights(cell: Cell) -> None:
    """Counted without storage, as a dry run does, they are those of the real model, but for the scores that fused
    attention computes again in its backward pass."""
    real = make_classifier(cell)
    ids, length = torch.full((1, 9), 3), torch.tensor([9])
    classifier = meta_classifier(make_spec(cell, "off"), real.backbone.config, 2)

    def loss() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(real(Batch(ids, length)), torch.tensor([0]))

    # One or two more products of the scores' size in every block that a gradient passes: with a prompt, in all.
    again = 0.005 if cell.method == "last_block" else 0.04
    assert count_flops(lambda: meta_loss(classifier, 9)) == pytest.approx(count_flops(loss), rel=again)


def test_a_model_saved_in_half_precision_is_judged_as_it_will_run() -> None:
    cell = Cell("gpt2", "prefix_tuning", "first", "right", True)
    config = make_classifier(cell).backbone.config
    config.dtype = torch.float16
    classifier = meta_classifier(make_spec(cell, "off"), config, 2)
    assert {parameter.dtype for parameter in classifier.parameters()} == {torch.float32}
    assert count_flops(lambda: meta_loss(classifier, 9)) > 0
