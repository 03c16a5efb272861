"""What a program hands to `compare`: a study, a mapping, a file, keywords, data at hand."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest

from whichtune import Result, compare, load_study, open_study
from whichtune.data.memory import given_data
from whichtune.data.read import read_source
from whichtune.errors import DataError, SettingError, StoreError, StudyFileError, UnknownNameError
from whichtune.expansion.given import Keywords, at_place, study_from
from whichtune.published.presets import load_preset, preset_names
from whichtune.study.data_settings import DataSettings
from whichtune.study.load import parse_study
from whichtune.study.spec import Study

VALUE = {
    "name": "mine",
    "data": {"source": "a.csv", "train_limit": 50},
    "methods": ["full", {"method": "lora", "label": "small", "lora_rank": 2}],
    "factors": {"token_position": ["first", "mean"]},
    "settings": {"epochs": 2, "full.learning_rate": 3e-5},
    "seeds": [0, 1],
}
PAIRS = [("win cash", "spam"), ("see you", "ham"), ("call me", "ham")]


def asked(study: object = None, **keywords: object) -> Study:
    return study_from(study, Keywords(**keywords))[0]


# -- studies ----------------------------------------------------------------------------------------


def test_a_study_a_mapping_and_a_file_mean_the_same(tmp_path: Path) -> None:
    study = parse_study(VALUE, "test")
    assert asked(study) is study
    assert asked(VALUE) == study
    assert asked({**VALUE, "seeds": (0, 1)}) == study
    file = tmp_path / "mine.yaml"
    file.write_text(
        "data: {source: a.csv, train_limit: 50}\n"
        "methods: [full, {method: lora, label: small, lora_rank: 2}]\n"
        "factors: {token_position: [first, mean]}\nsettings: {epochs: 2, full.learning_rate: 0.00003}\nseeds: [0, 1]\n",
        encoding="utf-8",
    )
    assert asked(file) == asked(str(file)) == load_study(file) == study


def test_keywords_alone_are_a_study() -> None:
    study = asked(name="mine", data=Path("a.csv"), model=Path("m"), methods=["full", "tfidf_word"], seeds=range(2))
    wanted = {"name": "mine", "data": "a.csv", "model": "m", "methods": ["full"], "baselines": ["tfidf_word"]}
    assert study == parse_study({**wanted, "seeds": [0, 1]}, "test")
    alone = asked(data="a.csv", methods="full", seeds=3, settings={"epochs": 2, "margin": 0.5, "data.train_limit": 9})
    settings = {"settings": {"epochs": 2}, "margin": 0.5, "data": {"source": "a.csv", "train_limit": 9}}
    assert alone == parse_study({"methods": ["full"], "seeds": [3], **settings}, "test")


def test_keywords_stand_over_what_a_study_says() -> None:
    changed = {**VALUE, "seeds": [5], "model": "other", "data": {"source": "b.csv", "train_limit": 50}}
    keywords = {"seeds": [5], "model": "other", "data": "b.csv"}
    assert asked(VALUE, **keywords) == asked(parse_study(VALUE, "test"), **keywords) == parse_study(changed, "test")
    methods = asked(VALUE, methods=["head_only"])
    assert (methods.factors, [entry.method for entry in methods.methods]) == ({}, ["head_only"])
    assert asked(VALUE, text_column="words").data == DataSettings(source="a.csv", train_limit=50, text_column="words")
    assert asked({"data": "a.csv"}, label_column="kind").data == DataSettings(source="a.csv", label_column="kind")


@pytest.mark.parametrize("name", preset_names())
def test_a_study_with_keywords_is_else_the_same(name: str) -> None:
    """By way of plain values and back, published figures included."""
    study = load_preset(name)
    assert asked(study, seeds=[7]) == study.model_copy(update={"seeds": [7]})


def test_no_methods_are_the_demos() -> None:
    assert "name" not in asked().model_fields_set  # it is called after its data and model
    assert len(asked().runs) > 5
    assert asked(data="a.csv").runs == asked().runs
    written = asked(task="summarisation", data="a.csv")
    assert written.methods
    assert not written.runs


WRONG = [
    ((5,), {}, SettingError, "compare takes a study, a mapping, or the path of a study file, not int"),
    (("no.yaml",), {}, StudyFileError, r"There is no study file 'no\.yaml'"),
    (({"method": ["full"]},), {}, SettingError, "there is no key 'method': did you mean 'methods'"),
    (({1: 2},), {}, SettingError, "a key must be a text, not 1"),
    (({"margin": float("inf")},), {}, SettingError, "'margin'.*must be finite"),
    (({"settings": {"epochs": object()}},), {}, SettingError, "'settings'"),
    ((), {"methods": ["fulll"]}, UnknownNameError, "There is no method 'fulll': did you mean 'full'"),
    ((), {"methods": ["full", "full"]}, SettingError, "methods= names 'full' twice"),
    ((), {"methods": []}, SettingError, "methods= is empty"),
    ((), {"methods": 5}, SettingError, "methods= is a list of names of methods, not 5"),
    ((), {"methods": [5]}, SettingError, "must be a method's name"),
    ((), {"seeds": "0,1"}, SettingError, "seeds= is a list of whole numbers, not '0,1'"),
    ((), {"seeds": [0, 0]}, SettingError, "a seed is given twice"),
    ((), {"seeds": [-1]}, SettingError, "a seed is 0 or more"),
    ((), {"settings": {"tuning.drws": 3}}, UnknownNameError, r"settings=, tuning\.drws"),
    ((), {"settings": {"data.train_limt": 3}}, UnknownNameError, "did you mean 'train_limit'"),
    ((), {"settings": ["epochs=3"]}, SettingError, "settings= is a mapping of names to values, not list"),
    ((), {"data": 5}, DataError, "is int: give a pandas DataFrame, a list of"),
    ((), {"data": {"sorce": "a.csv"}}, SettingError, "did you mean 'source'"),
    ((), {"task": "poems"}, UnknownNameError, "There is no task 'poems'"),
    ((), {"save": "some"}, SettingError, "save='some': known are: all, best, none"),
    ((), {"name": "a/b"}, SettingError, "The study's name"),
]


@pytest.mark.parametrize(("given", "keywords", "error", "words"), WRONG)
def test_what_is_wrong_is_one_sentence(
    given: tuple[object, ...],
    keywords: dict,
    error: type[Exception],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words) as found:
        compare(*given, **keywords)
    assert "\n" not in str(found.value)
    assert not list(tmp_path.iterdir())


# -- data at hand -----------------------------------------------------------------------------------

FORMS = {
    "pairs": PAIRS,
    "lists": [list(pair) for pair in PAIRS],
    "generator": (pair for pair in PAIRS),
    "dicts": [{"text": text, "label": label} for text, label in PAIRS],
    "frame": pd.DataFrame(PAIRS, columns=["text", "label"]),
    "categories": pd.DataFrame(PAIRS, columns=["text", "label"], index=[9, 4, 9]).astype({"label": "category"}),
    "columns": {"text": [text for text, _ in PAIRS], "label": np.array([label for _, label in PAIRS])},
    "data set": datasets.Dataset.from_list([{"text": text, "label": label} for text, label in PAIRS]),
}


@pytest.mark.parametrize("form", FORMS)
def test_data_of_every_form_are_the_same_files(form: str, tmp_path: Path) -> None:
    given = given_data(FORMS[form], "label")
    assert given == given_data(PAIRS, "label")
    study = at_place(asked(data=PAIRS, methods=["full"]), given, tmp_path / "s")
    with given.kept_in(tmp_path / "s"):
        source = read_source(study.data)
    assert list(source.tables["all"].itertuples(index=False, name=None)) == PAIRS
    assert (tmp_path / "s" / "data" / given.digest / "rows.jsonl").is_file()


def test_splits_are_files_of_their_own(tmp_path: Path) -> None:
    frame = pd.DataFrame(PAIRS, columns=["text", "label"])
    for data in (
        {"train": PAIRS, "val": PAIRS[:2], "test": PAIRS[:1]},
        datasets.DatasetDict(
            train=datasets.Dataset.from_pandas(frame),
            validation=datasets.Dataset.from_pandas(frame[:2]),
            test=datasets.Dataset.from_pandas(frame[:1]),
            unsupervised=datasets.Dataset.from_pandas(frame),
        ),
    ):
        given = given_data(data, "label")
        with given.kept_in(tmp_path / given.digest):
            source = read_source(DataSettings(source=given.source_in(tmp_path / given.digest)))
        assert {name: len(table) for name, table in source.tables.items()} == {"train": 3, "validation": 2, "test": 1}
    assert given_data({"train": [1, 2], "text": ["a", "b"]}, "label").files.keys() == {"rows.jsonl"}


def test_class_names_and_odd_cells_are_kept_as_tables_have_them(tmp_path: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    named = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    assert '"label": "yes"' in given_data(named, "label").files["rows.jsonl"].splitlines()[0]
    odd = [
        {"text": "é\n\u2028", "label": np.int64(3), "when": datetime.date(2024, 1, 2), "vector": np.array([1.5, 2.0])},
        {"text": pd.NA, "label": Decimal("4"), "when": pd.NaT, "share": float("nan")},
    ]
    given = given_data(odd, "label")
    with given.kept_in(tmp_path):
        table = read_source(DataSettings(source=given.source_in(tmp_path))).tables["all"]
    assert list(table["text"]) == ["é\n\u2028", None]
    assert list(table["label"]) == [3, 4]
    assert list(table["when"]) == ["2024-01-02", None]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "There are no rows in the data"),
        ([("a", "b"), ("a",)], r"Row 2 of the data is 1 values: give a pair \(text, label\)"),
        (["a"], "Row 1 of the data is str"),
        ([(b"a", "b")], "Row 1 of the data has bytes in column 'text'"),
        ([("\ud800", "b")], "Row 1 of the data holds a character that no text can hold"),
        ({"text": ["a"], "label": ["b", "c"]}, "Column 'label' has 2 cells and 'text' 1"),
        ({"train": PAIRS, "test": 5}, "What is given as the test data is int"),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), "A column's name stands twice in the data, 'text'"),
    ],
)
def test_data_that_are_no_table_are_one_sentence(data: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        given_data(data, "label")


def test_bad_rows_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Row 2 of rows\.jsonl has an empty label"):
        compare(data=[*PAIRS[:1], ("text", None)], methods=["tfidf_word"], out=tmp_path / "new" / "s")
    assert not (tmp_path / "new").exists()
    with pytest.raises(DataError, match="no column 'words'"):
        compare(data=PAIRS, text_column="words", methods=["tfidf_word"], out=tmp_path / "s")
    assert not list(tmp_path.iterdir())
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is a link"):
        compare(data=PAIRS, methods=["tfidf_word"], out=tmp_path / "s")


def test_a_study_of_data_at_hand_resumes_by_their_content(messages: pd.DataFrame, tmp_path: Path) -> None:
    def again(data: object) -> Result:
        return compare(data=data, methods=["tfidf_word"], out=tmp_path / "s", threads=1)

    first = again(messages)
    assert first.started == 1
    pairs = list(messages[["text", "label"]].itertuples(index=False, name=None))
    same = again(pairs)
    assert same.started == 0
    assert same.summary.to_json()["runs"] == first.summary.to_json()["runs"]
    with pytest.raises(StoreError, match="holds another study"):
        again(pairs[:-1])
    assert len(list((tmp_path / "s" / "data").iterdir())) == 1
    other = compare(data=pairs[:-1], methods=["tfidf_word"], out=tmp_path / "s", threads=1, replace=True)
    assert other.started == 1
    assert other.runs[0].fingerprints["data"] != first.runs[0].fingerprints["data"]
    assert len(list((tmp_path / "s.replaced-1" / "data").iterdir())) == 1
    assert open_study(tmp_path / "s.replaced-1").summary.to_json()["runs"] == first.summary.to_json()["runs"]
    assert len(read_source(other.summary.study.data).tables["all"]) == len(messages) - 1
