"""ROUGE: rouge-score's own figures for ASCII texts, other scripts, sentences."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from realdata import shared
from whichtune.metrics.rouge import KINDS, rouge_scores, words_of
from whichtune.metrics.sentences import split_sentences


def test_ascii_texts_get_rouge_scores_own_figures() -> None:
    """On 40 real articles, their first 60 words against their summaries."""
    file = shared("data/cnn-dailymail/test.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:40]]
    ascii_only = [(" ".join(r["document"].split()[:60]), r["summary"]) for r in rows]
    pairs = [(p.encode("ascii", "ignore").decode(), r.encode("ascii", "ignore").decode()) for p, r in ascii_only]
    found = rouge_scores([p for p, _ in pairs], [r for _, r in pairs])
    assert list(found) == list(KINDS)
    scorer = RougeScorer(list(KINDS), use_stemmer=True)
    for place, (prediction, reference) in enumerate(pairs):
        apart = ("\n".join(split_sentences(reference)), "\n".join(split_sentences(prediction)))
        for kind, score in scorer.score(*apart).items():
            assert found[kind][place] == score.fmeasure
    assert found["rouge1"].dtype == np.float64


def test_words_of_ascii_are_rouge_scores_own() -> None:
    text = "It's the U.S. Navy's 3rd e-mail_test: running, flies & 3.14 (ok)!"
    assert words_of(text) == DefaultTokenizer(use_stemmer=True).tokenize(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Le Café déjà", ["le", "café", "déjà"]),
        ("Cafe\u0301 nai\u0308ve", ["café", "naïve"]),  # marks written apart
        ("Привет, мир!", ["привет", "мир"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("今日は GPT2です", ["今", "日", "は", "gpt2", "で", "す"]),
        ("naïve running", ["naïve", "run"]),
        ("", []),
    ],
)
def test_words_of_other_scripts(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_worked_out_by_hand() -> None:
    """Two of three words and one of two pairs are shared; the sentences stand in the other order."""
    found = rouge_scores(
        ["the cat sat", "It rained. We left.", "", "word"], ["the cat ran", "We left. It rained.", "word", ""]
    )
    assert found["rouge1"][0] == pytest.approx(2 / 3)
    assert found["rouge2"][0] == pytest.approx(1 / 2)
    assert found["rougeL"][1] == pytest.approx(1 / 2)
    assert found["rougeLsum"][1] == 1
    assert all(found[kind][2] == found[kind][3] == 0 for kind in KINDS)


def test_other_scripts_do_not_score_zero() -> None:
    text = "Сегодня идёт дождь."
    assert RougeScorer(["rouge1"]).score(text, text)["rouge1"].fmeasure == 0
    assert all(values[0] == 1 for values in rouge_scores([text], [text]).values())


def test_no_texts_and_unequal_numbers() -> None:
    assert {kind: values.shape for kind, values in rouge_scores([], []).items()} == dict.fromkeys(KINDS, (0,))
    with pytest.raises(ValueError, match="longer"):
        rouge_scores(["a"], ["a", "b"])
