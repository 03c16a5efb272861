"""Everything that is built in keeps the contracts that plugins are held to; and the contracts can fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from made_labels import labels_file
from made_numbers import numbers_file
from made_tags import tags_file
from whichtune.executors.base import EXECUTORS
from whichtune.methods import METHODS
from whichtune.methods.base import Method
from whichtune.metrics import METRICS, Metric
from whichtune.tasks import TASKS
from whichtune.testing import (
    EXECUTOR_CHECKS,
    METHOD_CHECKS,
    METRIC_CHECKS,
    TASK_CHECKS,
    ExecutorCase,
    MethodCase,
    TaskCase,
)

WRITTEN = {"settings": {"max_new_tokens": 6, "max_target_tokens": 8, "context_length": 40}}
# Three blocks and 64 positions are what the contract's model has.
OF_THEIR_OWN: dict[str, dict[str, object]] = {
    "last_blocks": {"blocks": 2},
    "few_shot": {"shots": 1, "prompt": "{text} ->"},
}
METHOD_CASES = {
    name: MethodCase(name, OF_THEIR_OWN.get(name, {}))
    for name, method in METHODS.items()
    if "classification" in method.tasks
}


# One of each kind on every run of the suite: a head on features, trained blocks, adapters, virtual tokens. The others,
# whose losses and plans tests/test_oracle.py and tests/test_plan_exactness.py ask for too, by `make test-slow`.
EVERY_TIME = ("head_only", "last_two_blocks", "lora", "soft_prompt")


@pytest.mark.parametrize("check", METHOD_CHECKS)
@pytest.mark.parametrize(
    "method", [name if name in EVERY_TIME else pytest.param(name, marks=pytest.mark.slow) for name in METHOD_CASES]
)
def test_methods(method: str, check: str, tmp_path: Path) -> None:
    METHOD_CHECKS[check](METHOD_CASES[method], tmp_path)


@pytest.mark.parametrize("check", METRIC_CHECKS)
@pytest.mark.parametrize("metric", [name for name in METRICS if name != "loss"])
def test_metrics(metric: str, check: str, tmp_path: Path) -> None:
    METRIC_CHECKS[check](METRICS[metric], tmp_path)


# Studies of these are made in tests/tasks/test_regression.py, test_multilabel.py and test_tagging.py, too; and
# summaries are texts.
SELDOM = ("multilabel", "regression", "summarisation", "tagging")


@pytest.mark.parametrize("check", TASK_CHECKS)
@pytest.mark.parametrize(
    "task", [pytest.param(name, marks=pytest.mark.slow) if name in SELDOM else name for name in TASKS]
)
def test_tasks(task: str, check: str, tmp_path: Path, notes: Path) -> None:
    changes = {} if task == "classification" else {"data": str(notes), **WRITTEN}
    if task == "multilabel":
        changes = {"data": str(labels_file(tmp_path / "labels"))}
    if task == "regression":
        changes = {"data": str(numbers_file(tmp_path / "numbers", rows=60))}
    if task == "tagging":
        changes = {"data": str(tags_file(tmp_path / "tags"))}
    TASK_CHECKS[check](TaskCase(task, changes), tmp_path)


@pytest.mark.parametrize("check", EXECUTOR_CHECKS)
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    "executor", [pytest.param(name, marks=pytest.mark.cluster) if name == "ray" else name for name in EXECUTORS]
)
def test_executors(executor: str, jobs: int, check: str, tmp_path: Path) -> None:
    EXECUTOR_CHECKS[check](ExecutorCase(EXECUTORS[executor], jobs), tmp_path)


class _Careless(Method):
    """Trains the head, and the last block behind everybody's back."""

    name = "careless"
    card = METHODS["head_only"].card

    def attach(self, classifier, settings, seed):
        from torch import no_grad

        classifier.requires_grad_(False)
        classifier.head.requires_grad_(True)
        weight = classifier.backbone.h[-1].mlp.c_fc.weight

        def move(*_: object) -> None:
            with no_grad():
                weight.add_(0.01)

        classifier.head.register_forward_hook(move)


def test_a_method_that_moves_what_it_does_not_train_is_found(tmp_path: Path) -> None:
    with METHODS.restored():
        METHODS.register("careless")(_Careless())
        with pytest.raises(AssertionError, match="moved what it does not train"):
            METHOD_CHECKS["trains_only_what_it_says"](MethodCase("careless"), tmp_path)


def test_a_metric_that_depends_on_the_order_is_found(tmp_path: Path) -> None:
    wrong = Metric("wrong", "wrong", "classes", of_confusion=lambda counts: -np.trace(counts, axis1=-2, axis2=-1))
    with pytest.raises(AssertionError, match="with all right"):
        METRIC_CHECKS["is_best_where_all_is_right"](wrong, tmp_path)
