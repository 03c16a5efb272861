"""Which runs' trained weights a study keeps."""

from __future__ import annotations

from collections.abc import Iterable

from whichtune.expansion.expand import Expansion
from whichtune.metrics import METRICS
from whichtune.records.store import StudyFolder
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec


def forget_unsaved(folder: StudyFolder, specs: Iterable[RunSpec]) -> None:
    """`--save all` makes runs again whose weights an earlier call did not keep."""
    for spec in specs:
        if folder.is_complete(spec.run_id) and not folder.weight_files(spec.run_id):
            folder.discard(spec.run_id)


class BestKeeper:
    """Deletes saved weights of all runs but the best on validation by the primary metric (then the loss)."""

    def __init__(self, folder: StudyFolder, expansion: Expansion) -> None:
        self.folder, self.metric = folder, expansion.primary_metric
        self.sign = 1.0 if METRICS[self.metric].higher_is_better else -1.0
        self.ids = [spec.run_id for spec in expansion.specs if spec.role is not Role.BASELINE]

    def keep(self) -> None:
        scored = []
        for run_id in self.ids:
            record = self.folder.read_run(run_id)
            if record is None or record.metrics.validation is None or not self.folder.weight_files(run_id):
                continue
            figures = record.metrics.validation
            score = figures.value(self.metric)
            rank = float("-inf") if score is None else self.sign * score
            scored.append((rank, -(figures.loss or 0.0), run_id))
        scored.sort()
        for _, _, run_id in scored[:-1]:
            for file in self.folder.weight_files(run_id):
                file.unlink()
