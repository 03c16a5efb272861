"""Splits, limits and classes where there is little to draw from, or where the source says less than it should."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from realdata import shared
from whichtune.data.labels import alike, class_order, equal_numbers
from whichtune.data.pairs import PairDataset, load_pairs
from whichtune.data.sources import from_datasets
from whichtune.data.splits import Dataset, load_dataset
from whichtune.errors import DataError, UnknownNameError
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec


def load(source: object, **keys: object) -> Dataset:
    return load_dataset(DataSettings(source=str(source), **keys))


def load_texts(source: object, **keys: object) -> PairDataset:
    return load_pairs(DataSettings(source=str(source), **keys))


def write(path: Path, labels: list[str], word: str = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame({"text": [f"{word} {row}" for row in range(len(labels))], "label": labels})
    frame.to_csv(path, index=False)
    return path


def classes(dataset: Dataset, split: str) -> Counter[str]:
    return Counter(dataset.labels[label] for label in dataset.splits[split].labels)


def sizes(dataset: Dataset | PairDataset) -> list[int]:
    return [len(dataset.splits[split]) for split in ("train", "validation", "test")]


# --- labels -----------------------------------------------------------------------------------------------------------

ORDERS: dict[str, tuple[list[str], list[str]]] = {
    "numbers": (["10", "9", "-1"], ["-1", "9", "10"]),
    "equal numbers": (["007", "7", "07", "1"], ["1", "007", "07", "7"]),
    "thousands of digits": (["9" * 5000, "1" + "0" * 5000, "2"], ["2", "9" * 5000, "1" + "0" * 5000]),
    "two signs": (["--5", "3", "20"], ["--5", "20", "3"]),
    "other digits": (["٣", "2", "10"], ["2", "٣", "10"]),
    "raised digits": (["²", "10", "9"], ["10", "9", "²"]),
    "texts": (["b", "a", "10"], ["10", "a", "b"]),
}


@pytest.mark.parametrize("case", ORDERS)
def test_the_order_of_classes_is_by_no_chance(case: str) -> None:
    given, ordered = ORDERS[case]
    assert class_order(given) == class_order(reversed(given)) == class_order(set(given)) == ordered


EQUAL: dict[str, tuple[list[str], dict[str, str]]] = {
    "a point": (["1", "1.0", "2"], {"1": "1", "1.0": "1"}),
    "zeros": (["0.50", "0.5", "0.500"], {"0.5": "0.5", "0.50": "0.5", "0.500": "0.5"}),
    "one way only": (["1.0", "2.0"], {}),
    "a code": (["01", "1", "1e0", "+1", "1."], {}),
    "nothing": (["0", "-0", "-0.0"], {"-0": "0", "-0.0": "0", "0": "0"}),
    "below nothing": (["-1", "1", "-1.0"], {"-1": "-1", "-1.0": "-1"}),
    "long": (["9" * 5000, "9" * 5000 + ".0"], {"9" * 5000: "9" * 5000, "9" * 5000 + ".0": "9" * 5000}),
}


@pytest.mark.parametrize("case", EQUAL)
def test_equal_numbers_are_one_class(case: str) -> None:
    given, merged = EQUAL[case]
    assert equal_numbers(given) == merged


def test_a_spreadsheet_that_mixes_1_and_1_0(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "a.csv", ["0", "1", "1.0", "2"] * 15))
    assert dataset.labels == ["0", "1", "2"]
    assert sum((classes(dataset, split) for split in dataset.splits), Counter()) == {"0": 15, "1": 30, "2": 15}
    assert dataset.notes == ("The labels '1' and '1.0' of a.csv are equal numbers: each is one class.",)
    assert load(write(tmp_path / "b.csv", ["1.0", "2.0"] * 15)).labels == ["1.0", "2.0"]
    assert load(write(tmp_path / "c.csv", ["01", "1"] * 15)).labels == ["01", "1"]


def test_numbers_are_equal_across_the_files_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ["0", "1"] * 10)
    write(tmp_path / "test.csv", ["0.0", "1.0"] * 5)
    assert load(tmp_path).labels == ["0", "1"]


ALIKE: dict[str, tuple[list[str], list[list[str]]]] = {
    "blanks": (["a", "a ", " b"], [["a", "a "]]),
    "case": (["Ham", "ham", "spam"], [["Ham", "ham"]]),
    "a hard blank": (["a", "a\u00a0"], [["a", "a\u00a0"]]),
    "nothing to see": (["a", "a\u200b", "\ufeffa"], [["a", "a\u200b", "\ufeffa"]]),
    "composed letters": (["é", "e\u0301"], [["e\u0301", "é"]]),
    "inner blanks": (["a b", "ab"], []),
}


@pytest.mark.parametrize("case", ALIKE)
def test_labels_that_look_alike(case: str) -> None:
    given, groups = ALIKE[case]
    assert alike(given) == groups


def test_labels_that_look_alike_are_told(tmp_path: Path) -> None:
    (note,) = load(write(tmp_path / "a.csv", ["ham", "ham ", "spam", "Spam"] * 15)).notes
    assert note == (
        "The labels 'Spam' and 'spam'; 'ham' and 'ham ' of a.csv differ only by blanks, case or invisible signs and "
        "are different classes: write them alike in the data to make one class of them."
    )


def test_a_label_that_train_has_in_another_form_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ["ham", "spam"] * 10)
    write(tmp_path / "test.csv", ["ham ", "spam"] * 10)
    with pytest.raises(DataError, match=r"'ham ' occurs in test but not in train .*: 'ham' looks alike"):
        load(tmp_path)


def test_signs_in_names_are_data_and_escaped_in_sentences(tmp_path: Path) -> None:
    odd = "a\x1b[31m\n\u202eb"
    assert load(write(tmp_path / "a.csv", [odd, "c"] * 20)).labels == [odd, "c"]
    with pytest.raises(DataError) as caught:
        load(write(tmp_path / "b.csv", [odd] * 20))
    assert str(caught.value).isprintable()
    assert r"'a\x1b[31m\n\u202eb'" in str(caught.value)
    with pytest.raises(DataError, match=r"one class only \('x{60}\.\.\.'\)"):
        load(write(tmp_path / "c.csv", ["x" * 9000] * 20))


@pytest.mark.parametrize(
    ("case", "labels"),
    [
        ("cases/label-space/d.csv", ["billing", "billing ", "returns", "returns ", "shipping", "shipping "]),
        ("cases/mixed-1.0/d.csv", ["0", "1", "2"]),
    ],
)
def test_labels_as_first_seen(case: str, labels: list[str]) -> None:
    dataset = load(shared(case))
    assert dataset.labels == labels
    assert len(dataset.notes) == 1


# --- given splits -----------------------------------------------------------------------------------------------------


def test_a_test_file_without_labels_is_for_predict(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ["a", "b"] * 20)
    pd.DataFrame({"text": ["x", "y"]}).to_csv(tmp_path / "test.csv", index=False)
    pd.DataFrame({"id": [0], "label": ["a"]}).to_csv(tmp_path / "sample_submission.csv", index=False)
    dataset = load(tmp_path)
    assert sizes(dataset) == [28, 4, 8]
    assert dataset.notes == (
        "The test rows of test.csv have no labels, so they are left for predict: the test split is drawn from train.",
    )
    write(tmp_path / "test.csv", ["", ""])
    assert sizes(load(tmp_path)) == [28, 4, 8]
    write(tmp_path / "test.csv", ["a", ""])
    with pytest.raises(DataError, match=r"Row 2 of test.csv has an empty label"):
        load(tmp_path)
    pd.DataFrame({"text": ["x"], "lable": ["a"]}).to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(DataError, match=r"test.csv has no column 'label', which train.csv has"):
        load(tmp_path)


def test_a_test_file_without_targets_is_for_predict(tmp_path: Path) -> None:
    pairs = [{"text": f"t{row}", "target": f"s{row}"} for row in range(30)]
    (tmp_path / "train.json").write_text(json.dumps(pairs), encoding="utf-8")
    (tmp_path / "test.json").write_text(json.dumps([{"text": "x"}]), encoding="utf-8")
    dataset = load_texts(tmp_path)
    assert sizes(dataset) == [21, 3, 6]
    assert "have no targets" in dataset.notes[0]


def split_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": [f"text {row}" for row in range(40)],
            "label": ["a", "b"] * 20,
            "part": ["train"] * 25 + [" Dev"] * 5 + ["test"] * 10,
        }
    )


def test_a_split_column_names_rows_of_the_file(tmp_path: Path) -> None:
    frame = split_rows()
    frame.to_csv(tmp_path / "a.csv", index=False)
    dataset = load(tmp_path / "a.csv", split_column="part")
    assert sizes(dataset) == [25, 5, 10]
    assert dataset.splits["test"].ids[0] == "test-0"
    frame.loc[33, "text"] = ""
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"Row 34 of a\.csv has an empty text"):
        load(tmp_path / "a.csv", split_column="part")
    frame.loc[20, "part"] = ""
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"Row 21 of a\.csv has an empty split \(column 'part'\)"):
        load(tmp_path / "a.csv", split_column="part")


def test_a_split_column_over_the_files_of_a_folder(tmp_path: Path) -> None:
    frame = split_rows().sample(frac=1, random_state=0)
    frame[:30].to_csv(tmp_path / "train.csv", index=False)
    frame[30:].to_csv(tmp_path / "test.csv", index=False)
    assert sizes(load(tmp_path, split_column="part")) == [25, 5, 10]
    late = frame[30:].copy()
    late.iloc[3, 0] = " "
    late.to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(DataError, match=r"Row 4 of test\.csv has an empty text"):
        load(tmp_path, split_column="part")
    late.drop(columns="part").to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(DataError, match=r"test\.csv has no column 'part'"):
        load(tmp_path, split_column="part")


def test_a_split_column_of_hub_data() -> None:
    import datasets

    part = datasets.Dataset.from_pandas(split_rows())
    source = from_datasets(datasets.DatasetDict({"train": part}), DataSettings(source="x/y", split_column="part"))
    assert {split: len(table) for split, table in source.tables.items()} == {"train": 25, "validation": 5, "test": 10}


def test_unlabelled_test_rows_by_a_split_column(tmp_path: Path) -> None:
    frame = split_rows()
    frame.loc[frame["part"] == "test", "label"] = None
    frame.to_csv(tmp_path / "a.csv", index=False)
    dataset = load(tmp_path / "a.csv", split_column="part")
    assert sizes(dataset) == [20, 5, 5]
    assert dataset.notes[0].startswith("The test rows of a.csv have no labels")


def test_splits_as_first_seen() -> None:
    assert sizes(load(shared("cases/kaggle-test"))) == [28, 4, 8]
    with pytest.raises(DataError, match=r"Row 47 of d\.csv has an empty text"):
        load(shared("cases/split-column-row/d.csv"), split_column="split")
    assert sizes(load(shared("cases/limit-singleton/f"), train_limit=20))[0] == 20
    assert sizes(load_texts(shared("cases/pairs-limit/f"), split="stratified", train_limit=10))[0] == 10
    assert sizes(load(shared("cases/many-classes/d.csv"))) == [2100, 300, 600]
    assert any("'rare'" in note for note in load(shared("cases/two-examples/d.csv")).notes)


# --- few examples, many classes ---------------------------------------------------------------------------------------

LIMITS: dict[str, tuple[list[str], dict[str, int]]] = {
    "a class of one": (["a", "b"] * 20 + ["c"], {"train_limit": 20}),
    "one row left out": (["a", "b", "c"] * 10, {"train_limit": 29}),
    "as many as classes": (["a", "b"] * 20 + ["c"] * 2, {"train_limit": 3}),
    "a share below one": (["a"] * 97 + ["b"] * 3, {"train_limit": 4}),
    "many classes": ([f"c{row // 2}" for row in range(100)], {"train_limit": 60}),
    "many of one": ([f"c{row}" for row in range(50)] + ["x"] * 50, {"train_limit": 60}),
}


@pytest.mark.parametrize("case", LIMITS)
def test_a_limit_keeps_one_of_each_class(tmp_path: Path, case: str) -> None:
    labels, limits = LIMITS[case]
    write(tmp_path / "train.csv", labels)
    for split in ("validation", "test"):
        write(tmp_path / f"{split}.csv", sorted(set(labels)), split)
    dataset = load(tmp_path, **limits)
    assert len(dataset.splits["train"]) == limits["train_limit"]
    assert set(classes(dataset, "train")) == set(labels)
    rows = [int(row.removeprefix("train-")) for row in dataset.splits["train"].ids]
    assert rows == sorted(rows)
    again = load(tmp_path, **limits)
    assert again.splits["train"].ids == dataset.splits["train"].ids


def test_what_a_limit_does_is_told(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ["a", "b"] * 20 + ["c"])
    for split in ("validation", "test"):
        write(tmp_path / f"{split}.csv", ["a", "b", "c"], split)
    assert load(tmp_path, train_limit=20).notes == (
        "Of 3 classes at least one example each stands in the 20 train examples of the limit: shares are kept as near "
        "as that allows.",
    )
    assert load(tmp_path, train_limit=41).notes == ()
    assert load(tmp_path, train_limit=50).notes == ("There are 41 train examples, used whole (limit 50).",)
    with pytest.raises(DataError, match="A limit of 2 examples cannot hold 3 classes: raise it"):
        load(tmp_path, train_limit=2)


SPLITS: dict[str, tuple[list[str], list[int]]] = {
    "three of each": ([f"c{row // 3}" for row in range(300)], [210, 30, 60]),
    "two of each": ([f"c{row // 2}" for row in range(100)], [70, 10, 20]),
    "two rare": (["a", "b"] * 50 + ["c"] * 2, [72, 10, 20]),
    "two of two": (["a", "b"] * 2, [2, 1, 1]),
}


@pytest.mark.parametrize("case", SPLITS)
def test_every_class_stays_in_train(tmp_path: Path, case: str) -> None:
    labels, wanted = SPLITS[case]
    dataset = load(write(tmp_path / "a.csv", labels))
    assert sizes(dataset) == wanted
    assert set(classes(dataset, "train")) == set(labels)
    ids = [row for part in dataset.splits.values() for row in part.ids]
    assert sorted(ids, key=int) == [str(row) for row in range(len(labels))]
    untested = set(labels) - set(classes(dataset, "test"))
    told = [note for note in dataset.notes if "no score says" in note]
    assert len(told) == bool(untested)
    rare = [note for note in dataset.notes if note.startswith("Too rare")]
    assert len(rare) == any(labels.count(label) < 3 for label in labels)


def test_classes_without_a_test_text_are_told(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ["a", "b", "c"] * 10)
    write(tmp_path / "test.csv", ["a", "b"] * 5)
    assert load(tmp_path).notes == ("1 class has no test text, so no score says how well it is found: 'c'.",)
    write(tmp_path / "test.csv", ["a"] * 5)
    assert load(tmp_path).notes == (
        "2 classes have no test text, so no score says how well each is found: 'b' and 'c'.",
    )


def test_a_class_of_one_text_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'c' \(and 1 more\) has 1 example, .* a class needs two or more"):
        load(write(tmp_path / "a.csv", ["a", "b"] * 10 + ["d", "c"]))


def test_the_reference_split_needs_more_ham_than_spam(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are 30 spam and only 10 ham: use split stratified"):
        load(write(tmp_path / "a.csv", ["ham"] * 10 + ["spam"] * 30), split="reference")
    with pytest.raises(DataError, match="The reference split of 4 texts leaves none for validation"):
        load(write(tmp_path / "a.csv", ["ham"] * 3 + ["spam"] * 2), split="reference")
    assert sizes(load(write(tmp_path / "a.csv", ["ham", "spam"] * 20), split="reference")) == [28, 4, 8]


@pytest.mark.parametrize("rule", ["given", "stratified"])
def test_a_limit_of_pairs_holds_over_several_files(tmp_path: Path, rule: str) -> None:
    for split, count in {"train": 30, "test": 30}.items():
        rows = [{"text": f"{split} {row}", "target": f"s{row}"} for row in range(count)]
        (tmp_path / f"{split}.json").write_text(json.dumps(rows), encoding="utf-8")
    dataset = load_texts(tmp_path, split=rule, train_limit=10, test_limit=4, validation_limit=2)
    assert sizes(dataset) == [10, 2, 4]


# --- run ids ----------------------------------------------------------------------------------------------------------


def test_a_separator_counts_only_where_one_is_named() -> None:
    """A setting that came later leaves the runs that were made before it their identity."""
    ids = [
        RunSpec(label="x", data=DataSettings(source="a.csv", separator=separator), model="m", method="full").run_id
        for separator in (None, ";", "|")
    ]
    assert len(set(ids)) == 3
    spec = RunSpec(label="x", data=DataSettings(source="a.csv"), model="m", method="full")
    assert "separator" not in spec.canonical()["data"]


# --- names of data ----------------------------------------------------------------------------------------------------


def test_an_existing_file_with_an_equals_sign_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "runs" / "lr=1e-5.csv", ["a", "b"] * 20)
    write(tmp_path / "imdb=x.csv", ["a", "b"] * 20)
    assert load("runs/lr=1e-5.csv").name == "lr=1e-5.csv"
    assert load("~/runs/lr=1e-5.csv").name == "lr=1e-5.csv"
    assert load("imdb=x.csv").labels == ["a", "b"]
    (tmp_path / "c=d").mkdir()
    (tmp_path / "c=d" / "sms.tsv").write_text("ham\thi\nspam\twin\n" * 40, encoding="utf-8")
    assert load("sms_spam=c=d/sms.tsv", split="stratified").labels == ["ham", "spam"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("runs/lr=1e-6.csv", "There is no data file 'runs/lr=1e-6.csv'"),
        ("./sms_spam=a", "There is no data file './sms_spam=a'"),
        ("sms_spam=runs/lr=2.tsv", "There is no data file 'runs/lr=2.tsv': check the path after the '='"),
        ("sms=a.csv", "There is no named data set 'sms'"),
        ("imdb=", "no file, folder or named data set 'imdb=': did you mean 'imdb'"),
        ("", "data.source is empty"),
    ],
)
def test_names_that_are_not_there(source: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((DataError, UnknownNameError), match=sentence):
        load(source)


@pytest.mark.parametrize(("source", "code"), [("a.csv", 0), ("b.csv", 2)])
def test_the_command_reads_them_too(tmp_path: Path, source: str, code: int) -> None:
    write(tmp_path / "a.csv", ["a", "b"] * 20)
    (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text("utf-8").replace(",", ";"), encoding="utf-8")
    (tmp_path / "b.csv").write_text("text,label\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "whichtune", "compare", "--data", source, "--methods", "head_only", "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    said = "b.csv has no rows" if code else "The columns of a.csv are separated by ';'"
    assert said in done.stderr + done.stdout
