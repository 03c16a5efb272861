"""Nothing that lies beside the data, and no name, is obeyed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from trust.places import Place
from whichtune.errors import SettingError
from whichtune.records.store import StudyFolder, default_folder
from whichtune.report.write import load_summary


def test_files_in_the_working_directory_are_not_run(made: Place) -> None:
    assert not made.mark.exists()
    statuses = {run.status for run in load_summary(StudyFolder(made.cwd / "out")).runs}
    assert statuses == {"completed"}


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "a\0b", "a\x1bb", "a\u202eb", "x" * 250, "ä" * 150])
def test_a_study_is_kept_under_its_name_alone(name: str) -> None:
    with pytest.raises(SettingError, match="--out"):
        default_folder(name)


def test_usual_names_are_folders() -> None:
    assert default_folder("my study, v1.2") == Path("whichtune-my study, v1.2")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without a name")
def test_a_user_without_name_and_home_has_a_cache() -> None:
    place = tempfile.mkdtemp()
    os.chown(place, 54321, 54321)
    lines = ["import os, sys", "from whichtune.data.named import user_cache", "os.setuid(54321)", "print(user_cache())"]
    env = {"PYTHONPATH": str(Path(__file__).parents[1] / "src"), "TMPDIR": place}
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == Path(place) / "whichtune-54321"
    shutil.rmtree(place)
