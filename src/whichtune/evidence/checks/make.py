"""Ask every check of a judged study."""

from __future__ import annotations

from collections.abc import Callable

from whichtune.evidence.checked import Check
from whichtune.evidence.checks.base import CHECKS, Finding, Material, NearRepeats, StudyCheck, warned
from whichtune.records.record import CurvePoint
from whichtune.registry import BUILT_IN
from whichtune.stats.results import Evidence
from whichtune.stats.trials import Trials
from whichtune.study.resolved import ResolvedStudy


def make_checks(
    study: ResolvedStudy,
    trials: Trials,
    evidence: Evidence,
    read_curves: Callable[[str], list[CurvePoint]],
    near: NearRepeats | None = None,
) -> list[Check]:
    """Every check's finding, in the order of the table.

    `trials` are the rows with their answers as they were judged, `read_curves(run_id)` the curves of a run, `near` what
    is known of near repeats. Trains nothing and loads no torch.
    """
    material = Material(study, trials.rows, trials.test, evidence, read_curves, near)
    return [_checked(check, material) for check in CHECKS.values()]


def _checked(check: StudyCheck, material: Material) -> Check:
    found = _finding(check, material)
    return Check(
        code=check.code,
        title=check.title,
        status=found.status,
        sentence=found.sentence,
        rows=list(found.rows),
        classes=list(found.classes),
        examples=list(found.examples),
        anchor=f"checks.md#{check.code}" if CHECKS.origin(check.code).source == BUILT_IN else "",
    )


def _finding(check: StudyCheck, material: Material) -> Finding:
    """What the check finds. One from elsewhere that breaks warns of itself: hours of training are not lost to it, and
    nobody takes a question that was not asked for one that does not arise."""
    source = CHECKS.origin(check.code).source
    if source == BUILT_IN:
        return check.look(material)
    try:
        return check.look(material)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        return warned(f"The check from {source} could not be made ({type(error).__name__}: {reason}).")
