"""Settings of the data as factors of a study, and as a line's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from whichtune.compare import compare, prepare
from whichtune.errors import SettingError
from whichtune.runs.estimate import estimate_runs
from whichtune.study.load import parse_study

WORDS = ["good", "bad"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 texts with titles; of the 100 for test a fifth stands in train, too."""
    file = tmp_path_factory.mktemp("data") / "texts.csv"
    lines = ["split,title,text,label"]
    for split, count in (("train", 140), ("validation", 60), ("test", 100)):
        for i in range(count):
            # no word of a text tells its class: of single letters there are no words
            text = f"seen {i // 2}" if split == "train" or (split == "test" and i % 5 == 0) else f"{split} {i // 2}"
            text += (" a", " b")[i % 2]
            lines.append(f"{split},{WORDS[i % 2]} thing,{text} words,{WORDS[i % 2]}")
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def study_of(table: Path, factors: dict[str, list[Any]], **more: Any) -> dict[str, Any]:
    data = {"source": str(table), "split_column": "split", "text_column": "text", "label_column": "label"}
    plain = {"name": "crossed", "data": data, "seeds": [0], "baselines": ["tfidf_word"], "settings": {"epochs": 1}}
    return {**plain, "factors": factors, **more}


def summary_of(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_rows_that_drop_duplicates_are_judged_with_the_others_on_the_texts_that_all_have(
    table: Path, tmp_path: Path
) -> None:
    study = parse_study(study_of(table, {"data.duplicates": ["keep", "drop"], "data.train_limit": [40, 140]}), "it")
    compare(study, tmp_path / "out")
    summary = summary_of(tmp_path / "out")
    rows = {run["label"]: run for run in summary["runs"]}
    assert list(rows) == [
        f"tfidf_word, data.duplicates={which}, data.train_limit={limit}"
        for which in ("keep", "drop")
        for limit in (40, 140)
    ]
    seen = {label: (run["metrics"]["train"]["n"], run["metrics"]["test"]["n"]) for label, run in rows.items()}
    assert [train for train, _ in seen.values()] == [40, 140, 40, 140]
    kept, dropped = [n for _, n in seen.values()][:2], [n for _, n in seen.values()][2:]
    assert kept == [100, 100]
    assert dropped[1] == 80
    assert 80 < dropped[0] < 100  # of fewer training texts fewer stand in test
    assert len({run["run_id"] for run in rows.values()}) == 4
    assert all(question["n_examples"] == 80 for question in summary["comparisons"])
    assert compare(study, tmp_path / "out").started == 0


def test_the_columns_that_are_read_can_be_crossed(table: Path, tmp_path: Path) -> None:
    """The titles tell the class, the texts do not."""
    compare(parse_study(study_of(table, {"data.text_column": ["text", "title,text"]}), "it"), tmp_path / "out")
    scores = {run["label"]: run["metrics"]["test"]["accuracy"] for run in summary_of(tmp_path / "out")["runs"]}
    assert scores["tfidf_word, data.text_column=title,text"] == 1.0
    assert scores["tfidf_word, data.text_column=text"] < 0.7


def test_a_line_may_have_data_of_its_own_and_estimates_know_it(table: Path) -> None:
    few = {"method": "head_only", "label": "few", "data.train_limit": 40}
    value = study_of(table, {}, runs=[{"method": "head_only"}, few])
    expansion, dataset = prepare(parse_study(value, "the study"))
    limits = {spec.label: spec.data.train_limit for spec in expansion.specs}
    assert limits == {"head_only": None, "few": 40, "tfidf_word": None}
    estimates = estimate_runs(expansion.specs, dataset)
    flops = {spec.label: estimates[spec.run_id].flops for spec in expansion.specs if spec.run_id in estimates}
    assert 0 < flops["few"] < flops["head_only"] / 2


@pytest.mark.parametrize(
    ("factors", "more", "said"),
    [
        ({"data.test_limit": [10, 20]}, {}, "would be tested on other texts"),
        ({"data.split_seed": [0, 1]}, {}, "compare them with whichtune diff"),
        ({"data.duplicats": ["keep"]}, {}, "did you mean 'data.duplicates'"),
        ({"data.duplicates": ["maybe"]}, {}, "must be 'keep' or 'drop'"),
        ({"data.train_limit": [1]}, {}, "must be greater than or equal to 2"),
        ({}, {"settings": {"data.train_limit": 40}}, "stand under data"),
    ],
)
def test_other_factors_of_the_data_are_refused(
    table: Path, factors: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingError, match=said):
        prepare(parse_study(study_of(table, factors, **more), "the study"))


def test_each_seeds_own_split_goes_with_no_factor_of_the_data(table: Path) -> None:
    value = study_of(table, {"data.train_limit": [40, 100]})
    value["data"] = {**value["data"], "split": "stratified", "resplit": True, "split_column": None}
    with pytest.raises(SettingError, match="where each seed has a split of its own"):
        prepare(parse_study(value, "the study"))
