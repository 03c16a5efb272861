"""The sentences, from a table of cases: never more than the test says, right in singular and plural."""

from __future__ import annotations

from typing import Any

import pytest

from whichtune.evidence.sentences import (
    comparison_paragraph,
    points,
    probability,
)
from whichtune.stats.results import Comparison, Power
from whichtune.wording import listing, number, plural

FULL: dict[str, Any] = {
    "a": "lora",
    "b": "full",
    "metric": "accuracy",
    "difference": 0.4,
    "interval": (-0.6, 1.4),
    "interval_90": (-0.4, 1.2),
    "p": 0.41,
    "p_adjusted": 0.82,
    "verdict": "undecided",
    "margin": 1.0,
    "holds_for": "methods",
    "a_figure": 96.4,
    "b_figure": 96.0,
    "seeds": [0, 1, 2],
    "a_by_seed": [96.0, 96.4, 96.8],
    "b_by_seed": [96.0, 96.0, 96.0],
    "n_examples": 300,
    "seed_sd": 0.5,
    "seed_error": 0.29,
    "test_set_error": 0.41,
    "family": 4,
    "factor": "method",
    "differs": ["method (lora against full)"],
}


def paragraph(**changes: Any) -> str:
    return comparison_paragraph(Comparison(**{**FULL, **changes}))


CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    (
        "better",
        {"verdict": "better", "p": 0.001, "p_adjusted": 0.004, "difference": 3.1, "interval": (1.6, 4.6)},
        [
            "lora against full: method (lora against full).",
            "Verdict: lora is better than full.",
            "a difference of 3.1 points (95 % interval 1.6 to 4.6; p = 0.001, p = 0.004 corrected for 4 pairs)",
            "mean of 3 seeds, 300 test examples",
        ],
        ["undecided", "equivalent", "Too few data", "worse"],
    ),
    (
        "better by less than the margin",
        {"verdict": "better", "within_margin": True},
        ["Verdict: lora is better than full, though by less than 1 point."],
        ["undecided"],
    ),
    (
        "worse",
        {"verdict": "worse", "difference": -3.1, "interval": (-4.6, -1.6)},
        ["Verdict: lora is worse than full.", "a difference of -3.1 points"],
        ["better", "undecided"],
    ),
    (
        "equivalent",
        {"verdict": "equivalent", "within_margin": True, "margin": 2.0},
        ["Verdict: lora and full are equivalent to within 2 points."],
        ["better", "worse", "undecided", "the same", "no difference"],
    ),
    (
        "undecided",
        {"power": Power(alpha=0.0125, detectable=2.4, examples_needed=1234, seeds_needed=11)},
        [
            "Verdict: undecided, since neither a difference nor equivalence within 1 point is shown.",
            "A true difference of about 2.4 points or more would probably have been shown",
            "one of 1 point would need about 1,300 test examples or about 11 seeds.",
        ],
        ["better", "worse", "Alone this pair"],
    ),
    (
        "undecided, and no number of seeds would do",
        {"power": Power(alpha=0.0125, detectable=2.4)},
        ["for 1 point more test examples or more seeds alone would not do."],
        ["would need"],
    ),
    (
        "passes alone, not corrected",
        {"p": 0.03, "p_adjusted": 0.12},
        ["Alone this pair would pass as a difference; corrected for all pairs it does not."],
        ["is better", "is worse"],
    ),
    (
        "test set too small for the margin",
        {"interval_90": (-1.2, 2.0)},
        ["Too few data to show equivalence within 1 point: the half-width of the 90 % interval is 1.6 points. Verdict"],
        [],
    ),
    (
        "confounded",
        {
            "factor": "padding",
            "differs": ["padding (none against right)"],
            "confounds": ["effective batch size (1 against 8)"],
        },
        [
            "padding (none against right).",
            "Confounded: they also differ in effective batch size (1 against 8), so a difference cannot be put "
            "down to padding alone.",
        ],
        [],
    ),
    (
        "confounded without a named factor",
        {"factor": None, "differs": ["x", "y"], "confounds": ["epochs (3 against 5)", "padding (none against right)"]},
        ["they differ in epochs (3 against 5) and padding (none against right)", "put down to one of these"],
        ["also differ"],
    ),
    (
        "failed run",
        {
            "verdict": "not_tested",
            "difference": None,
            "interval": None,
            "interval_90": None,
            "p": None,
            "notes": ["Not compared: lora has no result, since its only run ended as out of memory."],
        },
        ["Not compared: lora has no result, since its only run ended as out of memory."],
        ["Verdict", "difference of", "p ="],
    ),
    (
        "one seed",
        {
            "holds_for": "models",
            "verdict": "worse",
            "seeds": [0],
            "a_by_seed": [96.0],
            "b_by_seed": [98.0],
            "seed_sd": None,
            "seed_error": None,
        },
        [
            "Verdict: this model of lora is worse than this model of full.",
            "With one seed this compares these two trained models, not the methods: how much another seed would "
            "change is unknown.",
            "Test accuracy over 300 test examples",
        ],
        ["Noise:", "1 seeds", "mean of"],
    ),
    (
        "two fitted models without seeds",
        {"holds_for": "models", "seeds": [None], "a_by_seed": [96.0], "b_by_seed": [96.0], "seed_sd": None},
        ["Neither row depends on a seed: this compares the two fitted models."],
        ["With one seed"],
    ),
    (
        "two seeds",
        {
            "interval": None,
            "interval_90": None,
            "p": None,
            "p_adjusted": None,
            "seeds": [0, 1],
            "a_by_seed": [96.0, 97.0],
            "b_by_seed": [95.0, 95.3],
            "seed_sd": None,
            "notes": [
                "By seed: lora 96.0 and 97.0 %, full 95.0 and 95.3 %. Two seeds are too few for an interval or a test."
            ],
        },
        ["mean of 2 seeds", "lora 96.0 and 97.0 %", "Verdict: undecided, since nothing could be tested."],
        ["95 % interval", "p =", "corrected"],
    ),
    (
        "one pair needs no correction",
        {"family": 1},
        ["p = 0.41)."],
        ["corrected"],
    ),
    (
        "one test example",
        {"n_examples": 1, "verdict": "undecided"},
        ["1 test example)"],
        ["1 test examples"],
    ),
    (
        "costs",
        {
            "cost_ratios": {
                "training_seconds": 0.5,
                "peak_memory_bytes": 1.01,
                "trainable_parameters": 0.002,
                "training_flops": 2.0,
            }
        },
        [
            "lora costs 0.50 times the training time, about the same peak memory and 0.002 times the trainable "
            "parameters of full."
        ],
        ["operations"],
    ),
    (
        "published and agreed",
        {"claim": "LoRA is better", "published": {"a": 97.0, "b": 96.0}, "agrees_with_published": True},
        ["Published: LoRA is better (97.00 against 96.00 %); our figures agree."],
        [],
    ),
    (
        "published and not agreed",
        {"claim": "LoRA is better", "agrees_with_published": False},
        ["Published: LoRA is better; our figures do not agree."],
        [],
    ),
    (
        "published and left open",
        {
            "claim": "LoRA is better",
            "published": {"a": 97.0, "b": 96.0, "time_ratio": 0.71},
            "cost_ratios": {"training_seconds": 0.5},
        },
        ["(97.00 against 96.00 %; 0.71 times the training time, here 0.50 times); our figures leave it open."],
        ["agree."],
    ),
    (
        "published claim about time",
        {"claim": "LoRA is faster", "published": {"a": 97.0, "b": 96.0, "direction": None}},
        ["no claim about which is better."],
        ["leave it open", "agree"],
    ),
    (
        "another answer without duplicates",
        {
            "without_duplicates": {"n_examples": 264, "difference": 1.9, "interval": [0.2, 3.6], "p": 0.02},
        },
        ["On the 264 test examples that are not also in train the answer is another: 1.9 points (0.2 to 3.6; p = 0.02"],
        [],
    ),
    (
        "loss",
        {"metric": "loss", "unit": "nats", "margin": None, "difference": 0.1234, "a_figure": 0.4, "b_figure": 0.3},
        ["Test loss", "0.400 nats against 0.300 nats, a difference of 0.123 nats"],
        ["points", "%)."],
    ),
]


