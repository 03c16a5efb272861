"""Reading, checking and splitting data; tokens and batches."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from whichtune.data.named import NAMED_SETS, SmsSpam
from whichtune.data.sources import from_datasets, read_hub
from whichtune.data.splits import load_dataset
from whichtune.errors import DataError, UnknownNameError, WhichtuneError
from whichtune.study.data_settings import DataSettings

ROWS = pd.DataFrame({"text": [f"message {i}" for i in range(40)], "label": ["ham", "spam"] * 20})


def load(source: object, **keys: object):
    return load_dataset(DataSettings(source=str(source), **keys))


@pytest.mark.parametrize("form", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.csv.gz", "a.jsonl.gz"])
def test_every_format_gives_the_same_examples(tmp_path: Path, form: str) -> None:
    plain = tmp_path / form.removesuffix(".gz")
    writers = {
        ".csv": lambda p: ROWS.to_csv(p, index=False),
        ".tsv": lambda p: ROWS.to_csv(p, index=False, sep="\t"),
        ".jsonl": lambda p: ROWS.to_json(p, orient="records", lines=True),
        ".json": lambda p: ROWS.to_json(p, orient="records"),
        ".parquet": lambda p: ROWS.to_parquet(p),
    }
    writers[plain.suffix](plain)
    if form.endswith(".gz"):
        (tmp_path / form).write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    dataset = load(tmp_path / form)
    assert dataset.labels == ["ham", "spam"]
    assert [len(split) for split in dataset.splits.values()] == [28, 4, 8]
    ids = [i for split in dataset.splits.values() for i in split.ids]
    assert sorted(ids, key=int) == [str(i) for i in range(40)]
    row = dataset.splits["test"].ids[0]
    assert dataset.splits["test"].texts[0] == f"message {row}"


def test_splits_are_seeded_and_stratified(tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    first, again = load(tmp_path / "a.csv"), load(tmp_path / "a.csv")
    other = load(tmp_path / "a.csv", split_seed=1)
    assert first.splits["test"].ids == again.splits["test"].ids != other.splits["test"].ids
    assert list(np.bincount(first.splits["test"].labels)) == [4, 4]


def test_folder_of_splits_and_integer_labels(tmp_path: Path) -> None:
    for name, rows in {"train": 30, "dev": 6, "test": 6}.items():
        frame = pd.DataFrame(
            {"sentence": [f"{name} {i}" for i in range(rows)], "label": [(i * 5) % 3 + 9 for i in range(rows)]}
        )
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    dataset = load(tmp_path)
    assert dataset.labels == ["9", "10", "11"]  # by number, not by letter
    assert dataset.split_rule == "given"
    assert dataset.splits["validation"].texts[0] == "dev 0"


def test_split_column(tmp_path: Path) -> None:
    frame = ROWS.assign(part=["train"] * 30 + ["valid"] * 4 + ["test"] * 6)
    frame.to_csv(tmp_path / "a.csv", index=False)
    dataset = load(tmp_path / "a.csv", split_column="part")
    assert [len(split) for split in dataset.splits.values()] == [30, 4, 6]


def test_text_that_looks_like_a_missing_value_is_kept(tmp_path: Path) -> None:
    frame = ROWS.copy()
    frame.loc[0, "text"] = "NA"
    frame.loc[1, "text"] = "007"
    frame.to_csv(tmp_path / "a.csv", index=False)
    texts = {t for split in load(tmp_path / "a.csv").splits.values() for t in split.texts}
    assert {"NA", "007"} <= texts


def test_limits_keep_the_shares_of_the_classes(tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    dataset = load(tmp_path / "a.csv", train_limit=10)
    assert list(np.bincount(dataset.splits["train"].labels)) == [5, 5]


def test_the_reference_split_of_the_sms_study(sms_file: Path) -> None:
    """1,045 / 149 / 300 examples; 36 test and 12 validation messages stand verbatim in train."""
    dataset = load(f"sms_spam={sms_file}")
    assert [len(split) for split in dataset.splits.values()] == [1045, 149, 300]
    assert dataset.splits["test"].duplicate_of_train.sum() == 36
    assert dataset.splits["validation"].duplicate_of_train.sum() == 12
    assert round(dataset.splits["test"].labels.mean(), 2) == 0.53
    known = np.concatenate([dataset.splits[name].labels for name in ("train", "validation")])
    assert dataset.largest_class_share == max(known.mean(), 1 - known.mean())  # test labels choose nothing


def test_the_longest_training_message_has_120_gpt2_tokens(sms_file: Path) -> None:
    from transformers import GPT2Tokenizer

    from realdata import shared
    from whichtune.data.encoding import encode

    tokenizer = GPT2Tokenizer.from_pretrained(shared("data/gpt2-tokenizer"))
    tokenizer.pad_token = tokenizer.eos_token
    dataset = load(f"sms_spam={sms_file}")
    encoded = encode(
        dataset, tokenizer, context_length="longest", max_length=1024, padding="right", attend_to_padding=True
    )
    assert encoded.context_length == 120
    batch = encoded.batch("train", [0, 1])
    assert tuple(batch.input_ids.shape) == (2, 120)
    assert batch.attention_mask is None
    assert (batch.input_ids[0, batch.lengths[0] :] == 50256).all()


def test_imdb_from_a_local_copy() -> None:
    from realdata import shared

    dataset = load(f"imdb={shared('data/imdb')}", train_limit=100)
    assert dataset.labels == ["neg", "pos"]
    assert [len(split) for split in dataset.splits.values()] == [100, 500, 1000]


def test_the_download_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as handle:
        handle.writestr("SMSSpamCollection", "ham\thello\n")
    with pytest.raises(DataError, match="sha256 differs"):
        SmsSpam().unpack(archive.getvalue(), tmp_path / "SMSSpamCollection")
    assert list(tmp_path.iterdir()) == []
    content = b"ham\thello\nspam\tprize\n"
    monkeypatch.setattr(SmsSpam, "sha256", hashlib.sha256(content).hexdigest())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as handle:
        handle.writestr("SMSSpamCollection", content)
    path = SmsSpam().unpack(archive.getvalue(), tmp_path / "data" / "SMSSpamCollection")
    assert path.read_bytes() == content


@pytest.mark.network
def test_the_published_address_still_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHICHTUNE_CACHE", str(tmp_path))
    assert [len(s) for s in load("sms_spam").splits.values()] == [1045, 149, 300]


def test_a_hub_dataset_from_a_local_copy(tmp_path: Path) -> None:
    """The code that reads the Hub, on a folder in the Hub's layout."""
    import datasets

    names = datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    part = datasets.Dataset.from_dict({"text": [f"t{i}" for i in range(20)], "label": [0, 1] * 10}, features=features)
    source = from_datasets(datasets.DatasetDict({"train": part, "test": part}), DataSettings(source="x/y"))
    assert set(source.tables["train"]["label"]) == {"neg", "pos"}
    part.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    read = read_hub(DataSettings(source=str(tmp_path)))
    assert len(read.tables["train"]) == 20


