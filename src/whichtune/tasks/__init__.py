"""Kinds of question that a study can ask: what is predicted, by which loss, and how well."""

from whichtune.tasks.base import TASKS, Task, task_of
from whichtune.tasks.classification.task import task
from whichtune.tasks.text import task

__all__ = ["TASKS", "Task", "classification", "task_of", "text_to_text"]
