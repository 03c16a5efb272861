"""Figures of tagged words: those of seqeval, and what their influence foretells."""

from __future__ import annotations

import numpy as np
import pytest
import seqeval.metrics

from whichtune.metrics import METRICS, metrics_of
from whichtune.metrics.entities import counted
from whichtune.metrics.tag_names import tag_names
from whichtune.stats.answers import of_tags

NAMES = [metric.name for metric in metrics_of("tags")]


def drawn_tags(sentences: int, seed: int, kinds: int = 3) -> tuple[list[list[int]], list[list[int]]]:
    """True tags, as a draft has them, and predictions that differ here and there, in no order."""
    draw = np.random.default_rng(seed)
    shares = [0.6, *[0.4 / (2 * kinds)] * (2 * kinds)]
    true = [draw.choice(2 * kinds + 1, draw.integers(1, 12), p=shares).tolist() for _ in range(sentences)]
    told = [[int(draw.integers(2 * kinds + 1)) if draw.random() < 0.15 else tag for tag in row] for row in true]
    return told, true


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_seqeval(seed: int) -> None:
    told, true = drawn_tags(120, seed)
    names = tag_names(["A", "B", "C"])
    written = [[[names[tag] for tag in row] for row in rows] for rows in (true, told)]
    counts = counted(told, true)
    found = {name: float(METRICS[name].of_tags(*counts).mean()) for name in NAMES}
    assert found["entity_f1"] == pytest.approx(seqeval.metrics.f1_score(*written), abs=1e-12)
    assert found["entity_precision"] == pytest.approx(seqeval.metrics.precision_score(*written), abs=1e-12)
    assert found["entity_recall"] == pytest.approx(seqeval.metrics.recall_score(*written), abs=1e-12)
    assert found["entity_f1_macro"] == pytest.approx(seqeval.metrics.f1_score(*written, average="macro"), abs=1e-12)
    assert found["tag_accuracy"] == pytest.approx(seqeval.metrics.accuracy_score(*written), abs=1e-12)


def test_where_entities_begin_and_end() -> None:
    def spans(tags: list[int]) -> list[int]:
        return counted([tags], [tags])[0].sum(axis=0)[:, 2].tolist()

    assert spans([1, 2, 0, 1]) == [2]  # B I O B
    assert spans([2, 2, 0, 2]) == [2]  # I I O I, as IOB1 has it
    assert spans([1, 1, 2]) == [2]  # B B I
    assert spans([1, 4, 4]) == [1, 1]  # B-0 I-1 I-1
    told, true = [[1, 2, 0], [1, 0, 0]], [[1, 2, 0], [1, 2, 0]]
    assert counted(told, true)[0][:, 0].tolist() == [[1, 1, 1], [0, 1, 1]]  # one right; one of another length
    nothing = counted([[0, 0]], [[0, 0]])
    assert [float(METRICS[name].of_tags(*nothing).mean()) for name in NAMES] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_influence_foretells_what_leaving_one_out_does(name: str) -> None:
    counts, words = counted(*drawn_tags(400, 7))
    of = METRICS[name].of_tags
    whole = of(counts, words)
    for left in range(0, 400, 37):
        keep = np.arange(400) != left
        moved = 399 * (whole.mean() - of(counts[keep], words[keep]).mean())
        influence = whole[left] - whole.mean()
        assert moved == pytest.approx(influence, abs=0.05 + 0.05 * abs(influence)), left


def test_figures_of_a_part_are_computed_of_that_part() -> None:
    told, true = drawn_tags(80, 4)
    lengths = np.array([len(row) for row in true])
    part = of_tags(told, true, np.ones(80), lengths).of(np.arange(80) < 50)
    expected = METRICS["entity_f1_macro"].of_tags(*counted(told[:50], true[:50])).mean()
    assert part.figures["entity_f1_macro"].mean() == pytest.approx(expected)
    assert part.tokens.tolist() == lengths[:50].tolist()
