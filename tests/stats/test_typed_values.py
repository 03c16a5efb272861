"""Values that the statistics read: metrics of which less is better, published figures, settings of older records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from study_files import seeds_of, study_on_disk

from whichtune.evidence.judge import judge
from whichtune.metrics import METRICS, Metric, add_metric
from whichtune.metrics.confusion import accuracy_of_confusion
from whichtune.records.record import Metrics
from whichtune.stats.results import Comparison, Evidence
from whichtune.study.published import Published
from whichtune.study.recorded import Recorded


@pytest.fixture
def error_rate() -> Iterator[str]:
    """The share of wrong answers, in the table for the length of a test."""
    with METRICS.restored():
        add_metric(
            Metric(
                "error_rate",
                "error rate",
                "classes",
                of_confusion=lambda counts: 1 - accuracy_of_confusion(counts),
                higher_is_better=False,
            )
        )
        yield "error_rate"


def judged(folder: Path, metric: str) -> Evidence:
    """A good row, one that answers as it does and costs less, and one that is bad and cheapest."""
    study = study_on_disk(folder, pairs=[{"a": "good", "b": "bad"}], margin=3.0)
    rng = np.random.default_rng(0)
    good = seeds_of(rng, 0.05)
    study.add("good", good, validation=0.95, cost={"train_seconds": 30.0})
    study.add("alike", good, validation=0.94, cost={"train_seconds": 10.0})
    study.add("bad", seeds_of(rng, 0.3), validation=0.7, cost={"train_seconds": 5.0})
    for place, record in enumerate(study.records):
        splits = {
            name: Metrics(**{**figures, "error_rate": 1 - figures["accuracy"]})
            for name, figures in record.metrics.model_dump(exclude_none=True).items()
        }
        study.records[place] = record.model_copy(update={"metrics": record.metrics.model_copy(update=splits)})
    return judge(study.resolved.model_copy(update={"primary_metric": metric}), study.records, study.read)


def test_less_is_better_where_the_metric_says_so(tmp_path: Path, error_rate: str) -> None:
    right = judged(tmp_path / "right", "accuracy")
    wrong = judged(tmp_path / "wrong", error_rate)
    assert (wrong.verdict.best, wrong.verdict.recommended) == ("good", "alike")
    assert (right.verdict.best, right.verdict.recommended) == ("good", "alike")
    gain, loss = right.comparisons[0], wrong.comparisons[0]
    assert (gain.verdict, loss.verdict) == ("better", "better")
    assert loss.difference == pytest.approx(-(gain.difference or 0.0))
    for ours, theirs in zip(wrong.verdict.candidates, right.verdict.candidates, strict=True):
        assert (ours.label, ours.standing) == (theirs.label, theirs.standing)
        assert ours.validation == pytest.approx(100 - theirs.validation)
        assert ours.difference == (None if theirs.difference is None else pytest.approx(-theirs.difference))
    bad = wrong.verdict.candidates[0]
    assert bad.lower_bound is not None
    assert bad.difference is not None
    assert bad.lower_bound > bad.difference > 0  # the bound lies on the worse side


GIVEN: list[dict[str, Any]] = [
    {"b": 95, "note": "table 2", "a": 96.5, "pages": [3, 4]},
    {"time_ratio": 0.71, "direction": "worse"},
    {"direction": None, "a": 1, "b": 2},
    {},
]


@pytest.mark.parametrize("given", GIVEN)
def test_published_figures_are_written_as_they_were_given(given: dict[str, Any]) -> None:
    pair = Comparison(a="x", b="y", metric="accuracy", verdict="undecided", published=Published(given))
    text = json.dumps(pair.model_dump(mode="json"))
    assert json.dumps(given) in text
    assert json.dumps(Comparison.model_validate_json(text).model_dump(mode="json")) == text


def test_the_published_direction_is_what_is_said_or_what_the_figures_say() -> None:
    assert [Published(given).direction for given in GIVEN] == ["better", "worse", None, None]
    assert Published({"a": 3, "b": 3.0}).direction == "equal"
    for wrong in ({"a": "much"}, {"direction": "higher"}):
        with pytest.raises(ValidationError, match=r"must be"):
            Published(wrong)


def test_an_older_record_has_later_settings_at_their_defaults() -> None:
    old = Recorded.of({"method": "lora", "batch_size": 8, "accumulation_steps": 2, "method_settings": {"lora_rank": 4}})
    assert (old.method, old.effective_batch, old.stops_early, old.own) == ("lora", 16, "none", {"lora_rank": 4})
    assert old.settings["batching"] == "shuffled"
    assert Recorded.of({}).effective_batch is None
