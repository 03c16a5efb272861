"""A study's data, and whether the task that nobody named is the one that is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.errors import DataError
from whichtune.study.spec import DEFAULT_TASK, Study
from whichtune.tasks import task_of

if TYPE_CHECKING:
    from whichtune.tasks.base import AnyDataset


def load_asking(study: Study) -> AnyDataset:
    """The data, read as the study's task reads them.

    Raises DataError, and asks which task is meant where the study names none and its labels are numbers of many values.
    """
    from whichtune.data.numbers import label_names, refuse_many_numbers

    task = task_of(study)
    asks = study.task == DEFAULT_TASK and "task" not in study.model_fields_set
    try:
        dataset: AnyDataset = task.load(study.data)
    except DataError:
        if asks:  # a number that few texts have is no class that can be split
            refuse_many_numbers(*label_names(study.data, task.columns))
        raise
    if asks:
        refuse_many_numbers(dataset.labels, dataset.name)
    return dataset
