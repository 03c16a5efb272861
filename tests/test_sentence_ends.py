"""Where sentences end."""

from __future__ import annotations

import pytest

from whichtune.metrics.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["Mr. Smith met Dr. Jones.", "They talked."],
        ["He came from the U.S. Navy to help.", "She stayed in the U.S.", "The ship left."],
        ["J. K. Rowling wrote it.", "It sold well!", "Why?", "Nobody knows."],
        ["It grew by 3.5 percent, i.e. A lot, on Jan. 5 and No. 7.", "Then it fell."],
        ['"Stop!" he said.', '"I will not," she said.', "They left."],
        ['He said: "It is over."', "Everyone cheered."],
        ["Madry et al. (2017) show this (see Fig. 3).", "We do not."],
        ["It was 10 a.m. Eastern time.", "At noon it ended..."],
        ["She and I.", "He and she."],
        ["No dots here"],
        ["It ended at 5.", "10 people left."],
        ["Wait…", "What?", "Nothing."],
        ["The answer was no.", "The end."],
    ],
)
def test_english(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


def test_lines_end_sentences() -> None:
    assert split_sentences("one thing\n\nAnother .\r\n third") == ["one thing", "Another .", "third"]


def test_lower_case_goes_on_in_lower_case() -> None:
    assert split_sentences("it rained. we left. mr. smith stayed.") == ["it rained.", "we left.", "mr. smith stayed."]
    assert split_sentences("It rained. we left.") == ["It rained. we left."]


def test_other_scripts() -> None:
    assert split_sentences("今日は晴れ。明日は雨？") == ["今日は晴れ。", "明日は雨？"]
    assert split_sentences("Сегодня дождь. Завтра снег.") == ["Сегодня дождь.", "Завтра снег."]


@pytest.mark.parametrize("text", ["", "  \n ", "\n"])
def test_nothing(text: str) -> None:
    assert split_sentences(text) == []


def test_nothing_is_lost() -> None:
    text = 'A b. C! "D?" (E.) F… G -- H. 1. 2.'
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
