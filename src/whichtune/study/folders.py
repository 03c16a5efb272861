"""What a study is called where it has no name of its own, and with it its folder: after its data and its model."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from whichtune.study.spec import Study
from whichtune.wording import telling_parts

LONGEST_PART = 40  # letters of either half
OLD_NAME = "study"  # of every study without a name, before folders were called after data and model
_ODD = re.compile(r"[^\w.]+")
_ENDINGS = (".gz", ".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt")


def named(study: Study) -> Study:
    """The study under its own name, or else under that of its data and model."""
    if "name" in study.model_fields_set:
        return study
    return study.model_copy(update={"name": study_name(study)})


def study_name(study: Study) -> str:
    """`reviews-distilbert-base-uncased`: short, and a file's name on every system."""
    return f"{_part(_data_name(study.data.source), 'data')}-{_part(_last_of(study.model), 'model')}"


def _data_name(source: str) -> str:
    """Of a file its name without endings; of NAME=FILE the name; of a Hub's data set what follows its owner."""
    name = _last_of(source.partition("=")[0])
    while (ending := next((each for each in _ENDINGS if name.lower().endswith(each)), None)) is not None:
        name = name[: -len(ending)]
    return name


def _last_of(place: str) -> str:
    """The last part of a path or of a Hub's id; of `.` and `..` that of the folder which they mean."""
    return Path(place).resolve().name if PurePath(place).name in ("", "..") else telling_parts(place)[-1]


def _part(text: str, fallback: str) -> str:
    return _ODD.sub("-", text)[:LONGEST_PART].strip("-._") or fallback
