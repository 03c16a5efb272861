"""Whatever the answers, the evidence is finite, consistent JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from study_files import study_on_disk

from whichtune.evidence.judge import judge


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro"])
@pytest.mark.parametrize("n", [2, 7, 40])
@pytest.mark.parametrize("n_seeds", [1, 2, 3])
def test_extreme_answers(tmp_path: Path, metric: str, n: int, n_seeds: int) -> None:
    rng = np.random.default_rng(n)
    study = study_on_disk(tmp_path, n=n, primary_metric=metric)
    study.labels = np.arange(n) % 2
    shares = {"all right": 1.0, "all wrong": 0.0, "half": 0.5, "most": 0.9}
    for label, share in shares.items():
        study.add(label, [rng.random(n) < share for _ in range(n_seeds)], validation=share)
    result = judge(study.resolved, study.records, study.read)
    json.dumps(result.model_dump(mode="json"), allow_nan=False)
    assert len(result.comparisons) == 3
    for comparison in result.comparisons:
        assert "nan" not in comparison.sentence
        if comparison.interval is None:
            continue
        low, high = comparison.interval
        assert -100.0001 <= low <= (comparison.difference or 0.0) + 1e-6
        assert (comparison.difference or 0.0) - 1e-6 <= high <= 100.0001
        assert comparison.p is not None
        assert 0 <= comparison.p <= (comparison.p_adjusted or 0.0) <= 1
        assert math.isfinite(comparison.p_equivalence or 0.0)
    for method in result.per_method:
        if method.interval is not None:
            assert 0 <= method.interval[0] <= method.interval[1] <= 1.0 + 1e-9
