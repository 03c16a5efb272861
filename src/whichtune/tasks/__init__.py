"""Kinds of question that a study can ask: what is predicted, by which loss, and how well."""

from whichtune.tasks import classification, text_to_text
from whichtune.tasks.base import TASKS, Task, task_of

__all__ = ["TASKS", "Task", "classification", "task_of", "text_to_text"]
