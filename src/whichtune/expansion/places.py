"""Which folder a study lies in."""

from __future__ import annotations

from pathlib import Path

from whichtune.expansion.resumed import is_same, stored_study
from whichtune.records.store import StudyFolder, default_folder
from whichtune.study.folders import OLD_NAME, named, study_name
from whichtune.study.spec import Study


def place_of(study: Study, out: Path | str | None = None) -> Path:
    """`out`, or `whichtune-NAME` in the working directory.

    A study without a name of its own is called after its data and model. Where it was begun when such studies were all
    kept in one folder, it goes on there. Raises SettingError for a name that no folder can have.
    """
    if out is not None:
        return Path(out).expanduser()
    study = named(study)
    place, old = default_folder(study.name), default_folder(OLD_NAME)
    if study.name != study_name(study) or place.exists() or not old.is_dir():
        return place
    stored = stored_study(StudyFolder(old))
    return old if stored is not None and is_same(stored, study) else place
