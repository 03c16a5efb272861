"""Writes judged.json: what today's statistics make of the three pinned studies, without the words. To be run where they
are changed on purpose: python make_judged.py, in this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whichtune.evidence.judge import judge
from whichtune.evidence.stored import read_summary
from whichtune.records.store import StudyFolder

STUDIES = ("labels", "texts", "tuned")
WORDS = {
    *("sentence", "rule", "headline", "reasons", "paragraphs", "warnings", "does_not_show", "answers", "notes"),
    *("against_baseline", "stopped", "differs", "confounds"),
}


def judged(folder: Path) -> dict[str, Any]:
    """Comparisons, verdict and intervals of rows, from a stored study's records and predictions."""
    study = StudyFolder(folder)
    summary = read_summary(study).summary
    found = judge(summary.study, summary.runs, study.predictions, summary.tuning).model_dump(mode="json")
    kept: dict[str, Any] = _without_words({key: found[key] for key in ("comparisons", "verdict", "per_method")})
    return kept


def _without_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_words(each) for key, each in value.items() if key not in WORDS}
    return [_without_words(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    text = json.dumps({name: judged(Path(name)) for name in STUDIES}, indent=1)
    Path("judged.json").write_text(text + "\n", encoding="utf-8")
