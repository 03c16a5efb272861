"""The questions that a study's rows ask: which layers, LoRA or full, which token, pretrained or random weights.

Which pairs answer them follows from the rows' settings alone, never from what they show; so all of them are one family,
which is corrected for its own number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from whichtune.stats.answers import Row
from whichtune.stats.comparing import differences_of
from whichtune.stats.confounds import IGNORED
from whichtune.study.recorded import Recorded
from whichtune.study.roles import Role

DEPTHS = ("untuned", "head_only", "linear_probe", "last_block", "last_two_blocks", "full")  # more and more is trained
HEADS = ("head_only", "linear_probe")
OF_METHOD = ("method", "learning_rate", *IGNORED)  # what two methods may differ in and still be compared as methods
FIRST_NAMED = ("starting weights", "token position")  # the usual setting is told first, the other is "instead"


@dataclass(frozen=True)
class Asked:
    """One question: `a` instead of `b`. `topic` is `layers`, `probe`, `adapter`, `method`, `words`, `declared`, or the
    setting in which the two differ, in words; `values` are then those of the setting."""

    topic: str
    a: str
    b: str
    methods: tuple[str, str]
    values: tuple[str, str] | None = None


def natural_questions(rows: Mapping[str, Row]) -> list[Asked]:
    """What rows that were trained ask by how they differ: methods under the usual settings, then single settings.

    The usual value of a setting is the one that most rows have, of equals the first.
    """
    able = [row for row in rows.values() if row.role is not Role.BASELINE and (row.completed or row.failed)]
    usual = _usual(able)
    bases: dict[str, Row] = {}
    for row in sorted(able, key=lambda row: _distance(row, usual)):
        bases.setdefault(row.method, row)
    return [*_methods(bases), *_settings(able, bases)]


def _settings_of(row: Row) -> dict[str, JsonValue]:
    """What of a row's settings is not its method's or its seed's."""
    spec = next(iter([*row.completed.values(), *row.failed])).spec
    recorded = Recorded.of(spec)
    kept = {key: value for key, value in recorded.settings.items() if key not in OF_METHOD}
    return {**kept, "data": recorded.data}


def _usual(rows: Iterable[Row]) -> dict[str, str]:
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        for key, value in _settings_of(row).items():
            if value is not None:
                counts.setdefault(key, Counter())[repr(value)] += 1
    return {key: max(found, key=lambda value: found[value]) for key, found in counts.items()}


def _distance(row: Row, usual: Mapping[str, str]) -> int:
    """In how many settings a row is not as most are; a setting that its method has none of is no difference."""
    return sum(value is not None and repr(value) != usual[key] for key, value in _settings_of(row).items())


def _methods(bases: Mapping[str, Row]) -> list[Asked]:
    """Each depth of training against the one before it, other methods against LoRA, and LoRA against the deepest."""
    heads = [name for name in HEADS if name in bases]
    depths = [name for name in DEPTHS if name in bases and name not in heads[1:]]
    pairs = list(zip(depths[1:], depths, strict=False))
    if len(heads) > 1:
        pairs.append(("linear_probe", "head_only"))
    others = [name for name in bases if name not in DEPTHS]
    deepest = depths[-1] if depths else None
    against = "lora" if "lora" in others else deepest
    for name in others:
        other = deepest if name == against else against
        if other is not None:
            pairs.append((name, other))
    return [asked_between(bases[a], bases[b]) for a, b in pairs]


def _settings(rows: Sequence[Row], bases: Mapping[str, Row]) -> list[Asked]:
    """Rows of one method that differ from its usual row in a single setting."""
    found = []
    for row in rows:
        base = bases[row.method]
        if row is base:
            continue
        asked = asked_between(row, base)
        if asked.values is not None:
            found.append(asked_between(base, row) if asked.topic in FIRST_NAMED else asked)
    return found


def asked_between(a: Row, b: Row) -> Asked:
    """What two rows are a question of: of methods, of the one setting that differs, or `declared`: of neither alone."""
    methods = (a.method, b.method)
    if Role.BASELINE in (a.role, b.role):
        return Asked("words", a.label, b.label, methods)
    if a.method != b.method:
        return Asked(_topic(*methods), a.label, b.label, methods)
    found = differences_of(a, b, None)
    if found.factor is None or found.values is None or found.confounds or found.values[0] == found.values[1]:
        return Asked("declared", a.label, b.label, methods)
    return Asked(found.factor, a.label, b.label, methods, found.values)


def _topic(a: str, b: str) -> str:
    if a in HEADS and b in HEADS:
        return "probe"
    if a in DEPTHS and b in DEPTHS:
        return "layers"
    return "adapter" if "lora" in (a, b) and (a in DEPTHS or b in DEPTHS) else "method"
