"""The page's section of checks: those that warn are open, the others folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whichtune.evidence.checked import Check, Status
from whichtune.wording import listing, plural

GROUPS: tuple[tuple[Status, str, str], ...] = (
    ("warned", "Checks that warn", "what was found"),
    ("passed", "Checks that passed", "what was found"),
    ("not_applicable", "Checks that do not apply", "why not"),
)


@dataclass(frozen=True)
class CheckGroup:
    """Checks of one status under a title, `found` above their sentences; `open` where they are shown unasked."""

    title: str
    found: str
    checks: list[Check]
    open: bool


@dataclass(frozen=True)
class ChecksContent:
    """How many there are of each status, and the groups that are not empty."""

    counts: str
    groups: list[CheckGroup]


def checks_content(checks: Sequence[Check]) -> ChecksContent | None:
    """What the section shows; None for a summary without checks, which an earlier version wrote."""
    if not checks:
        return None
    groups = [
        CheckGroup(title, heading, found, status == "warned")
        for status, title, heading in GROUPS
        if (found := [check for check in checks if check.status == status])
    ]
    words = {"warned": "warned", "passed": "passed", "not_applicable": "did not apply"}
    counts = listing([f"{len(group.checks)} {words[group.checks[0].status]}" for group in groups])
    return ChecksContent(
        f"Of {plural(len(checks), 'check')} {counts}. docs/checks.md says how each is made, and what to do.", groups
    )
