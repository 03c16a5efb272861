"""`--save`: which trained weights stay in a study's folder.

With `best`, each row keeps those of its best seed while the runs are made. Once the study is judged, what is larger
than an adapter goes again, but for the row that is recommended and the run that is best on validation.
"""

from __future__ import annotations

from collections.abc import Iterable

from whichtune.records.ranked import validation_rank
from whichtune.records.store import StudyFolder
from whichtune.stats.asked import Asked
from whichtune.study.roles import Role
from whichtune.study.spec import RunSpec

SMALL_BYTES = 32 * 2**20  # of one run's files: adapters and heads of most models are smaller, their weights larger

Rank = tuple[float, float, str]


def forget_unsaved(folder: StudyFolder, specs: Iterable[RunSpec]) -> None:
    """`--save all` makes runs again whose weights an earlier call did not keep."""
    for spec in specs:
        if folder.is_complete(spec.run_id) and not folder.weight_files(spec.run_id):
            folder.discard(spec.run_id)


class BestKeeper:
    """Deletes saved weights of runs that are not the best of their row on validation, by the primary metric (then the
    loss). Baselines keep theirs."""

    def __init__(self, folder: StudyFolder, specs: Iterable[RunSpec], metric: str, asked: Asked) -> None:
        self.folder, self.metric, self.asked = folder, metric, asked
        self.rows: dict[str, list[str]] = {}
        for spec in specs:
            if spec.role is not Role.BASELINE:
                self.rows.setdefault(spec.label, []).append(spec.run_id)

    def keep(self) -> None:
        """Of each row's saved runs the best one stays."""
        for ids in self.rows.values():
            for _, _, run_id in self._ranked(ids)[:-1]:
                self._forget(run_id)

    def settle(self, recommended: str | None) -> None:
        """The study is judged: of large files those of the recommended row stay, and of the best run on validation."""
        self.keep()
        best = self._ranked([run_id for ids in self.rows.values() for run_id in ids])[-1:]
        wanted = {run_id for _, _, run_id in best} | set(self.rows.get(recommended or "", []))
        for ids in self.rows.values():
            for run_id in ids:
                if run_id not in wanted and self._size(run_id) > SMALL_BYTES:
                    self._forget(run_id)

    def _ranked(self, ids: Iterable[str]) -> list[Rank]:
        """Saved runs, the best last."""
        ranked = []
        for run_id in ids:
            record = self.asked.read(self.folder, run_id)
            if record is None or record.metrics.validation is None or not self.folder.weight_files(run_id):
                continue
            ranked.append((*validation_rank(record, self.metric), run_id))
        return sorted(ranked)

    def _size(self, run_id: str) -> int:
        return sum(file.stat().st_size for file in self.folder.weight_files(run_id))

    def _forget(self, run_id: str) -> None:
        for file in self.folder.weight_files(run_id):
            file.unlink()
