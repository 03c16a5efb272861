"""A study that goes on in a folder which an earlier version of the package may have begun."""

from __future__ import annotations

from whichtune.errors import SettingError, StoreError
from whichtune.records.store import StudyFolder
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.spec import Study
from whichtune.tasks import task_of


def resumed(study: Study, folder: StudyFolder) -> Study:
    """The study by what its folder was begun with, where it says nothing of that itself: a later version's defaults
    speak of new studies alone.

    That is the cost by which rows are recommended, whether texts are kept, and for the same data, task and model the
    edition of default learning rates. Raises SettingError where texts are wanted again that the folder has let go.
    """
    stored = stored_study(folder)
    if stored is None:
        return study
    _refuse_lost_texts(study, stored, folder)
    kept: dict[str, object] = {"selection_cost": stored.selection_cost, "texts": stored.texts}
    if is_same(stored, study):
        kept["defaults"] = stored.defaults
    return study.model_copy(update={key: value for key, value in kept.items() if key not in study.model_fields_set})


def _refuse_lost_texts(study: Study, stored: ResolvedStudy, folder: StudyFolder) -> None:
    """Texts that were written cannot be had back; those of the data can."""
    wanted = study.texts and "texts" in study.model_fields_set
    if wanted and not stored.texts and task_of(study).answers == "texts":
        raise SettingError(
            f"The runs in '{folder.path}' were kept without what they wrote, which 'texts: true' cannot bring back: "
            "leave it out, or begin another folder with --out."
        )


def stored_study(folder: StudyFolder) -> ResolvedStudy | None:
    """The study that was begun in a folder; None where there is none, or none that can be resumed."""
    try:
        return ResolvedStudy.model_validate(folder.read_json("study.json"))
    except (StoreError, ValueError):
        return None


def is_same(stored: ResolvedStudy, study: Study) -> bool:
    """Whether data, task and model are called the same."""
    return (stored.data, stored.task, stored.model) == (study.data, study.task, study.model)
