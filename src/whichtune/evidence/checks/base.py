"""What a check is, what it looks at, and the table of all checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from whichtune.evidence.checked import Status
from whichtune.records.record import CurvePoint
from whichtune.registry import Registry
from whichtune.stats.answers import Row, TestSet
from whichtune.stats.results import Evidence
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.roles import Role

MOST_EXAMPLES = 20  # of which a finding keeps the ids


@dataclass(frozen=True)
class NearRepeats:
    """Ids of validation and test texts that nearly repeat a training text, by split, and how many texts each has."""

    ids: Mapping[str, Sequence[str]]
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Material:
    """A judged study as checks look at it.

    `rows` hold their test answers; `test` is None where no run completed. `read_curves` gives a run's training curves,
    an empty list where it has none; `near` is what is known of texts that nearly repeat one of train.
    """

    study: ResolvedStudy
    rows: Mapping[str, Row]
    test: TestSet | None
    evidence: Evidence
    read_curves: Callable[[str], list[CurvePoint]]
    near: NearRepeats | None = None

    @property
    def metric(self) -> str:
        return self.study.primary_metric

    @cached_property
    def tuned_rows(self) -> list[Row]:
        """Rows that are no baselines."""
        return [row for row in self.rows.values() if row.role is not Role.BASELINE]

    @cached_property
    def baselines(self) -> list[Row]:
        """Rows without a language model that completed."""
        return [row for row in self.rows.values() if row.role is Role.BASELINE and row.answers]

    @cached_property
    def curves(self) -> dict[str, list[list[CurvePoint]]]:
        """By row: the curves of its completed runs that have any."""
        found = {}
        for row in self.tuned_rows:
            curves = [curve for run in row.completed.values() if (curve := self.read_curves(run.run_id))]
            if curves:
                found[row.label] = curves
        return found


@dataclass(frozen=True)
class Finding:
    """What a check says of a study: its status, one sentence, and the rows, classes and test texts concerned."""

    status: Status
    sentence: str
    rows: Sequence[str] = ()
    classes: Sequence[str] = ()
    examples: Sequence[str] = field(default=())


def passed(sentence: str) -> Finding:
    return Finding("passed", sentence)


def not_applicable(sentence: str) -> Finding:
    return Finding("not_applicable", sentence)


def warned(
    sentence: str, rows: Sequence[str] = (), classes: Sequence[str] = (), examples: Sequence[str] = ()
) -> Finding:
    return Finding("warned", sentence, rows, classes, examples[:MOST_EXAMPLES])


Look = Callable[[Material], Finding]


@dataclass(frozen=True)
class StudyCheck:
    """A question: its code, its title in words, and the function that answers it."""

    code: str
    title: str
    look: Look


CHECKS: Registry[StudyCheck] = Registry(
    "check",
    [f"whichtune.evidence.checks.{module}" for module in ("training", "texts", "decision", "costs", "making")],
    group="whichtune.checks",
)


def register(code: str, title: str) -> Callable[[Look], Look]:
    """Decorator that enters a function into the table of checks. Raises PluginError for a code that is taken."""

    def store(look: Look) -> Look:
        CHECKS.register(code)(StudyCheck(code, title, look))
        return look

    return store
