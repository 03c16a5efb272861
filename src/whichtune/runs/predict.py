"""Classifying new texts with a saved run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.data.sources import SOURCE_NAMES, TEXT_NAMES
from whichtune.errors import DataError, StoreError
from whichtune.records.record import Role, RunRecord, RunStatus
from whichtune.records.store import StudyFolder
from whichtune.registry import did_you_mean
from whichtune.study.spec import RunSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


RUN_ID = re.compile("[0-9a-f]{16}")


def find_run(folder: StudyFolder, wanted: str) -> RunRecord:
    """A run by its id, the id's beginning, its label, or LABEL:SEED; with a bare label the run that is saved.

    Raises StoreError where none or several fit.
    """
    records = [RunRecord.model_validate(run) for run in folder.read_json("summary.json")["runs"]]
    label, _, seed = wanted.rpartition(":")
    by_id = [r for r in records if len(wanted) >= 4 and r.run_id.startswith(wanted)]
    by_seed = [r for r in records if r.label == label and str(r.seed) == seed]
    by_label = [r for r in records if r.label == wanted]
    found = by_id or by_seed or by_label
    if len(found) > 1:
        saved = [r for r in found if folder.weight_files(r.run_id)]
        found = saved if len(saved) == 1 else found
    if not found and (draw := folder.read_run(wanted) if RUN_ID.fullmatch(wanted) else None):
        return draw  # of a search: no row of the study, so the summary does not list it among its runs
    if not found:
        known = {r.label for r in records} | {r.run_id for r in records}
        raise StoreError(f"'{folder.path}' has no run '{wanted}': {did_you_mean(wanted, known)}")
    if len(found) > 1:
        names = ", ".join(f"{r.label}:{r.seed}" for r in found)
        raise StoreError(f"Several runs are called '{wanted}': say which of {names}.")
    return found[0]


def predict_file(folder: StudyFolder, record: RunRecord, file: Path, text_column: str | None) -> pd.DataFrame:
    """Predictions for each row of a file: columns text, prediction (class name) and one probability a class; of a run
    that writes texts, the text that it writes.

    A .txt file holds one text a line. Raises StoreError where the run was not saved, DataError for the file.
    """
    import pandas as pd
    from scipy.special import softmax

    if record.spec["task"] != "classification":
        texts = read_texts(file, text_column or _spec_of(record).data.text_column, SOURCE_NAMES)
        return pd.DataFrame({"text": texts, "prediction": run_texts(folder, record, texts)})
    texts = read_texts(file, text_column or _spec_of(record).data.text_column)
    logits = run_logits(folder, record, texts)
    shares = softmax(logits, axis=1)
    table = pd.DataFrame({"text": texts, "prediction": [record.labels[i] for i in logits.argmax(axis=1)]})
    for i, name in enumerate(record.labels):
        table[f"probability of {name}"] = shares[:, i]
    return table


def run_logits(folder: StudyFolder, record: RunRecord, texts: list[str]) -> np.ndarray:
    """Logits (n, C) of texts from a saved run, rebuilt from its spec and saved weights."""
    files = _saved(folder, record)
    if record.role is Role.BASELINE:
        from whichtune.baselines import BASELINES

        return BASELINES[record.method].load(folder.run_folder(record.run_id)).logits(texts)
    return _method_logits(record, files[0], texts)


def run_texts(folder: StudyFolder, record: RunRecord, texts: list[str]) -> list[str]:
    """What a saved run writes for each text."""
    from whichtune.data.pair_encoding import Room
    from whichtune.tasks.text.answers import extract
    from whichtune.tasks.text.task import write_new

    files = _saved(folder, record)
    spec = _spec_of(record)
    if record.role is Role.BASELINE:
        return extract(spec, texts)
    assert record.room is not None  # every completed run of such a task has one
    return write_new(spec, Room(**record.room), files[0], texts)  # type: ignore[arg-type]


def _saved(folder: StudyFolder, record: RunRecord) -> list[Path]:
    """The files of a run's trained state. Raises StoreError where there are none."""
    if record.status is not RunStatus.COMPLETED:
        raise StoreError(f"The run '{record.label}' did not complete ({record.error}): choose another.")
    files = folder.weight_files(record.run_id)
    if not files:
        raise StoreError(
            f"The weights of '{record.label}', seed {record.seed}, were not saved: run the study again with --save all."
        )
    return files


def _spec_of(record: RunRecord) -> RunSpec:
    return RunSpec.model_validate({**record.spec, "label": record.label, "fingerprints": record.fingerprints})


def _method_logits(record: RunRecord, weights: Path, texts: list[str]) -> np.ndarray:
    import numpy as np
    import torch

    from whichtune.data.splits import Dataset, Split
    from whichtune.models.saving import load_trained_state
    from whichtune.tasks.classification.evaluate import predict_split
    from whichtune.tasks.classification.task import build_classifier, encode_for
    from whichtune.training.forward import PlainForward

    spec = _spec_of(record)
    classifier, tokenizer = build_classifier(spec, len(record.labels))
    load_trained_state(classifier, weights)
    classifier.to(spec.device)
    nobody = np.zeros(len(texts), dtype="int64")
    part = Split([str(i) for i in range(len(texts))], texts, nobody, nobody.astype(bool))
    same = spec.model_copy(
        update={"context_length": record.context_length or "model", "padding": spec.padding or "dynamic"}
    )
    encoded = encode_for(
        same, Dataset("texts", record.labels, {"train": part}, "", ""), tokenizer, classifier.backbone.config
    )
    forward = PlainForward(classifier, encoded, torch.device(spec.device), spec.precision)
    return predict_split(classifier, forward, "train")


def read_texts(file: Path, text_column: str | None, usual: tuple[str, ...] = TEXT_NAMES) -> list[str]:
    """The texts of a .txt file (one a line) or of a table's text column; empty ones are an error."""
    from whichtune.data.sources import choose_column, read_table

    if not file.is_file():
        raise DataError(f"There is no file '{file}': check the path.")
    if file.suffix == ".txt":
        texts = file.read_text(encoding="utf-8").splitlines()
    else:
        table = read_table(file)
        column = choose_column("text", text_column, usual, [str(c) for c in table.columns], file.name)
        texts = [str(value) for value in table[column]]
    for row, text in enumerate(texts, start=1):
        if not text.strip():
            raise DataError(f"Row {row} of {file.name} has an empty text: fill or remove it.")
    if not texts:
        raise DataError(f"{file.name} holds no texts.")
    return texts
