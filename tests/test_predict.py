"""A saved run gives its recorded predictions again, for every method and baseline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from whichtune.baselines import BASELINES
from whichtune.compare import compare
from whichtune.data.texts import read_texts
from whichtune.errors import DataError, StoreError
from whichtune.handover import keep
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder
from whichtune.records.verify import spec_of
from whichtune.runs.predict import find_run, predict_file, saved_in
from whichtune.study.load import parse_study
from whichtune.tasks.classification.predict import new_logits

SETTINGS = {"epochs": 2, "context_length": 30, "learning_rate": 3e-3}
# Each method as it is: `comes_back_from_its_weights` of tests/test_contracts.py.
RUNS = [
    *({"method": name, "label": name} for name in ("head_only", "lora", "full")),
    {"method": "last_block", "label": "padded last", "token_position": "last"},
    {"method": "last_block", "label": "random", "weights": "random"},
    {"method": "lora", "label": "no mask, adapted head", "causal_mask": False, "lora_head": True},
    {"method": "prefix_tuning", "label": "projected prefix", "prefix_projection": True, "virtual_tokens": 4},
    {
        "method": "soft_prompt",
        "label": "soft prompt of words",
        "prompt_initialisation": "text",
        "prompt_text": "Is this spam?",
    },
    {"method": "last_block", "label": "alone", "padding": "none", "token_position": "mean_nonpad"},
]


@pytest.fixture(scope="module")
def folder(tiny_gpt2: Path, mail: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    study = parse_study(
        {"data": str(mail), "model": str(tiny_gpt2), "runs": RUNS, "seeds": [0], "settings": SETTINGS}, "test"
    )
    result = compare(study, tmp_path_factory.mktemp("study") / "s", save="all", threads=1)
    assert {record.status for record in result.records} == {"completed"}, [r.error for r in result.records]
    return StudyFolder(result.folder)


CLASSIFIERS = [name for name, baseline in BASELINES.items() if "classification" in baseline.tasks]


@pytest.mark.parametrize("label", [*[run["label"] for run in RUNS], *CLASSIFIERS])
def test_recorded_predictions_come_back(folder: StudyFolder, label: str, tmp_path: Path) -> None:
    record = find_run(folder, label)
    recorded = folder.predictions(record.run_id)
    recorded = recorded[recorded["split"] == "test"]
    examples = folder.examples()
    texts = examples[examples["split"] == "test"].set_index("example_id").loc[recorded["example_id"], "text"]
    logits = new_logits(spec_of(record), record, saved_in(folder, record), list(texts))
    np.testing.assert_allclose(logits, np.stack(recorded["logits"]), atol=2e-5)
    pd.DataFrame({"text": texts}).to_csv(tmp_path / "new.csv", index=False)
    table = predict_file(folder, record, tmp_path / "new.csv", None)
    assert list(table["prediction"]) == [record.labels[i] for i in recorded["prediction"]]
    shares = table[[f"probability of {name}" for name in record.labels]].to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)


def test_the_folder_and_the_weights_are_small(folder: StudyFolder) -> None:
    """Only what trained is kept: a head, not a model."""
    (file,) = folder.weight_files(find_run(folder, "head_only").run_id)
    assert file.stat().st_size < 2000


@pytest.mark.slow  # a study of its own
def test_best_keeps_each_rows_best_seed(
    tiny_gpt2: Path, mail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = {"data": str(mail), "model": str(tiny_gpt2), "methods": ["head_only", "full"], "seeds": [0, 1]}
    study = parse_study({**value, "baselines": [], "settings": SETTINGS}, "test")
    result = compare(study, tmp_path / "s", threads=1)
    place = StudyFolder(result.folder)

    def saved() -> set[str]:
        return {record.run_id for record in result.records if place.weight_files(record.run_id)}

    def best(records: list[RunRecord]) -> str:
        return max(records, key=lambda r: (r.metrics.validation.accuracy, -r.metrics.validation.loss)).run_id

    rows = {label: [r for r in result.records if r.label == label] for label in ("head_only", "full")}
    assert saved() == {best(records) for records in rows.values()}
    other = next(record for record in result.records if record.run_id not in saved())
    with pytest.raises(StoreError, match="--save all"):
        saved_in(place, other)
    # What is no adapter's size stays of the recommended row and of the best run alone.
    monkeypatch.setattr(keep, "SMALL_BYTES", 2_000)
    compare(study, tmp_path / "s", threads=1)
    recommended = result.summary.verdict.recommended
    wanted = {best(result.records), best(rows[recommended])} | {best(rows["head_only"])}
    assert saved() == wanted


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("lra", "did you mean 'lora'"), ("full:9", "no row 'full:9'"), ("", "has no row"), ("abc1", "has no run 'abc1'")],
)
def test_unknown_runs(folder: StudyFolder, wanted: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        find_run(folder, wanted)


def test_runs_are_found_by_id_and_seed(folder: StudyFolder) -> None:
    record = find_run(folder, "lora:0")
    assert find_run(folder, record.run_id) == find_run(folder, record.run_id[:8]) == record


def test_bad_text_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"Row 2 of a\.txt"):
        read_texts(tmp_path / "a.txt", None)
    with pytest.raises(DataError, match="no file"):
        read_texts(tmp_path / "b.txt", None)
    (tmp_path / "c.txt").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="holds no texts"):
        read_texts(tmp_path / "c.txt", None)
