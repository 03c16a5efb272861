"""States that one entry takes over from others: the texts that were computed already for another set of texts.

A study of several sizes of training data, one with folds, one that grew, and one that crosses settings of its data pass
over many of the same texts. Entries are of one **family** when everything but their texts is the same; each text has a
**mark**, a hash of its tokens. What an entry of the family holds is copied, and the rest alone is computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from whichtune.shortcuts.entry import MARK_BYTES, Description, States


@dataclass(frozen=True)
class Loan:
    """Texts taken from one entry: `theirs[i]` is there what `ours[i]` is here."""

    states: States
    theirs: list[int]
    ours: list[int]


def marks_of(texts: Iterable[object]) -> np.ndarray:
    """A hash (N, MARK_BYTES) uint8 of each text, given as what its states depend on."""
    digests = [hashlib.blake2b(repr(text).encode(), digest_size=MARK_BYTES).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, MARK_BYTES)


def loans_of(lenders: Iterable[States], marks: np.ndarray) -> list[Loan]:
    """Where the texts with these marks can be had: each once, from the first lender that has it."""
    missing = {mark.tobytes(): number for number, mark in enumerate(marks)}
    loans = []
    for states in lenders:
        if not missing:
            break
        pairs = [
            (theirs, missing.pop(mark))
            for theirs, mark in enumerate(row.tobytes() for row in states.marks)
            if mark in missing
        ]
        if pairs:
            loans.append(Loan(states, [theirs for theirs, _ in pairs], [ours for _, ours in pairs]))
    return loans


def not_lent(loans: Sequence[Loan], count: int) -> list[int]:
    """The texts, of `count`, that no loan brings."""
    lent = {ours for loan in loans for ours in loan.ours}
    return [number for number in range(count) if number not in lent]


def shares_of(loans: Sequence[Loan]) -> list[tuple[Description, float]]:
    """What each loan's entry takes alone, and which share of its rows was taken: so much of it is the borrower's."""
    found = []
    for loan in loans:
        whole = int(loan.states.lengths.sum())
        taken = int(loan.states.lengths[loan.theirs].sum())
        found.append((loan.states.description, taken / whole if whole else 0.0))
    return found
