"""From which probability on one of two classes is the answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whichtune.errors import SettingError
from whichtune.records.record import LabelSetMetrics
from whichtune.registry import did_you_mean
from whichtune.wording import plural, shown

if TYPE_CHECKING:
    import pandas as pd

    from whichtune.records.record import RunRecord


@dataclass(frozen=True)
class Threshold:
    """The answer is `label` where its probability is at least `least`, and `other` everywhere else."""

    label: str
    other: str
    least: float

    def applied(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table of `Task.predict` with the answers that the threshold gives."""
        chosen = table[f"probability of {self.label}"] >= self.least
        return table.assign(prediction=[self.label if is_it else self.other for is_it in chosen])


def parse_threshold(text: str, record: RunRecord) -> Threshold:
    """`CLASS=0.3` for a run of two classes. Raises SettingError for anything else."""
    label, equals, number = text.rpartition("=")
    if not equals or not label:
        raise SettingError(f"--threshold {shown(text)} is none: write --threshold CLASS=0.3.")
    if isinstance(record.metrics.validation, LabelSetMetrics):
        raise SettingError(
            f"--threshold is for two classes, and the run '{shown(record.label)}' has a threshold for each label, "
            "chosen on validation: leave it out, or train with --set label_thresholds=0.5."
        )
    if len(record.labels) != 2:
        have = f"has {plural(len(record.labels), 'class', 'classes')}" if record.labels else "has none"
        raise SettingError(f"--threshold is for two classes, and the run '{shown(record.label)}' {have}: leave it out.")
    if label not in record.labels:
        raise SettingError(f"--threshold: there is no class '{shown(label)}': {did_you_mean(label, record.labels)}")
    try:
        least = float(number)
    except ValueError:
        least = math.nan
    if not 0 <= least <= 1:
        raise SettingError(f"--threshold {shown(text)}: a probability is a number from 0 to 1, as in CLASS=0.3.")
    return Threshold(label, next(name for name in record.labels if name != label), least)