BAD = {
    "no such file": ("missing.csv", {}, "There is no data file"),
    "unknown name": ("sms_spm", {}, "did you mean 'sms_spam'"),
    "unknown named copy": ("sms=a.csv", {}, "named data set 'sms'"),
    "no text column": ("a,b\n1,2\n", {}, "no usual text column"),
    "wrong column": ("text,label\nx,a\n", {"text_column": "txt"}, "did you mean 'text'"),
    "one class": ("text,label\n" + "".join(f"t{i},a\n" for i in range(20)), {}, "one class only"),
    "empty text": ("text,label\nx,a\n  ,b\n", {}, "Row 2 of .* empty text"),
    "empty label": ("text,label\nx,a\ny,\n", {}, "Row 2 of .* empty label"),
    "rare class": ("text,label\n" + "".join(f"t{i},a\n" for i in range(20)) + "t,b\n", {}, "'b' has 1 example"),
    "no splits given": ("text,label\nx,a\ny,b\n", {"split": "given"}, "gives no splits"),
    "empty file": ("", {}, "cannot be read as csv"),
    "not the sms set": ("text,label\nx,a\n", {"sms": True}, "not the SMS Spam Collection"),
    "strange split": ("text,label,s\nx,a,train\ny,b,tset\n", {"split_column": "s"}, "names a split 'tset'"),
    "wrong reference": ("text,label\nx,a\ny,b\n", {"split": "reference"}, "labels 'ham' and 'spam'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_gets_one_sentence(tmp_path: Path, case: str) -> None:
    content, keys, words = BAD[case]
    keys = dict(keys)
    if "\n" in content or content == "":
        file = tmp_path / "bad.csv"
        file.write_text(content, encoding="utf-8")
        source = f"sms_spam={file}" if keys.pop("sms", False) else str(file)
    else:
        source = content
    with pytest.raises((DataError, UnknownNameError), match=words) as caught:
        load(source, **keys)
    assert "\n" not in str(caught.value)


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\ncafé,a\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        load(tmp_path / "a.csv")


def test_label_unseen_in_train(tmp_path: Path) -> None:
    for name, label in {"train": "b", "validation": "a", "test": "c"}.items():
        pd.DataFrame({"text": ["x", "y"], "label": ["a", label]}).to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(DataError, match="'c' occurs in test but not in train"):
        load(tmp_path)


def test_texts_over_the_context_are_cut_and_special_tokens_kept(minilm: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from whichtune.data.encoding import encode

    ROWS.assign(text=ROWS["text"] + " and a few words more").to_csv(tmp_path / "a.csv", index=False)
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    encoded = encode(
        load(tmp_path / "a.csv"),
        tokenizer,
        context_length=5,
        max_length=512,
        padding="dynamic",
        attend_to_padding=False,
    )
    test = encoded.splits["test"]
    assert test.truncated == 8
    assert all(len(ids) == 5 and ids[-1] == tokenizer.sep_token_id for ids in test.tokens)


def test_no_padding_token(mail: Path) -> None:
    from transformers import AutoTokenizer

    from whichtune.data.encoding import encode
    from whichtune.embedded import model_path

    tokenizer = AutoTokenizer.from_pretrained(model_path())
    tokenizer.pad_token = None
    with pytest.raises(WhichtuneError, match="padding=none"):
        encode(
            load(mail), tokenizer, context_length="longest", max_length=None, padding="dynamic", attend_to_padding=False
        )


def test_named_sets_have_titles() -> None:
    assert all(entry.title for entry in NAMED_SETS.values())
