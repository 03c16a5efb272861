"""Which runs' trained weights a study keeps."""

from __future__ import annotations

from collections.abc import Iterable

from whichtune.records.store import StudyFolder
from whichtune.study.spec import RunSpec


def forget_unsaved(folder: StudyFolder, specs: Iterable[RunSpec]) -> None:
    """`--save all` makes runs again whose weights an earlier call did not keep."""
    for spec in specs:
        if folder.is_complete(spec.run_id) and not folder.weight_files(spec.run_id):
            folder.discard(spec.run_id)
