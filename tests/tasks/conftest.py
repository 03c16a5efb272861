"""Data that several files of tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_tags import tags_file


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tags_file(tmp_path_factory.mktemp("people"))
