"""`--dry-run`: what a study would cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.cli.screen import console

if TYPE_CHECKING:
    from whichtune.study.spec import Study


def print_dry_run(study: Study, out: Path | None, lenient: bool = False, replace: bool = False) -> None:
    """Each run with its predicted cost. With `lenient`, runs whose model cannot be had stand there without one."""
    from whichtune.cli.terminal import print_estimates
    from whichtune.cli.terminal_tuning import print_search
    from whichtune.compare import prepare, warned_beforehand
    from whichtune.expansion.kept import kept_in, refuse_other
    from whichtune.expansion.places import place_of
    from whichtune.expansion.resumed import resumed
    from whichtune.records.store import StudyFolder
    from whichtune.runs.estimate import estimate_runs, free_disk
    from whichtune.tuning.estimate import estimate_search
    from whichtune.tuning.trials import plan_search

    folder, kept = place_of(study, out), None
    if folder.is_dir() and not replace:
        study, kept = resumed(study, StudyFolder(folder)), kept_in(StudyFolder(folder))

    def tell(sentence: str) -> None:
        console().print(sentence, markup=False, highlight=False, soft_wrap=True)

    expansion, dataset = prepare(study, lenient, tell=tell)
    if kept is not None:
        refuse_other(folder, kept, study, expansion, dataset)
    faults: dict[str, str] = {}
    search = plan_search(expansion, dataset.without_test())
    if search is not None:
        print_search(search, estimate_search(search, dataset.without_test(), faults), console())
    possible = [spec for spec in expansion.specs if spec.run_id not in expansion.missing]
    print_estimates(expansion, estimate_runs(possible, dataset, faults), free_disk(folder), console())
    if study.decide is not None:
        text = f"These are the runs of the first seeds; rows that need it are given up to {study.decide.max_seeds}."
        console().print(text, markup=False, highlight=False, soft_wrap=True)
    for label, reason in faults.items():
        text = f"'{label}' {reason}."
        console().print(text, markup=False, highlight=False, soft_wrap=True)
    for note in [
        *expansion.notes,
        *warned_beforehand(expansion, dataset),
        *(search.notes if search is not None else []),
    ]:
        console().print(note, markup=False, highlight=False, soft_wrap=True)
