"""Weights of classes, smoothing and focal loss: exactly torch's, whatever the batches; no part of an old run's id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from whichtune.compare import prepare
from whichtune.runs.run import run_one
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tasks.classification.objective import summed_loss
from whichtune.tasks.classification.settings import ClassificationSettings
from whichtune.tasks.classification.weighting import class_weights

LOGITS = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 0])
NAMES = ["ham", "spam", "other"]


def mean_loss(weight: Any = None, logits: torch.Tensor = LOGITS, **settings: Any) -> torch.Tensor:
    own = ClassificationSettings(class_weight=weight, **settings)
    weights = class_weights(own, LABELS.numpy(), NAMES)
    asked = None if weights is None else torch.tensor(weights)
    divisor = len(LABELS) if asked is None else asked[LABELS].sum()
    return summed_loss(logits, LABELS, own, asked) / divisor


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("weight", "theirs"),
    [
        (None, None),
        ("balanced", [9 / 3 / 6, 9 / 3 / 2, 9 / 3 / 1]),
        ({"spam": 2.5}, [1.0, 2.5, 1.0]),
        ({"ham": 0, "other": 3}, [0.0, 1.0, 3.0]),
    ],
)
def test_the_loss_is_torchs(weight: Any, theirs: list[float] | None, smoothing: float) -> None:
    expected = F.cross_entropy(
        LOGITS,
        LABELS,
        weight=None if theirs is None else torch.tensor(theirs, dtype=torch.float64),
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(mean_loss(weight, label_smoothing=smoothing), expected, atol=0, rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_loss_by_its_formula(gamma: float) -> None:
    """And its gradient, which must be finite where a text is all but certain."""
    p = LOGITS.softmax(1)[torch.arange(9), LABELS]
    expected = (-((1 - p) ** gamma) * p.log()).mean()
    torch.testing.assert_close(mean_loss(focal_gamma=gamma), expected, atol=1e-12, rtol=1e-9)
    certain = (F.one_hot(LABELS, 3) * 200.0).requires_grad_()
    mean_loss(focal_gamma=gamma, logits=certain).backward()
    assert certain.grad is not None
    assert bool(certain.grad.isfinite().all())


def spec_of(mail: Path, model: Path, **settings: Any) -> RunSpec:
    value = {
        "data": str(mail),
        "model": str(model),
        "seeds": [0],
        "baselines": [],
        "methods": ["head_only"],
        "settings": {
            "max_steps": 6, "batch_size": 4, "learning_rate": 1e-2, "evaluation_interval": 1, "schedule": "constant",
            "warmup_steps": 0, "gradient_clip": None, "context_length": 24, "evaluation_batches": 1, **settings,
        },
    }  # fmt: skip
    (spec,) = prepare(parse_study(value, "a test"))[0].specs
    return spec


@pytest.mark.slow
def test_an_accumulated_step_is_one_large_batch(tiny_gpt2: Path, mail: Path) -> None:
    """Weights differ from batch to batch, so that a mean of the batches' means would be another loss."""
    small = run_one(spec_of(mail, tiny_gpt2, class_weight={"spam": 7}, accumulation_steps=3))
    large = run_one(spec_of(mail, tiny_gpt2, class_weight={"spam": 7}, batch_size=12))
    plain = run_one(spec_of(mail, tiny_gpt2, batch_size=12))
    losses = [np.array([point["train_loss"] for point in result.curves]) for result in (small, large, plain)]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-6)
    assert np.abs(losses[1] - losses[2]).max() > 1e-3


def test_what_is_at_its_default_is_no_part_of_a_runs_id(tiny_gpt2: Path, mail: Path) -> None:
    plain = spec_of(mail, tiny_gpt2)
    assert plain.task_settings == {}
    assert spec_of(mail, tiny_gpt2, label_smoothing=0.0, focal_gamma=0).run_id == plain.run_id
    assert spec_of(mail, tiny_gpt2, label_smoothing=0.1).run_id != plain.run_id
    assert spec_of(mail, tiny_gpt2, class_weight="balanced").run_id != plain.run_id


def test_a_probe_says_what_it_leaves_aside(tiny_gpt2: Path, mail: Path) -> None:
    spec = spec_of(mail, tiny_gpt2, class_weight="balanced", label_smoothing=0.1)
    notes = run_one(spec.model_copy(update={"method": "linear_probe"})).record.notes
    assert "class_weight has no effect on linear_probe, whose head is fitted without it." in notes
    notes = run_one(spec.model_copy(update={"method": "logistic_probe"})).record.notes
    assert not [note for note in notes if note.startswith("class_weight")]
    assert [note for note in notes if note.startswith("label_smoothing has no effect")]
