"""The page's section of checks: those that warn are open, the others folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whichtune.evidence.checked import Check, Status
from whichtune.wording import listing, plural

GROUPS: tuple[tuple[Status, str], ...] = (
    ("warned", "Checks that warn"),
    ("passed", "Checks that passed"),
    ("not_applicable", "Checks that do not apply"),
)


@dataclass(frozen=True)
class CheckGroup:
    """Checks of one status under a title; `open` where they are shown without being asked for."""

    title: str
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
    by_status = [(status, title, [c for c in checks if c.status == status]) for status, title in GROUPS]
    groups = [CheckGroup(title, found, status == "warned") for status, title, found in by_status if found]
    words = {"warned": "warned", "passed": "passed", "not_applicable": "did not apply"}
    counts = listing([f"{len(found)} {words[status]}" for status, _, found in by_status if found])
    return ChecksContent(
        f"Of {plural(len(checks), 'check')} {counts}. docs/checks.md says how each is made, and what to do.", groups
    )
