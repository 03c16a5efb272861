"""Folders that somebody has prepared: served as they were made, or refused in one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from trust.test_every_command import HARMS
from whichtune.errors import WhichtuneError
from whichtune.handover.serve.rows import load, pick
from whichtune.records.store import StudyFolder

# Those that no row of the study below is read through.
NOT_READ = {name for name in HARMS if "curves" in name or "lock" in name or "page" in name or "the study" in name}


@pytest.mark.parametrize("name", sorted(set(HARMS) - NOT_READ))
def test_prepared_folders(saved: StudyFolder, name: str, tmp_path: Path) -> None:
    HARMS[name](StudyFolder(shutil.copytree(saved.path, tmp_path / "out")))
    said = answered_or_refused(tmp_path / "out")
    assert "\n" not in said


def answered_or_refused(folder: Path) -> str:
    """The class that is given, or why there is none."""
    try:
        served = load(pick(StudyFolder(folder), "majority", None, None), remote_code=False)
    except WhichtuneError as error:
        return str(error)
    ((said, _),) = served.answers(["call me"])[0]
    assert said in served.classes
    return said
