"""A metric that is entered into the table is computed by every run, kept, and may stop its training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from whichtune.compare import prepare
from whichtune.metrics import METRICS, Metric, add_metric
from whichtune.records.record import RunRecord
from whichtune.runs.run import run_one
from whichtune.study.load import parse_study
from written_texts import spec_of


@pytest.fixture
def table() -> Iterator[None]:
    """The table, as it will be again afterwards."""
    with METRICS.restored():
        yield


def recall_of_first(counts: np.ndarray) -> np.ndarray:
    """The share of the first class's examples (...) that are found."""
    return counts[..., 0, 0] / np.maximum(1, counts[..., 0, :].sum(axis=-1))


def brevity(written: list[str], references: list[str]) -> np.ndarray:
    """How much of the reference's length a text has, at most 1."""
    pairs = zip(written, references, strict=True)
    return np.array([min(1.0, len(text) / max(1, len(reference))) for text, reference in pairs])


def test_a_metric_of_classes(tiny_gpt2: Path, mail: Path, table: None) -> None:
    add_metric(Metric("recall_ham", "recall of ham", "classes", of_confusion=recall_of_first))
    study = parse_study(
        {
            "data": str(mail),
            "model": str(tiny_gpt2),
            "methods": ["head_only"],
            "baselines": ["majority"],
            "seeds": [0],
            "primary_metric": "recall_ham",
            "settings": {"epochs": 2, "context_length": 30, "early_stopping": "primary"},
        },
        "test",
    )
    spec, baseline = prepare(study)[0].specs
    assert spec.early_stopping == "recall_ham"
    result = run_one(spec)
    found = result.record.metrics.test
    assert found is not None
    counts = np.array(found.confusion_matrix)
    assert found.value("recall_ham") == recall_of_first(counts)
    assert RunRecord.model_validate_json(result.record.model_dump_json()) == result.record
    assert all(0 <= point["validation_recall_ham"] <= 1 for point in result.curves)
    assert result.record.stopping is not None
    assert result.record.stopping.best == max(point["validation_recall_ham"] for point in result.curves)
    most_frequent = run_one(baseline).record.metrics.test
    assert most_frequent is not None
    assert most_frequent.value("recall_ham") in (0, 1)


def test_a_metric_of_texts(tiny_gpt2: Path, notes: Path, table: None) -> None:
    add_metric(Metric("brevity", "brevity", "texts", of_texts=brevity, resampling="mean"))
    result = run_one(spec_of(tiny_gpt2, notes, "head_only", max_steps=1))
    assert result.predictions is not None
    rows = result.predictions[result.predictions["split"] == "test"]
    np.testing.assert_allclose(rows["brevity"], brevity(list(rows["prediction"]), list(rows["reference"])))
    found = result.record.metrics.test
    assert found is not None
    assert found.value("brevity") == pytest.approx(rows["brevity"].mean())
    assert {"rouge1", "rougeLsum"} <= set(rows)
