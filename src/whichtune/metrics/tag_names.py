"""Tags by the numbers that models give them: `O` is 0, `B` and `I` of the type k are 1 + 2k and 2 + 2k."""

from __future__ import annotations

from collections.abc import Sequence

OUTSIDE = "O"
UNNAMED = "entity"  # what a type without a name is called where it is told


def written(prefix: str, kind: str) -> str:
    """A tag of a prefix and a type; the prefix alone where the type has no name."""
    return f"{prefix}-{kind}" if kind else prefix


def tag_names(kinds: Sequence[str]) -> list[str]:
    """The tags of these types: `O`, then `B` and `I` of each type."""
    return [OUTSIDE, *(written(prefix, kind) for kind in kinds for prefix in "BI")]


def types_of(tags: Sequence[str]) -> list[str]:
    """The types of entities that such tags name, in their order, as they are told."""
    return [tag[2:] or UNNAMED for tag in tags[1::2]]
