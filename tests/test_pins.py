"""What release 0.1 made holds for all that come after: run ids, stored studies, and the summary made of them.

A run id that changes makes every user's finished runs start again. `pins/` holds three studies as that release wrote
them; see `pins/make_pins.py`.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from pins.make_judged import judged
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
    told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert golden.keys() <= told.keys()
    assert differences(measured(golden), measured(told)) == []


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_made_of_a_stored_study_stays(name: str) -> None:
    """Figures only: sentences may be said otherwise. Made anew by make_judged.py where the statistics change."""
    golden = json.loads((PINS / "judged.json").read_text(encoding="utf-8"))[name]
    assert differences(golden, judged(PINS / name)) == []


@pytest.mark.parametrize("name", STUDIES)
def test_a_stored_study_is_drawn_without_being_made_again(name: str, tmp_path: Path) -> None:
    written = write_report(StudyFolder(shutil.copytree(PINS / name, tmp_path / name)), figures=True)
    assert written.page.stat().st_size > 20_000
    assert len(list((tmp_path / name / "figures").iterdir())) >= 4


def measured(summary: dict[str, Any]) -> dict[str, Any]:
    """What runs have measured. What is made of that, intervals over seeds, comparisons and the verdict, is judged anew
    by each version; `docs/statistics.md` says how."""
    kept = {key: value for key, value in summary.items() if key not in ("checksum", "comparisons", "verdict")}
    return {**kept, "intervals": {"runs": summary["intervals"]["runs"]}}


def differences(golden: Any, now: Any, where: str = "") -> list[str]:
    """Paths at which two JSON values differ; numbers may by rounding, and keys may have been added."""
    if isinstance(golden, dict) and isinstance(now, dict):
        return [d for key in golden for d in differences(golden[key], now.get(key, "missing"), f"{where}/{key}")]
    if isinstance(golden, list) and isinstance(now, list) and len(golden) == len(now):
        return [d for i, (x, y) in enumerate(zip(golden, now, strict=True)) for d in differences(x, y, f"{where}/{i}")]
    if isinstance(golden, float) and isinstance(now, (int, float)):
        return [] if math.isclose(golden, now, rel_tol=1e-6, abs_tol=1e-9) else [f"{where}: {golden} is now {now}"]
    return [] if golden == now and type(golden) is type(now) else [f"{where}: {golden!r} is now {now!r}"]
