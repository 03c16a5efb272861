"""The examples that a study's runs are judged on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.study.spec import Study
from whichtune.tasks import task_of

if TYPE_CHECKING:
    import pandas as pd

    from whichtune.tasks.base import AnyDataset


def examples_of(study: Study, dataset: AnyDataset) -> pd.DataFrame:
    """Validation and test examples of the study's `dataset`; of every split, where each seed has its own."""
    import pandas as pd

    task = task_of(study)
    if not study.data.varies:
        return task.examples(dataset)
    tables = [task.examples(task.load(study.data.at_seed(seed))) for seed in study.seeds]
    return pd.concat(tables).drop_duplicates(["split", "example_id"], ignore_index=True)
