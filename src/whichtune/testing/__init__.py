"""Contract suites: what a method, a metric, a task or an executor must keep to be one of the house.

Each check is a function that takes a case and an empty folder and raises AssertionError with a sentence;
`METHOD_CHECKS` and its siblings list them by name, for `pytest.mark.parametrize`. They are run over everything that is
built in, on real models of a tiny configuration. docs/plugins.md shows their use.
"""

from whichtune.testing.executors import EXECUTOR_CHECKS, ExecutorCase
from whichtune.testing.methods import METHOD_CHECKS, MethodCase
from whichtune.testing.metrics import METRIC_CHECKS
from whichtune.testing.tasks import TASK_CHECKS, TaskCase

__all__ = [
    "EXECUTOR_CHECKS",
    "METHOD_CHECKS",
    "METRIC_CHECKS",
    "TASK_CHECKS",
    "ExecutorCase",
    "MethodCase",
    "TaskCase",
]
