"""Terminals obey no data, and spreadsheets compute nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from command import inside
from trust.places import ESC, edit_summary
from whichtune.records.store import StudyFolder


def test_a_terminal_obeys_no_data(study: StudyFolder) -> None:
    def hostile(found: dict[str, Any]) -> None:
        found["study"].update(name=ESC, notes=[ESC])
        found["runs"][0].update(
            label=ESC, notes=[ESC], error=ESC, status="failed", method=ESC, labels=[ESC, "\x9b2J", "c"]
        )
        found["verdict"].update(headline=ESC, reasons=[ESC])

    edit_summary(study, hostile)
    place = str(study.path)
    outputs = [inside("show", place), inside("show", place, "--json"), inside("report", place, "--no-figures")]
    outputs.append(inside("show", place, ESC, code=2))
    outputs.append(inside("compare", "--methods", ESC, "--out", place, "--dry-run", code=2))
    outputs.append(inside("compare", f"--{ESC}", code=2))
    assert "owned" in outputs[0].stdout
    for said in outputs:
        assert {sign for sign in said.stdout + said.stderr if not sign.isprintable()} <= {"\n"}
    assert json.loads(outputs[1].stdout)["study"]["name"] == ESC


def test_progress_obeys_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    from whichtune.cli.progress import Progress
    from whichtune.cli.screen import console

    progress = Progress(console())
    progress({"event": "study", "name": ESC, "folder": ESC, "runs": 1, "complete": 0})
    progress({"event": "start", "run_id": "a", "label": ESC, "seed": 0})
    progress({"event": "note", "text": ESC})
    progress({"event": "end", "run_id": "a", "status": "failed", "error": ESC})
    said = capsys.readouterr().out
    assert said.count("owned") == 3
    assert all(sign == "\n" or sign.isprintable() for sign in said)


def test_spreadsheets_compute_nothing(study: StudyFolder, tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "plain", "1-2"]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts), "utf-8")
    said = inside("predict", str(study.path), "majority", str(tmp_path / "t.jsonl"), "--out", str(tmp_path / "p.csv"))
    assert said.stdout == ""
    table = pd.read_csv(tmp_path / "p.csv", dtype={"text": str})
    assert list(table["text"]) == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "plain", "1-2"]
    assert table["probability of a"].dtype.kind == "f"
    edit_summary(study, lambda found: found["runs"][0].update(label="=cmd|' /C calc'!A0"))
    inside("report", str(study.path), "--no-figures")
    rows = pd.read_csv(study.path / "table.csv")
    assert rows["label"][0] == "'=cmd|' /C calc'!A0"
    assert rows["test_loss"].dtype.kind == "f"
