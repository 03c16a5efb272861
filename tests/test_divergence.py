"""Runs whose numbers end: failed rows with a reason, early, and nothing judged on what is no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from whichtune.compare import prepare
from whichtune.embedded import model_path
from whichtune.errors import DivergedError, NotFiniteError
from whichtune.executors.base import explain
from whichtune.records.events import Event
from whichtune.records.record import RunStatus
from whichtune.runs.run import run_one
from whichtune.study.spec import RunSpec, Study
from whichtune.training.finite import MOST_OVERFLOWS, LossWatch, finite_rows

FAR = 1e30  # a learning rate that no weights survive


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [f"{'good fine' if i % 2 else 'bad awful'} thing number {i},{i % 2}" for i in range(60)]
    file = tmp_path / "d.csv"
    file.write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    return file


def spec_for(data: Path, method: str, task: str = "classification", **settings: Any) -> RunSpec:
    columns = {} if task == "classification" else {"target_column": "label"}
    study = Study.model_validate(
        {
            "task": task,
            "data": {"source": str(data), **columns},
            "methods": [method],
            "baselines": [],
            "seeds": [0],
            "device": "cpu",
            "settings": {"epochs": 3, "batch_size": 8, "warmup_ratio": 0, "context_length": 24, **settings},
        }
    )
    return prepare(study)[0].specs[0]


def end_of(spec: RunSpec) -> tuple[RunStatus, str, int]:
    """How a run ends that is made here: as its record has it, with the last step that it told."""
    steps: list[int] = []

    def tell(event: Event) -> None:
        if event["event"] == "step":
            steps.append(event["step"])

    with pytest.raises(DivergedError) as error:
        run_one(spec, tell)
    return *explain(error.value), max(steps, default=0)


@pytest.mark.parametrize(
    "method, task, settings",
    [
        ("full", "classification", {}),
        ("full", "classification", {"plan": "off"}),
        ("lora", "classification", {"early_stopping": "loss"}),
        ("full", "classification", {"random_streams": "reference", "evaluation_interval": 2}),
        ("full", "text_to_text", {"max_new_tokens": 2}),
    ],
)
def test_a_run_that_diverges_fails_early_and_says_where(
    data: Path, method: str, task: str, settings: dict[str, Any]
) -> None:
    plan = settings.pop("plan", None)
    spec = spec_for(data, method, task, learning_rate=FAR, **settings)
    status, reason, last = end_of(spec.model_copy(update={"plan": plan or spec.plan}))
    assert status is RunStatus.FAILED
    assert reason.startswith("Diverged at step ")
    assert "lower the learning rate (1e+30)" in reason
    assert last < 4  # of 18


def test_the_last_step_of_all_is_looked_at_too(data: Path) -> None:
    _, reason, _ = end_of(spec_for(data, "full", learning_rate=FAR, max_steps=1))
    assert reason.startswith("Diverged at step 1: ")
    assert "are not finite" in reason


def test_weights_that_give_no_numbers_are_not_fitted_in_closed_form(data: Path, tmp_path: Path) -> None:
    import shutil

    model = Path(shutil.copytree(model_path(), tmp_path / "m"))
    state = {name: tensor.float() for name, tensor in load_file(model / "model.safetensors").items()}
    state["transformer.ln_f.weight"][:] = torch.finfo(torch.float32).max  # finite, and their products are not
    state["transformer.ln_f.bias"][:] = torch.finfo(torch.float32).max
    save_file(state, model / "model.safetensors", metadata={"format": "pt"})
    study = Study(
        data={"source": str(data)},
        model=str(model),
        methods=[{"method": "linear_probe"}],
        baselines=[],
        seeds=[0],
        device="cpu",
        plan="off",
    )
    _, reason, _ = end_of(prepare(study)[0].specs[0])
    assert reason.startswith("Without training the features of ")


def test_what_is_no_number_is_counted() -> None:
    values = np.ones((4, 2))
    assert finite_rows(values, "test") is values
    values[1, 1], values[3, 0] = np.nan, np.inf
    with pytest.raises(NotFiniteError, match="the logits of 2 test texts of 4 are not finite"):
        finite_rows(values, "test")


def test_fp16_may_overflow_now_and_then(data: Path) -> None:
    """There the gradient scaler leaves such a step out; only many in a row are the end."""
    spec = spec_for(data, "head_only").model_copy(update={"precision": "fp16"})
    watch = LossWatch(spec)
    for step in range(1, 40):
        watch.see(step, torch.tensor(float("inf") if step % 3 else 1.0))
    watch.check()
    for step in range(40, 41 + MOST_OVERFLOWS):
        watch.see(step, torch.tensor(float("nan")))
    with pytest.raises(DivergedError, match=f"Diverged at step {40 + MOST_OVERFLOWS}: the loss is nan"):
        watch.check()
