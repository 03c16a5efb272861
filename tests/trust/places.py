"""Where the tests of trust take place: a study made beside hostile files, and how to change one as somebody would."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whichtune.evidence.summary import checksum_of
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder

PINS = Path(__file__).parents[1] / "pins"
MARK = "open({mark!r}, 'w').write('run')\n"
SHADOWS = ("code.py", "profile.py", "random.py", "typing.py")
ESC = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u2069"


@dataclasses.dataclass(frozen=True)
class Place:
    """A working directory whose files have names of the library's, and the study that was made in it."""

    cwd: Path

    @property
    def mark(self) -> Path:
        return self.cwd.parent / "was-run"

    @property
    def command(self) -> list[str]:
        options = ["--data", "d.csv", "--methods", "head_only,tfidf_char,majority", "--seeds", "0"]
        return ["compare", *options, "--set", "epochs=1", "--threads", "1", "--no-figures", "--save", "all"]


def run_of(study: StudyFolder, label: str) -> RunRecord:
    summary = json.loads((study.path / "summary.json").read_text("utf-8"))
    return RunRecord.model_validate(next(run for run in summary["runs"] if run["label"] == label))


def edit_summary(study: StudyFolder, change: Callable[[dict[str, Any]], object]) -> None:
    """As somebody would who knows of the checksum."""
    found = study.read_json("summary.json")
    change(found)
    study.write_json("summary.json", {**found, "checksum": checksum_of(found)})
