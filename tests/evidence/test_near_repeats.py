"""Texts that nearly repeat a training text: found, told, and not found where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from whichtune.compare import compare
from whichtune.data.near import ALIKE, jaccard, near_repeats, pieces
from whichtune.study.spec import Study

RNG = np.random.default_rng(4)
WORDS = [f"{a}{b}" for a in ("river", "stone", "cloud", "paper", "light", "metal") for b in range(60)]
TRAIN = {str(i): " ".join(RNG.choice(WORDS, 20)) for i in range(120)}


def one_word_changed(text: str) -> str:
    words = text.split()
    words[7] = "otherwise"
    return " ".join(words)


def test_near_repeats_are_found_and_named_and_others_not() -> None:
    near = [one_word_changed(text) for text in list(TRAIN.values())[:40]]
    shouted = [text.upper().replace(" ", "  ") for text in list(TRAIN.values())[40:50]]
    other = [" ".join(RNG.choice(WORDS, 20)) for _ in range(100)]
    verbatim = list(TRAIN.values())[:10]
    found = near_repeats(TRAIN, [*near, *shouted, *other, *verbatim])
    assert found[:50] == [str(i) for i in range(50)]
    assert found[50:] == [None] * 110, "others, and repeats letter by letter, which have a check of their own"


def test_candidates_are_compared_exactly() -> None:
    assert jaccard(pieces("Call me  back"), pieces("call ME back")) == 1
    assert jaccard(pieces("abcdef"), pieces("abcdeg")) == 1 / 3
    half = {"a": "the first half of a text and then more words"}
    assert near_repeats(half, ["the first half of a text but other letters"]) == [None]
    assert ALIKE < jaccard(pieces(TRAIN["0"]), pieces(one_word_changed(TRAIN["0"]))) < 1


def study_of(folder: Path, changed: int) -> Study:
    folder.mkdir()
    texts = [*TRAIN.values(), *(one_word_changed(text) for text in list(TRAIN.values())[:changed])]
    texts += [" ".join(RNG.choice(WORDS, 20)) for _ in range(40)]
    split = ["train"] * 100 + ["validation"] * 20 + ["test"] * (len(texts) - 120)
    labels = ["a", "b"] * (len(texts) // 2)
    frame = pd.DataFrame({"text": texts, "label": labels, "split": split})
    frame.to_csv(folder / "a.csv", index=False)
    data = {"source": str(folder / "a.csv"), "split_column": "split"}
    return Study.model_validate({"data": data, "baselines": ["majority", "tfidf_word"]})


def test_a_study_tells_of_them(tmp_path: Path) -> None:
    study = study_of(tmp_path / "some", 6)
    for texts in (True, False):  # the ids are kept where texts are not
        out = tmp_path / f"out-{texts}"
        summary = compare(study.model_copy(update={"texts": texts}), out, threads=1).summary
        check = next(each for each in summary.checks if each.code == "near_repeats")
        assert check.status == "warned"
        assert "6 of 46 test texts nearly repeat a training text" in check.sentence
        assert len(check.examples) == 6


def test_a_study_without_them_passes(tmp_path: Path) -> None:
    summary = compare(study_of(tmp_path / "none", 0), tmp_path / "out", threads=1).summary
    check = next(each for each in summary.checks if each.code == "near_repeats")
    assert (check.status, check.examples) == ("passed", [])
