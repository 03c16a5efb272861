"""A saved run proves itself, and what was saved wrongly is refused."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from trust.places import Place, run_of
from whichtune.errors import StoreError
from whichtune.records.store import StudyFolder
from whichtune.records.verify import CHECKSUMS, run_fault
from whichtune.runs.predict import find_run, predict_file


@pytest.mark.parametrize("label", ["head_only", "tfidf_char", "majority"])
def test_a_saved_run_answers_as_it_was_recorded(study: StudyFolder, label: str, tmp_path: Path) -> None:
    record = find_run(study, label)
    recorded = study.predictions(record.run_id).query("split == 'test'")
    texts = study.examples().set_index("example_id").loc[recorded["example_id"], ["text"]]
    texts.to_csv(tmp_path / "t.csv", index=False)
    table = predict_file(study, record, tmp_path / "t.csv", None)
    assert list(table["prediction"]) == [record.labels[i] for i in recorded["prediction"]]


def transposed(file: Path) -> None:
    """Arrays as release 0.1 wrote them: those in Fortran's order in the order of memory, under C's shape."""
    from safetensors.numpy import load_file, save_file

    arrays = load_file(file)
    assert len(arrays["weight"]) == 3
    save_file({**arrays, "weight": arrays["weight"].T.copy().reshape(arrays["weight"].shape)}, file)


def test_a_baseline_that_was_saved_wrongly_is_refused(study: StudyFolder, made: Place) -> None:
    record = find_run(study, "tfidf_char")
    folder = study.run_folder(record.run_id)
    transposed(folder / "baseline.safetensors")
    with pytest.raises(StoreError, match="was changed after it was written"):
        predict_file(study, record, made.cwd / "d.csv", None)
    (folder / CHECKSUMS).unlink()
    with pytest.raises(StoreError, match="does not give its recorded predictions again"):
        predict_file(study, record, made.cwd / "d.csv", None)


def test_weights_that_do_not_prove_themselves_are_not_kept(study: StudyFolder) -> None:
    record = run_of(study, "tfidf_char")
    saved, before = study.run_folder(record.run_id), study.predictions(record.run_id)

    def save(folder: Path) -> None:
        shutil.copy(saved / "vocabulary.json", folder)
        shutil.copy(saved / "baseline.safetensors", folder)
        transposed(folder / "baseline.safetensors")
        from whichtune.records.verify import spec_of
        from whichtune.runs.predict import _known
        from whichtune.runs.proof import proven

        proven(spec_of(record), record, folder, _known(study, record))

    study.write_run(record, predictions=before, save=save)
    stored = study.read_run(record.run_id)
    assert stored is not None
    assert stored.metrics == record.metrics
    assert "weights were not kept" in stored.notes[-1]
    assert study.weight_files(record.run_id) == []
    assert run_fault(saved) is None


def test_a_full_disk_keeps_the_figures(study: StudyFolder) -> None:
    from safetensors.numpy import save_file

    record, room = run_of(study, "majority"), resource.getrlimit(resource.RLIMIT_FSIZE)
    predictions = study.predictions(record.run_id)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, room[1]))  # a file that grows beyond it fails as on a full disk
    try:
        study.write_run(
            record,
            predictions=predictions,
            save=lambda place: save_file({"w": np.zeros(10**6)}, place / "weights.safetensors"),
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    stored = study.read_run(record.run_id)
    assert stored is not None
    assert stored.metrics == record.metrics
    assert stored.notes[-1].startswith("The weights were not kept: ")
    assert study.weight_files(record.run_id) == []
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, room[1]))
    try:
        with pytest.raises(StoreError, match="cannot be stored"):
            study.write_run(record, predictions=predictions)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    assert study.read_run(record.run_id) == stored  # and nothing half-written
    assert not list(study.runs.glob(".*"))


def test_saved_weights_fit_exactly(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from whichtune.models.saving import load_trained_state, trained_state

    model, file = torch.nn.Linear(3, 2), tmp_path / "weights.safetensors"
    good = trained_state(model)
    spoilt = {
        "bias is missing": {"weight": good["weight"]},
        "extra is not among": {**good, "extra": torch.zeros(1)},
        r"weight is \[1, 3\]": {**good, "weight": torch.zeros(1, 3)},
        r"bias is \[1\]": {**good, "bias": torch.zeros(1)},
        "bias is .* float16": {**good, "bias": torch.zeros(2, dtype=torch.float16)},
        "bias has values": {**good, "bias": torch.tensor([0.0, torch.nan])},
    }
    for words, state in spoilt.items():
        save_file(state, file)
        with pytest.raises(StoreError, match=words):
            load_trained_state(model, file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StoreError, match="cannot be read"):
        load_trained_state(model, file)
    assert all(torch.equal(value, good[name]) for name, value in model.state_dict().items())
