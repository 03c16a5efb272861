"""What checks look at beside the runs, as a study's folder has it."""

from __future__ import annotations

from whichtune.evidence.checks.base import NearRepeats
from whichtune.records.store import StudyFolder


def near_repeats_in(folder: StudyFolder) -> NearRepeats | None:
    """The validation and test texts that nearly repeat a training text; None where that was not asked."""
    frame = folder.near_repeats()
    if frame is None:
        return None
    parts = {split: frame[frame["split"] == split] for split in ("test", "validation")}
    return NearRepeats(
        {split: [str(i) for i in part["example_id"][part["nearly_in_train"]]] for split, part in parts.items()},
        {split: len(part) for split, part in parts.items()},
    )
