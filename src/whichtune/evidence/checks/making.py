"""Whether a study's runs were made with the same code."""

from __future__ import annotations

from collections import Counter

from whichtune.evidence.checks.base import Finding, Material, not_applicable, passed, register, warned
from whichtune.records.record import Environment
from whichtune.stats.results import in_text
from whichtune.wording import listing, plural

MOST_ROWS = 4  # that a sentence names
# Packages whose version can change what a run comes to.
DECIDING = ("torch", "transformers", "peft", "tokenizers", "scikit-learn")


@register("versions", "Runs of other versions")
def versions(material: Material) -> Finding:
    """Were some of the runs made with another version of whichtune, or of a library that computes for it?"""
    made: dict[tuple[tuple[str, str], ...], Counter[str]] = {}
    for row in material.rows.values():
        for run in row.completed.values():
            if run.environment is not None:
                made.setdefault(versions_of(run.environment), Counter())[row.label] += 1
    if not made:
        return not_applicable("No run tells with which versions it was made.")
    if len(made) == 1:
        return passed("All runs were made with the same versions.")
    most = max(made, key=lambda each: sum(made[each].values()))
    others = {each: rows for each, rows in made.items() if each != most}
    sentences = [
        f"{plural(sum(rows.values()), 'run')} of {listing([in_text(row) for row in rows], most=MOST_ROWS)} "
        f"with {_differing(each, most)}."
        for each, rows in others.items()
    ]
    labels = dict.fromkeys(row for rows in others.values() for row in rows)
    return warned(f"Most runs were made with {_differing(most, next(iter(others)))}. {' '.join(sentences)}", [*labels])


def versions_of(environment: Environment) -> tuple[tuple[str, str], ...]:
    """The names and versions of what made a run."""
    packages = [(name, environment.packages[name]) for name in DECIDING if name in environment.packages]
    return (("whichtune", environment.whichtune), *packages)


def _differing(these: tuple[tuple[str, str], ...], those: tuple[tuple[str, str], ...]) -> str:
    """`torch 2.13.0 and peft 0.18.0`: where the first differ from the others."""
    known = dict(those)
    return listing([f"{name} {version}" for name, version in these if known.get(name) != version]) or "the same"
