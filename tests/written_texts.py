"""Small studies of written texts, and their parts, for the tests of that task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whichtune.compare import prepare
from whichtune.study.load import parse_study
from whichtune.study.spec import RunSpec
from whichtune.tasks import TASKS
from whichtune.tasks.text.model import build_language_model

STEPS = 4
SETTINGS = {
    "context_length": 60,
    "max_target_tokens": 16,
    "max_new_tokens": 8,
    "batch_size": 4,
    "epochs": 20,
    "max_steps": STEPS,
    "learning_rate": 2e-3,
    "schedule": "constant",
    "warmup_steps": 0,
    "gradient_clip": None,
    "evaluation_interval": 1,
    "evaluation_batches": 1,
    "generation_batch_size": 3,
}


def study_of(model: Path, data: Path, methods: list[Any], **changes: Any) -> Any:
    value = {
        "task": "summarisation",
        "data": str(data),
        "model": str(model),
        "methods": methods,
        "baselines": [],
        "seeds": [3],
        "settings": {**SETTINGS, **changes.pop("settings", {})},
        **changes,
    }
    return parse_study(value, "test")


def spec_of(model: Path, data: Path, method: str = "full", **settings: Any) -> RunSpec:
    expansion, _ = prepare(study_of(model, data, [method], settings=settings))
    return expansion.specs[0]


def encoded_of(spec: RunSpec) -> tuple[Any, Any]:
    task = TASKS[spec.task]
    dataset = task.load(spec.data)
    model, tokenizer = build_language_model(spec)
    return model, task.encode(spec, dataset, tokenizer, model.backbone.config)
