"""What a folder shows whose study was cut off before it could write its summary."""

from __future__ import annotations

from whichtune.errors import StoreError
from whichtune.evidence.checks import make_checks
from whichtune.evidence.checks.stored import near_repeats_in
from whichtune.evidence.judge import judge_trials, trials_of
from whichtune.evidence.stored import SUMMARY, doubts, named, read_summary, with_warnings
from whichtune.evidence.summary import Summary, build_summary
from whichtune.records.record import RunRecord, RunStatus
from whichtune.records.store import EXAMPLES, StudyFolder
from whichtune.stats.asked import Asked
from whichtune.study.resolved import ResolvedRun, ResolvedStudy
from whichtune.study.spec import sha256_file
from whichtune.wording import listing, plural

STUDY = "study.json"
MOST_NAMED = 6


def summary_of(folder: StudyFolder) -> Summary:
    """The study as its folder has it, what of it is not to be believed before its verdict.

    That is summary.json where it tells of every run in study.json. Else the study was killed before it wrote one, and
    its complete runs are judged here; nothing is written. Raises StoreError for a folder that is no study's.
    """
    study = _stored_study(folder)
    if (folder.path / SUMMARY).is_file():
        stored = read_summary(folder)
        if study is None or _told(study) <= _told(stored.summary.study):
            return with_warnings(stored.summary, doubts(folder, stored))
    elif study is None:
        raise StoreError(f"'{folder.path}' holds no {SUMMARY}: it is no study folder, or its study never ran.")
    return _judged_now(folder, study)


def _stored_study(folder: StudyFolder) -> ResolvedStudy | None:
    """study.json; None where it cannot be read, as in folders of other versions."""
    try:
        return ResolvedStudy.model_validate(folder.read_json(STUDY))
    except (StoreError, ValueError):
        return None


def _told(study: ResolvedStudy) -> set[tuple[str, str]]:
    return {(run.run_id, run.label) for run in study.runs_resolved}


def _judged_now(folder: StudyFolder, study: ResolvedStudy) -> Summary:
    """A summary of the runs that the folder holds whole; the others are named in a warning."""
    records, told = _records(folder, study)
    trials = trials_of(study, records, folder.predictions)
    evidence = judge_trials(study, trials)
    checks = make_checks(study, trials, evidence, folder.curves, near_repeats_in(folder))
    summary = build_summary(study, records, evidence, checks)
    if (folder.path / EXAMPLES).is_file():
        summary = summary.model_copy(update={"examples_checksum": sha256_file(folder.path / EXAMPLES)})
    return with_warnings(summary, told)


def _records(folder: StudyFolder, study: ResolvedStudy) -> tuple[list[RunRecord], list[str]]:
    """The study's records that can be believed, and what to tell of those that are missing."""
    asked = Asked.of(study, study.labels)
    found: list[RunRecord] = []
    missing: list[ResolvedRun] = []
    told: list[str] = []
    for run in study.runs_resolved:
        fault = folder.fault(run.run_id)
        if fault is not None:
            told.append(f"Left out: {named(run)}, since {fault}; compare makes it again.")
        elif (record := folder.read_run(run.run_id)) is None:
            missing.append(run)
        else:
            found.append(asked.told(record, folder.predictions).model_copy(update={"label": run.label}))
    found += [unmade for run in missing if (unmade := _unmade(run, found)) is not None]
    if missing:
        names = list(dict.fromkeys(named(run) for run in missing))
        told.insert(
            0,
            f"The study was cut off: {plural(len(missing), 'run')} of {len(study.runs_resolved)} "
            f"{'is' if len(missing) == 1 else 'are'} still to be made ({listing(names, most=MOST_NAMED)}); the same "
            "call of compare makes them.",
        )
    return _in_order(found, study), told


def _unmade(run: ResolvedRun, found: list[RunRecord]) -> RunRecord | None:
    """A record of a run that was not made, by another seed of its row; None where the row has none yet."""
    other = next((record for record in found if record.label == run.label), None)
    if other is None:
        return None
    return RunRecord(
        run_id=run.run_id,
        label=run.label,
        role=other.role,
        status=RunStatus.INTERRUPTED,
        seed=run.seed,
        method=other.method,
        spec={**other.spec, "seed": run.seed},
        error="The run was not made: the study was interrupted.",
    )


def _in_order(records: list[RunRecord], study: ResolvedStudy) -> list[RunRecord]:
    place = {run.run_id: number for number, run in enumerate(study.runs_resolved)}
    return sorted(records, key=lambda record: place[record.run_id])
