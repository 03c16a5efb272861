"""Whole studies of written texts: what is kept, shown, saved and told beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whichtune.compare import prepare
from whichtune.runs.run import run_one
from written_texts import study_of

SAVED = [
    {"method": "head_only", "label": "own head"},
    {"method": "head_only", "label": "both", "tied": "train_both"},
    {"method": "last_block", "label": "last_block"},
    {"method": "full", "label": "full"},
    {"method": "lora", "label": "lora"},
    {"method": "soft_prompt", "label": "soft_prompt", "virtual_tokens": 3},
    {"method": "prefix_tuning", "label": "prefix_tuning", "virtual_tokens": 3},
]


@pytest.fixture(scope="module")
def finished(tiny_gpt2: Path, notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from whichtune.compare import compare

    study = study_of(tiny_gpt2, notes, [], runs=SAVED, baselines=["lead_1", "lead_3", "untuned"])
    return compare(study, tmp_path_factory.mktemp("study") / "s", save="all", threads=1)


@pytest.mark.parametrize("label", [*(run["label"] for run in SAVED), "untuned", "lead_1", "lead_3"])
def test_a_saved_run_writes_the_same_again(label: str, finished: Any, tmp_path: Path) -> None:
    from whichtune.records.store import StudyFolder
    from whichtune.runs.predict import find_run, predict_file

    folder = StudyFolder(finished.folder)
    record = find_run(folder, label)
    assert record.status == "completed", record.error
    recorded = folder.predictions(record.run_id)
    recorded = recorded[recorded["split"] == "test"]
    examples = folder.examples()
    texts = examples[examples["split"] == "test"].set_index("example_id").loc[recorded["example_id"], "text"]
    texts.to_frame().to_csv(tmp_path / "new.csv", index=False)
    table = predict_file(folder, record, tmp_path / "new.csv", None)
    assert list(table["prediction"]) == list(recorded["prediction"])


def test_what_is_trained_and_kept(finished: Any) -> None:
    by_label = {record.label: record for record in finished.records}
    embeddings = 4096 * 32
    assert by_label["own head"].cost.trainable_parameters == embeddings
    assert by_label["own head"].cost.total_parameters == by_label["both"].cost.total_parameters + embeddings
    assert by_label["both"].cost.trainable_parameters == embeddings
    assert by_label["full"].cost.trainable_parameters == by_label["full"].cost.total_parameters
    assert by_label["soft_prompt"].cost.trainable_parameters == 3 * 32
    assert by_label["untuned"].cost.trainable_parameters == 0
    assert by_label["untuned"].seed is None


def test_the_table_and_the_page_show_texts(finished: Any) -> None:
    header = finished.to_markdown().splitlines()[0]
    for column in ("test ROUGE-1 %", "test ROUGE-L %", "test loss", "test perplexity", "longest epoch s"):
        assert column in header
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert "Written texts" in page
    assert "Primary metric: ROUGE-L." in page
    assert "<dt>train examples</dt>" in page
    assert "confusion" not in finished.to_markdown()
    record = next(record for record in finished.records if record.label == "full")
    assert record.metrics.test is not None
    figures = next(f for f in finished.summary.to_json()["intervals"]["runs"] if f["label"] == "full")
    np.testing.assert_allclose(figures["figures"]["rougeL"], record.metrics.test.rougeL)
    np.testing.assert_allclose(figures["figures"]["loss"], record.metrics.test.loss)
    low, high = figures["intervals"]["loss"]
    assert low < record.metrics.test.loss < high


@pytest.mark.parametrize("method", ["head_only", "full", "lora", "soft_prompt"])
def test_what_a_run_will_take_is_told_before(method: str, tiny_gpt2: Path, notes: Path) -> None:
    """Operations and parameters, predicted without weights and of the plan, are those that the run then counts."""
    from whichtune.runs.estimate import estimate_runs
    from whichtune.runs.preview import preview_run

    expansion, dataset = prepare(
        study_of(tiny_gpt2, notes, [method], plan="off", settings={"max_steps": None, "epochs": 1})
    )
    (spec,) = expansion.specs
    (guess,) = estimate_runs([spec], dataset).values()
    cost = run_one(spec).record.cost
    assert guess.trainable_parameters == cost.trainable_parameters
    assert guess.flops == pytest.approx(cost.flops, rel=0.05)  # kernels of attention differ in what they repeat
    preview = preview_run(spec.model_copy(update={"plan": "auto"}), dataset)
    assert preview.flops_plain == cost.flops
    assert preview.flops_shared <= preview.flops_alone <= cost.flops * 1.2


@pytest.mark.slow
def test_a_pair_may_be_about_the_loss(tiny_gpt2: Path, notes: Path, tmp_path: Path) -> None:
    """Its verdict knows that less is better, and rows without a loss are not compared by it."""
    from whichtune.compare import compare

    pairs = [
        {"a": "full", "b": "untuned", "metric": "loss", "claim": "tuning helps", "published": {"direction": "better"}},
        {"a": "full", "b": "lead_1", "metric": "loss"},
        {"a": "full", "b": "untuned"},
    ]
    settings = {"max_steps": 12, "learning_rate": 1e-2}
    study = study_of(tiny_gpt2, notes, ["full"], baselines=["untuned", "lead_1"], pairs=pairs, settings=settings)
    found = compare(study, tmp_path / "s", save="none", threads=1).summary.to_json()["comparisons"]
    loss, nothing, rouge = found[:3]
    assert (loss["metric"], loss["unit"]) == ("loss", "nats")
    assert loss["difference"] < 0
    assert loss["verdict"] == "better"
    assert loss["agrees_with_published"]
    assert nothing["verdict"] == "not_tested"
    assert "has no loss" in nothing["sentence"]
    assert (rouge["metric"], rouge["unit"]) == ("rougeL", "points")
