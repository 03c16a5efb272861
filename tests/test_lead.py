"""The first sentences of a document."""

from __future__ import annotations

import json

import pytest

from realdata import shared
from whichtune.baselines import BASELINES
from whichtune.metrics.rouge import rouge_scores

TEXT = "(CNN)Residents have learned the hard way. And fighting has killed hundreds. So it goes on. The end is far away."


def test_first_sentences() -> None:
    assert BASELINES["lead_1"].answer(TEXT) == "Residents have learned the hard way."
    assert BASELINES["lead_3"].answer(TEXT).split("\n") == [
        "Residents have learned the hard way.",
        "And fighting has killed hundreds.",
        "So it goes on.",
    ]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("LONDON, England (CNN) -- The ship has sailed away. It was late.", "The ship has sailed away."),
        ("Catania, Italy (CNN)The ship has sailed away.", "The ship has sailed away."),
        ("By . Daily Mail Reporter . The ship has sailed away .", "The ship has sailed away ."),
        ("Too short. Also.", "Too short."),  # where nothing is longer, what there is
        ("One sentence. It talks of the (CNN) channel.", "It talks of the (CNN) channel."),
        ("no end here at all", "no end here at all"),
        ("", ""),
    ],
)
def test_what_counts_as_the_first(text: str, first: str) -> None:
    assert BASELINES["lead_1"].answer(text) == first


def test_on_real_articles() -> None:
    """On this subset, which is CNN's, lead-3 scores what the literature has for CNN's part of the test split
    (29 / 11), and well above the last sentences."""
    file = shared("data/cnn-dailymail/test.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    references = [row["summary"] for row in rows]
    lead = rouge_scores([BASELINES["lead_3"].answer(row["document"]) for row in rows], references)
    last = rouge_scores(["\n".join(row["document"].split(". ")[-3:]) for row in rows], references)
    assert 0.27 < lead["rouge1"].mean() < 0.32
    assert 0.10 < lead["rouge2"].mean() < 0.13
    assert last["rouge1"].mean() < 0.75 * lead["rouge1"].mean()
