"""The decision in plain words, from figures."""

from __future__ import annotations

from typing import Any

import pytest

from whichtune.evidence import decision_sentences as said
from whichtune.stats.results import CandidateFigures, Verdict
from whichtune.study.decide import Decide
from whichtune.study.price import parse_price


def row(label: str = "lora", **figures: Any) -> CandidateFigures:
    usual = {"standing": "best", "test": 93.34, "cost": 100.0, "expected_regret": 0.21, "regret_bound": 1.43}
    return CandidateFigures(**{"label": label, "p_best": 0.62, "p_within": 0.91, **usual, **figures})


def verdict(**values: Any) -> Verdict:
    usual = {"recommended": "lora", "best": "lora", "baseline": None, "metric": "accuracy", "margin": 1.0}
    more = {"selection_cost": "training_seconds", "rule": "", "headline": "", "margin_reached": True}
    return Verdict(**{**usual, **more, **values})


PROBE = row("probe", cost=20.0, test=92.9, expected_regret=0.4, regret_bound=1.62, standing="good enough")


def test_headlines() -> None:
    found = said.headline(verdict(), PROBE, row(), True)
    assert found == (
        "Use probe (92.9 % on test): it is the cheapest row that is good enough, expected to cost 0.4 points against "
        "the truly best row (at most 1.6 points, 95 %), for 0.20 times the training time of lora."
    )
    assert said.headline(verdict(), row(), row(), False).startswith(
        "Use lora (93.3 % on test), the best row and the ch"
    )
    assert "no cheaper row is expected to be within 1 point" in said.headline(verdict(), row(), row(), True)
    ahead = row(expected_regret=0.0, regret_bound=0.0)
    assert said.headline(verdict(), ahead, ahead, True) == (
        "Use lora (93.3 % on test): it is the best row, and no other comes near it."
    )
    wide = row(expected_regret=1.43, regret_bound=4.2)
    assert "for now: no row has a smaller expected regret" in said.headline(
        verdict(margin_reached=False), wide, wide, True
    )


def test_a_study_that_decides_says_what_it_asked_for() -> None:
    asked = verdict(regret_limit=0.25, margin_reached=False)
    assert "more than what was asked for, 0.25 points." in said.headline(asked, row(), row(), True)
    assert said.cheapest(asked, row(), row()) == "No row is expected to be within 0.25 points of the truly best one."
    decide = Decide(max_seeds=7, budget="20min")
    reasons = {reason: said.stopped(reason, "0.25 points", decide, 1234) for reason in ("target", "texts", "seeds")}
    assert reasons["target"] == "No more seeds were added: the expected regret is at most 0.25 points."
    assert "about 1,300 labelled test texts would" in str(reasons["texts"])
    assert "has 7." in str(reasons["seeds"])
    assert "its budget of 20min is spent" in str(said.stopped(None, "0.25 points", decide, None))


@pytest.mark.parametrize(
    "value, told",
    [(0.25, "0.25 points"), (0.4, "0.4 points"), (0.0, "0 points"), (1.0, "1 point"), (12.34, "12.3 points")],
)
def test_amounts_keep_what_matters(value: float, told: str) -> None:
    assert said.amount("accuracy", value) == told


def test_what_would_make_it_surer() -> None:
    more = verdict(seeds_needed=8, texts_needed=713)
    text = said.surer(more, 0.25, 3, 300, 90.0, 0.6, parse_price("2 EUR/h"))
    assert text == (
        "8 seeds of each row instead of 3 (about 8 minutes more for 0.25 EUR) or about 720 labelled test texts instead "
        "of 300 would bring the expected regret below 0.25 points."
    )
    assert "both are needed" in said.surer(verdict(), 0.25, 3, 300, None, 0.6)
    assert said.surer(more, 0.25, 3, 300, None, 0.2).startswith("More data would change little")


def test_against_counting_words() -> None:
    best = ("accuracy", "lora", "tfidf")
    assert said.against_words(*best, 3.1, (0.5, 5.6), True) == (
        "lora beats tfidf, the best row without a language model, by 3.1 points (0.5 to 5.6)."
    )
    assert said.against_words(*best, 0.7, (-1.2, 2.6), False) == (
        "No fine-tuned row is shown to beat tfidf, the best row without a language model: lora is 0.7 points ahead "
        "(-1.2 to 2.6)."
    )
    assert "lora is 2 points behind (0.4 to 3.6)" in str(said.against_words(*best, -2.0, (-3.6, -0.4), True))
    assert said.against_words("accuracy", "lora", None, None, None, False) is None


def test_chances_and_losses() -> None:
    assert [said.chance(p) for p in (0.999, 0.84, 0.001)] == ["over 99 %", "84 %", "under 1 %"]
    assert said.score("loss", 0.4123) == "0.412 nats"
    assert said.amount("loss", 0.0123) == "0.012 nats"
