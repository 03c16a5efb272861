"""Generated inputs: each is done, or refused in one sentence, in time and with nothing left behind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fuzz.harness import answer, faults
from fuzz.inputs import KINDS, Bases, cases

FEW = dict.fromkeys(KINDS, 9)
MANY = {"settings": 150, "flags": 100, "commands": 80, "study files": 150, "data files": 100}
MANY |= {"model folders": 60, "study folders": 60}


def _check(kind: str, number: int, bases: Bases, folder: Path, seed: int) -> Counter[object]:
    """Run so many inputs of a kind, and give how they ended. All that are wrong are told at once."""
    codes: Counter[object] = Counter()
    told = []
    for place, case in enumerate(cases(kind, number, bases, seed)):
        here = folder / str(place)
        here.mkdir()
        found = answer(case, here)
        codes[found.code] += 1
        wrong = faults(case, found)
        told += [f"{kind} {place}: {case.told()}\n    {'; '.join(wrong)}"] if wrong else []
    assert not told, "\n".join([f"{len(told)} of {number} {kind} are answered wrongly:", *told])
    return codes


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_of_every_kind(kind: str, bases: Bases, tmp_path: Path) -> None:
    codes = _check(kind, FEW[kind], bases, tmp_path, seed=1)
    assert codes[2], f"nothing was refused: {dict(codes)}"  # or nothing is spoilt


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", KINDS)
def test_many_of_every_kind(kind: str, bases: Bases, tmp_path: Path) -> None:
    codes = _check(kind, MANY[kind], bases, tmp_path, seed=0)
    print(f"\n{kind}: {MANY[kind]} inputs, exit codes {dict(codes)}")
    assert codes[2] >= MANY[kind] / 10