@pytest.mark.parametrize("name, changes, said, unsaid", CASES, ids=[case[0] for case in CASES])
def test_paragraph(name: str, changes: dict[str, Any], said: list[str], unsaid: list[str]) -> None:
    text = paragraph(**changes)
    for part in said:
        assert part in text, text
    for part in unsaid:
        assert part not in text, text
    assert "  " not in text
    assert "None" not in text
    assert "nan" not in text.split()
    assert text.endswith(".")


def test_number_words() -> None:
    assert [plural(n, "seed") for n in (0, 1, 2, 1045)] == ["0 seeds", "1 seed", "2 seeds", "1,045 seeds"]
    assert [points(x) for x in (1.0, 1.3, 2.0, 0.0, -1.0)] == [
        "1 point",
        "1.3 points",
        "2 points",
        "0.0 points",
        "-1 point",
    ]
    assert listing(["a"]) == "a"
    assert listing(["a", "b"]) == "a and b"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert number(-0.04) == "0.0"
    assert [probability(p) for p in (1e-9, 0.034, 0.999)] == ["p < 0.001", "p = 0.034", "p > 0.99"]


def test_labels_that_need_it_are_quoted() -> None:
    text = paragraph(a="full, random weights", verdict="better")
    assert "'full, random weights' against full" in text
    assert "Verdict: 'full, random weights' is better than full." in text
