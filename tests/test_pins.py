"""What release 0.1 made holds for all that come after: run ids, stored studies, and the summary made of them.

A run id that changes makes every user's finished runs start again. `pins/` holds three studies as that release wrote
them; see `pins/make_pins.py`.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from pins.make_pins import STUDIES, pinned_specs
from whichtune.compare import compare
from whichtune.records.store import StudyFolder
from whichtune.report.write import write_report
from whichtune.study.load import load_study
from whichtune.study.spec import RunSpec

PINS = Path(__file__).parent / "pins"
PINNED = json.loads((PINS / "run_ids.json").read_text(encoding="utf-8"))


@pytest.fixture
def at_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The studies name their data relative to their folder."""
    monkeypatch.chdir(PINS)


@pytest.mark.parametrize("pin", PINNED, ids=[f"{p['fields']['label']}-{i}" for i, p in enumerate(PINNED)])
def test_run_ids_stay(pin: dict[str, Any]) -> None:
    assert RunSpec.model_validate(pin["fields"]).run_id == pin["run_id"]


def test_the_same_study_comes_to_the_same_runs(at_pins: None) -> None:
    """Defaults count, too: where one changes, a study made yesterday begins anew today."""
    assert [spec.run_id for spec in pinned_specs()] == [pin["run_id"] for pin in PINNED]


@pytest.mark.parametrize("name", STUDIES)
def test_a_stored_study_resumes_with_nothing_to_run(name: str, at_pins: None, tmp_path: Path) -> None:
    folder = shutil.copytree(PINS / name, tmp_path / name)
    golden = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    result = compare(load_study(f"{name}.yaml"), folder, save="none", threads=1)
    assert result.started == 0
    assert differences(golden, json.loads((folder / "summary.json").read_text(encoding="utf-8"))) == []
    assert columns_lost(PINS / name / "table.csv", folder / "table.csv") == []
    pinned, now = (markdown_rows(place / "table.md") for place in (PINS / name, folder))
    assert [{**new, **kept_columns(old)} for old, new in zip(pinned, now, strict=True)] == now


@pytest.mark.parametrize("name", STUDIES)
def test_a_stored_study_is_drawn_without_being_made_again(name: str, tmp_path: Path) -> None:
    written = write_report(StudyFolder(shutil.copytree(PINS / name, tmp_path / name)), figures=True)
    assert written.page.stat().st_size > 20_000
    assert len(list((tmp_path / name / "figures").iterdir())) >= 4


# What sentences say of figures may be said otherwise; the figures themselves may not change.
WORDS = ("sentence", "rule", "against_baseline", "paragraphs")
# Of the table alone: once the optimiser steps, now what training costs alone. The records have both.
REDEFINED = ("train s", "GFLOP")


def columns_lost(golden: Path, now: Path) -> list[str]:
    """Columns of a CSV table whose values are not what they were."""
    old, new = (list(csv.DictReader(file.read_text("utf-8").splitlines())) for file in (golden, now))
    return [name for name in old[0] if [line[name] for line in old] != [line.get(name) for line in new]]


def markdown_rows(file: Path) -> list[dict[str, str]]:
    """The first table of a Markdown file, a row each by its headings."""
    table, _, _ = file.read_text("utf-8").partition("\n\n")
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def kept_columns(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if name not in REDEFINED}


def differences(golden: Any, now: Any, where: str = "") -> list[str]:
    """Paths at which two JSON values differ; numbers may by rounding, and keys may have been added."""
    if isinstance(golden, dict) and isinstance(now, dict):
        keys = [key for key in golden if key not in WORDS]
        return [d for key in keys for d in differences(golden[key], now.get(key, "missing"), f"{where}/{key}")]
    if isinstance(golden, list) and isinstance(now, list) and len(golden) == len(now):
        return [d for i, (x, y) in enumerate(zip(golden, now, strict=True)) for d in differences(x, y, f"{where}/{i}")]
    if isinstance(golden, float) and isinstance(now, (int, float)):
        return [] if math.isclose(golden, now, rel_tol=1e-6, abs_tol=1e-9) else [f"{where}: {golden} is now {now}"]
    return [] if golden == now and type(golden) is type(now) else [f"{where}: {golden!r} is now {now!r}"]
