"""Kinds of question that a study can ask: what is predicted, by which loss, and how well. A folder each."""

from whichtune.tasks.base import TASKS, Task, task_of

__all__ = ["TASKS", "Task", "task_of"]
