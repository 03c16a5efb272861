"""Makes the studies that tests/test_pins.py holds the code to. It was run once, with release 0.1, and is kept to tell
how: run again with later code it would pin what that does, right or wrong.

python make_pins.py, in this folder.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd

from whichtune.compare import compare, prepare
from whichtune.embedded import dataset_path
from whichtune.expansion.resumed import resumed
from whichtune.records.store import StudyFolder
from whichtune.study.load import load_study, parse_study
from whichtune.study.spec import RunSpec
from whichtune.tuning.search import draws_of

STUDIES = ("labels", "texts", "tuned")
KEPT = ("study.json", "summary.json", "table.md", "table.csv", "examples.parquet", "runs")
# A value of each setting that came after the first release, other than its default.
ADDED = (
    {"evaluation_at_epoch_ends": True},
    {"early_stopping": "loss"},
    {"patience": 5},
    {"min_delta": 0.01},
    {"long_texts_keep": "both"},
    {"batching": "bucketed"},
)


def write_notes(folder: Path) -> None:
    """30 documents with their first words as summaries, in three files."""
    texts = [text for text in pd.read_csv(dataset_path("messages") / "train.csv")["text"] if len(text.split()) > 5]
    rows = [
        {"document": " ".join(texts[i : i + 1 + i % 4]), "summary": " ".join(texts[i].split()[: 3 + i % 5])}
        for i in range(30)
    ]
    folder.mkdir(exist_ok=True)
    for name, part in (("train", rows[:18]), ("validation", rows[18:24]), ("test", rows[24:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")


def pinned_specs() -> list[RunSpec]:
    """Runs of the three studies, draws of a search among them, and one for each setting that was added.

    The edition of default learning rates is the one that their folders were begun with.
    """
    specs = []
    for name in STUDIES:
        study = resumed(load_study(f"{name}.yaml"), StudyFolder(name))
        expansion, dataset = prepare(study)
        specs += expansion.specs
        for draws in draws_of(expansion, dataset.without_test()).values():
            specs += [draw.spec for draw in draws]
    value = {"name": "added", "defaults": 1, "methods": ["full"], "baselines": [], "seeds": [0]}
    for settings in ADDED:
        specs += prepare(parse_study({**value, "settings": settings}, "added"))[0].specs
    return specs


def main() -> None:
    write_notes(Path("notes"))
    pinned = [
        {"run_id": spec.run_id, "fields": spec.model_dump(mode="json", exclude_defaults=True)}
        for spec in pinned_specs()
    ]
    Path("run_ids.json").write_text(json.dumps(pinned, indent=1) + "\n", encoding="utf-8")
    for name in STUDIES:
        made = compare(load_study(f"{name}.yaml"), f"made-{name}", save="none", threads=1)
        Path(name).mkdir(exist_ok=True)
        for kept in KEPT:
            source = made.folder / kept
            (shutil.copytree if source.is_dir() else shutil.copy)(source, Path(name) / kept)
        shutil.rmtree(made.folder)


if __name__ == "__main__":
    main()
