"""Runs of several versions of the code are told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evidence.asked import checks_of
from stats.study_files import StudyOnDisk, evidence, seeds_of, study_on_disk
from whichtune.evidence.summary import build_summary
from whichtune.records.record import Environment
from whichtune.report.details import machine_tables
from whichtune.report.view import View

HERE = {"python": "3.11", "platform": "Linux", "processor": "x", "cores": 2, "threads": 1, "device": "cpu"}


def made_with(study: StudyOnDisk, label: str, whichtune: str, torch: str) -> None:
    for place, record in enumerate(study.records):
        if record.label == label:
            packages = {"torch": torch, "pandas": "2.3"}
            environment = Environment(**HERE, memory_bytes=1, whichtune=whichtune, packages=packages)
            study.records[place] = record.model_copy(update={"environment": environment})


def two_rows(tmp_path: Path) -> StudyOnDisk:
    rng, study = np.random.default_rng(3), study_on_disk(tmp_path)
    for label, seeds in (("old", 2), ("new", 3)):
        study.add(label, seeds_of(rng, 0.1, seeds))
    return study


def test_runs_of_another_version_are_named(tmp_path: Path) -> None:
    study = two_rows(tmp_path)
    assert checks_of(study)["versions"].status == "not_applicable"
    made_with(study, "old", "0.1.0", "2.12.0")
    made_with(study, "new", "0.1.0", "2.13.0")
    found = checks_of(study)["versions"]
    assert (found.status, found.rows) == ("warned", ["old"])
    assert found.sentence == "Most runs were made with torch 2.13.0. 2 runs of old with torch 2.12.0."
    made_with(study, "old", "0.1.0", "2.13.0")
    assert checks_of(study)["versions"].status == "passed"


def test_the_page_tells_when_and_with_what_runs_were_made(tmp_path: Path) -> None:
    study = two_rows(tmp_path)
    made_with(study, "old", "0.1.0", "2.12.0")
    made_with(study, "new", "0.2.0", "2.12.0")
    days = {"old": "2026-11-01T10:00:00+00:00", "new": "2026-11-20T10:00:00+00:00"}
    study.records[:] = [run.model_copy(update={"started_at": days[run.label]}) for run in study.records]
    view = View(build_summary(study.resolved, study.records, evidence(study)))
    assert [(m.runs, m.labels, m.days) for m in machine_tables(view)] == [
        (2, "old", "2026-11-01"),
        (3, "new", "2026-11-20"),
    ]
