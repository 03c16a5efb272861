"""The examples that a study's runs are judged on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichtune.data.near import MOST_TEXTS, near_repeats
from whichtune.data.sizes import variants_of
from whichtune.study.spec import Study
from whichtune.tasks import task_of

if TYPE_CHECKING:
    import pandas as pd

    from whichtune.tasks.base import AnyDataset


def examples_of(study: Study, dataset: AnyDataset) -> pd.DataFrame:
    """Validation and test examples of the study's `dataset`, and those of rows that read other ones; of every split,
    where each seed has its own.

    `nearly_in_train` says of each whether it nearly repeats a training text; of many texts it is not asked.
    """
    import pandas as pd

    task = task_of(study)
    if not study.data.varies and not variants_of(dataset):
        return _marked(task.examples(dataset), dataset)
    loaded = [dataset, *variants_of(dataset).values()]
    if study.data.varies:
        loaded = [task.load(study.data.at_seed(seed)) for seed in study.seeds]
    tables = pd.concat([_marked(task.examples(each), each) for each in loaded])
    return tables.drop_duplicates(["split", "example_id"], ignore_index=True)


def _marked(examples: pd.DataFrame, dataset: AnyDataset) -> pd.DataFrame:
    if "text" not in examples or sum(len(split) for split in dataset.splits.values()) > MOST_TEXTS:
        return examples
    train = dataset.splits["train"]
    near = near_repeats(dict(zip(train.ids, train.texts, strict=True)), [str(text) for text in examples["text"]])
    return examples.assign(nearly_in_train=[name is not None for name in near])
