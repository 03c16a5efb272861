"""The cards state what is measured, and the baselines leave room on both sides."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import whichtune.embedded
from whichtune.embedded import DATASETS, dataset_path
from whichtune.errors import UnknownNameError

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import write_dataset_cards


@pytest.fixture(scope="module", params=sorted(DATASETS))
def measured(request: pytest.FixtureRequest) -> tuple[str, dict[str, tuple[float, float]]]:
    return request.param, write_dataset_cards.baseline_accuracies(request.param)


def test_baselines_are_neither_trivial_nor_at_the_limit(
    measured: tuple[str, dict[str, tuple[float, float]]],
) -> None:
    name, figures = measured
    low, high = (80, 95) if name == "messages" else (70, 95)
    for label in ("words (1-2-grams)", "characters (2-5-grams within words)"):
        assert low <= figures[label][1] <= high, label
    assert figures["words (1-2-grams)"][1] > figures["words alone (1-grams)"][1]
    assert figures["largest class"][1] < 100 / len(DATASETS[name].classes) + 3


def test_card_states_the_measured_figures(measured: tuple[str, dict[str, tuple[float, float]]]) -> None:
    name, figures = measured
    card = (dataset_path(name) / "card.md").read_text(encoding="utf-8")
    for label, (validation, test) in figures.items():
        row = re.search(rf"^\| {re.escape(label)} \| ([\d.]+) % \| ([\d.]+) % \|$", card, re.MULTILINE)
        assert row, label
        # One point for another version of scikit-learn or of its linear algebra.
        assert float(row[1]) == pytest.approx(validation, abs=1.0)
        assert float(row[2]) == pytest.approx(test, abs=1.0)
    assert f"**{100 * DATASETS[name].bayes_limit:.2f} %** (Bayes limit)" in card


def test_unknown_data_set_suggests_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'messages'"):
        dataset_path("mesages")


def test_importing_loads_nothing_heavy() -> None:
    heavy = ("torch", "pandas", "sklearn", "transformers")
    code = f"import sys, whichtune.embedded; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(whichtune.embedded.__file__).parents[2])},
    )
    assert run.stdout.strip() == "[]"
