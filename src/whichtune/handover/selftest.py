"""`whichtune selftest`: whether an exported folder still answers as it did when it was written.

Shapes: n texts, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whichtune.errors import ExportError
from whichtune.handover.loaded import answers
from whichtune.handover.told import SelfTest, read_told
from whichtune.wording import plural


@dataclass(frozen=True)
class Verdict:
    """Whether all answers are equal, and the sentence that says so."""

    equal: bool
    sentence: str


def run_selftest(folder: Path | str, tolerance: float | None = None) -> Verdict:
    """Load an exported folder by plain transformers, peft or onnxruntime and ask it its texts again.

    `tolerance` of a logit instead of the folder's own. Raises ExportError where the folder is none, or cannot be
    loaded.
    """
    place = Path(folder).expanduser()
    told = read_told(place)
    found = answers(place, told, told.asked)
    if isinstance(found, list):
        return _of_words(told, found)
    import numpy as np

    what = "number" if told.answers == "numbers" else "logit" if told.logits else "probability"
    expected = np.asarray(told.logits or told.probabilities)
    if found.shape != expected.shape:
        raise ExportError(f"'{place}' has answers of another shape than its self-test: export the row again.")
    limit = told.tolerance if tolerance is None else tolerance
    apart = float(np.abs(found - expected).max())
    equal = apart <= limit  # NaN is not
    said = f"{'Equal' if equal else 'NOT equal'}: {plural(len(told.texts), 'text')}"
    return Verdict(equal, f"{said}, the largest difference of a {what} is {apart:.2g} (allowed: {limit:.2g}).")


def _of_words(told: SelfTest, found: list[str]) -> Verdict:
    other = [place for place, (a, b) in enumerate(zip(found, told.predictions, strict=True)) if a != b]
    if not other:
        return Verdict(True, f"Equal: {plural(len(found), 'text')} written as before, word for word.")
    return Verdict(False, f"NOT equal: {len(other)} of {plural(len(found), 'text')} written otherwise.")
