"""F1 of each kind of thing for each row, from how often each was right, wrong and missed: of labels, of entities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from whichtune.records.record import AnyMetrics
from whichtune.report.drawing.kinds import Classes
from whichtune.report.matrices import MOST_CLASS_COLUMNS, share_cell
from whichtune.report.view import View
from whichtune.wording import plural

MOST_KINDS = 200  # rows of the table on the page; the rarest are left out


@dataclass(frozen=True)
class Kinds:
    """What is counted. `counts` gives right, wrong and missed ones of each kind (K, 3) of a run on test; None where its
    figures have none. `caption` says what F1 is of."""

    one: str  # "label", "type"
    caption: str
    names: Sequence[str]
    counts: Callable[[AnyMetrics | None], Sequence[Sequence[int]] | None]


def kinds_figure(view: View, kinds: Kinds) -> Classes | None:
    """The matrix, seeds taken together, the most frequent kinds first; None where no row has counts."""
    summed = {row.label: found for row in view.scored if (found := _summed(view, row.label, kinds)) is not None}
    if not summed:
        return None
    rows = list(summed)[:MOST_CLASS_COLUMNS]
    runs = max(1, sum(run.metrics.test is not None for run in view.groups[rows[0]]))
    support = (summed[rows[0]][:, 0] + summed[rows[0]][:, 2]) // runs
    order = np.argsort(-support, kind="stable")[:MOST_KINDS]
    caption = kinds.caption
    if len(order) < len(support):
        caption += f" The {len(order)} most frequent of {len(support):,} {kinds.one}s are shown."
    if len(rows) < len(summed):
        caption += f" {len(rows)} of {len(summed)} rows are shown, the best first."
    return Classes(
        name="classes",
        title=f"Results by {kinds.one}",
        caption=caption,
        alt=f"Matrix of F1 for {plural(len(order), kinds.one)} and {plural(len(rows), 'row')}.",
        rows=[f"{kinds.names[kind]} ({int(support[kind]):,})" for kind in order],
        columns=rows,
        corner=kinds.one,
        cells=[[share_cell(_f1(summed[row][kind])) for row in rows] for kind in order],
    )


def _summed(view: View, label: str, kinds: Kinds) -> np.ndarray | None:
    """The counts (K, 3) of a row over its completed runs."""
    found = [np.array(counts) for run in view.groups[label] if (counts := kinds.counts(run.metrics.test))]
    return np.sum(found, axis=0) if found and len({each.shape for each in found}) == 1 else None


def _f1(counts: np.ndarray) -> float:
    right, wrong, missed = (float(count) for count in counts)
    mentions = 2 * right + wrong + missed
    return 2 * right / mentions if mentions else float("nan")
