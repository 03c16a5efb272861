"""Words and tags as they are read: every form, every scheme, and every fault in one sentence."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from command import inside
from made_tags import as_conll, as_jsonl, made_tags, tags_file
from whichtune.data.iob import as_iob2, entities_of, parsed
from whichtune.data.tagged import load_tagged
from whichtune.data.tagged_texts import SentenceFile, sentences_of
from whichtune.metrics.tag_names import tag_names
from whichtune.study.data_settings import DataSettings


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tags_file(tmp_path_factory.mktemp("people"))


def test_every_form_is_read_alike(people: Path, tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    sentences = made_tags(60)
    names = tag_names(["LOC", "PER"])
    lists = [list(zip(*sentence, strict=True)) for sentence in sentences]
    (tmp_path / "a.tsv").write_text(as_conll(sentences, "\tNN\t"), encoding="utf-8")
    (tmp_path / "a.txt").write_text("-DOCSTART- -X- O\n\n# id = 1\n" + as_conll(sentences, " x "), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(as_jsonl(sentences), encoding="utf-8")
    iob1 = [[(w, f"I{t[1:]}" if t != "O" else t) for w, t in sentence] for sentence in sentences]
    (tmp_path / "b.jsonl").write_text(as_jsonl(iob1, "words", "tags"), encoding="utf-8")
    frame = pd.DataFrame({"text": [" ".join(w) for w, _ in lists], "tags": [" ".join(t) for _, t in lists]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.assign(tags=[str(list(t)) for _, t in lists]).to_parquet(tmp_path / "a.parquet")
    numbers = [[names.index(tag) for tag in tags] for _, tags in lists]
    features = Features({"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=names))})
    saved = Dataset.from_dict({"tokens": [list(w) for w, _ in lists], "ner_tags": numbers}, features=features)
    saved.save_to_disk(str(tmp_path / "saved"))
    whole = load_tagged(DataSettings(source=str(people)))
    assert whole.labels == names
    assert not whole.notes
    for form in ("a.tsv", "a.txt", "a.jsonl", "b.jsonl", "a.csv", "a.parquet", "saved"):
        found = load_tagged(DataSettings(source=str(tmp_path / form)))
        assert found.labels == names, form
        for split, part in whole.splits.items():
            assert found.splits[split].texts == part.texts, form
            assert [t.tolist() for t in found.splits[split].tags] == [t.tolist() for t in part.tags], form
        assert any("as IOB1 has it" in note for note in found.notes) == (form == "b.jsonl")


def test_tags_of_other_schemes_are_iob2() -> None:
    def read(tags: str) -> str:
        return " ".join(as_iob2([parsed(tag) for tag in tags.split()]))

    assert read("I-A I-A B-A O I-B I-A") == "B-A I-A B-A O B-B B-A"
    assert read("S-A B-A I-A E-A S-B U-B B-A L-A") == "B-A B-A I-A I-A B-B B-B B-A I-A"
    assert read("B I O B") == "B I O B"
    assert [parsed(tag) for tag in ("NN", "X-PER", "B-", "BPER", "o", "", "B-a b", "-")] == [None] * 8
    assert entities_of(["New", "York", "is", "x"], ["B-LOC", "I-LOC", "O", "B"]) == [
        ("New York", "LOC"),
        ("x", "entity"),
    ]


def test_drawn_splits_have_every_type_in_train_and_documents_can_stay_whole(tmp_path: Path) -> None:
    rare = [("one", "B-RARE"), ("kind", "I-RARE")]
    sentences = [*made_tags(60), rare]
    parts = [f"-DOCSTART- O\n\n{as_conll(sentences[start : start + 5])}\n" for start in range(0, 61, 5)]
    (tmp_path / "a.conll").write_text("\n".join(parts), encoding="utf-8")
    settings = DataSettings(source=str(tmp_path / "a.conll"))
    for seed in range(4):
        found = load_tagged(settings.model_copy(update={"split_seed": seed}))
        assert found.types == ["LOC", "PER", "RARE"]
        assert found.splits["train"].labels.any(axis=0).all()
        small = load_tagged(settings.model_copy(update={"split_seed": seed, "train_size": 8}))
        assert small.splits["train"].labels.any(axis=0).all()
        assert len(small.splits["train"]) == 8
        whole = load_tagged(settings.model_copy(update={"split_seed": seed, "group_column": "document"}))
        documents = [{int(row) // 5 for row in part.ids} for part in whole.splits.values()]
        assert sum(map(len, documents)) == len(set().union(*documents))


GOOD = as_conll(made_tags(20))
ODD = {
    "no tag": (GOOD.replace("no O\n", "no\n", 1), "Line 8 of a.conll has one column"),
    "columns": (GOOD.replace(" O\n", " x O\n", 1), "has 3 columns, and the first line has 2"),
    "prefix": (GOOD.replace("B-LOC", "LOC", 1), "has the tag 'LOC': write O, B-TYPE"),
    "no entity": (
        "\n".join(line.split(" ")[0] + " O" if line else "" for line in GOOD.split("\n")),
        "no entity to find",
    ),
    "empty": ("\n\n", "holds no sentence"),
    "too few": (as_conll(made_tags(4)), "4 rows are too few"),
}
LISTS = {
    "lengths": ('{"tokens": ["a", "b"], "tags": ["O"]}', "Row 21 of a.jsonl has 2 words and 1 tag"),
    "numbers": ('{"tokens": ["a"], "tags": [3]}', "has the number 3 for a tag"),
    "no words": ('{"tokens": [], "tags": []}', "Row 21 of a.jsonl has no word"),
    "a list": ('{"tokens": [["a"]], "tags": ["O"]}', "has a list for a word"),
    "a tag": ('{"tokens": ["a"], "tags": ["per"]}', "Row 21 of a.jsonl has the tag 'per' (column 'tags')"),
}


@pytest.mark.parametrize("case", [*ODD, *LISTS])
def test_odd_tags_are_one_sentence(tmp_path: Path, case: str) -> None:
    name = "a.conll" if case in ODD else "a.jsonl"
    content, sentence = ODD.get(case) or LISTS[case]
    if case in LISTS:
        content = as_jsonl(made_tags(20), "tokens", "tags") + content + "\n"
    (tmp_path / name).write_text(content, encoding="utf-8")
    said = inside("compare", "--task", "tagging", "--data", name, "--dry-run", cwd=tmp_path, code=2).stderr
    assert sentence in said
    assert said.count("\n") == 1


def test_a_type_that_train_lacks_is_refused(tmp_path: Path) -> None:
    for split, seed in (("train", 0), ("validation", 1), ("test", 2)):
        text = as_conll(made_tags(8, seed)) + ("\nx B-ODD\n" if split == "test" else "")
        (tmp_path / f"{split}.conll").write_text(text, encoding="utf-8")
    said = inside("compare", "--task", "tagging", "--data", str(tmp_path), "--dry-run", code=2).stderr
    assert "Entities of the type 'ODD' occur in test but not in train" in said


def test_tagged_words_are_for_this_task_alone(people: Path) -> None:
    assert "say --task tagging" in inside("compare", "--data", str(people), "--dry-run", code=2).stderr
    assert "say --task tagging" in inside("compare", "--data", "booked_trips", "--dry-run", code=2).stderr
    words = ["compare", "--task", "tagging", "--data", "messages", "--dry-run"]
    assert "has labels, for classification" in inside(*words, code=2).stderr


def test_new_sentences_are_read_in_every_form(tmp_path: Path) -> None:
    forms = {
        "a.conll": "Anna\nLee\n\nBen\n",
        "b.conll": "Anna x B-PER\nLee x I-PER\n\nBen x B-PER\n",
        "c.txt": "Anna B-PER\nLee I-PER\n\nBen O\n",
        "d.txt": "Anna  Lee\nBen\n",
        "e.jsonl": '{"tokens": ["Anna", "Lee"]}\n{"tokens": ["Ben"]}\n',
        "f.csv": "text,x\nAnna Lee,1\nBen,2\n",
    }
    for name, content in forms.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        assert sentences_of(tmp_path / name, None) == ["Anna Lee", "Ben"], name
        pieces = list(SentenceFile(tmp_path / name, None, whole=1).pieces(1))  # of a long one
        assert pieces == [["Anna Lee"], ["Ben"]], name


def test_blanks_within_words_are_filled_and_told(tmp_path: Path) -> None:
    lines = as_jsonl(made_tags(20)) + '{"tokens": ["New York", "", "\\u00a0x"], "ner_tags": ["B-LOC", "O", "O"]}\n'
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    found = load_tagged(DataSettings(source=str(tmp_path / "a.jsonl")))
    assert any("New_York _ x" in part.texts for part in found.splits.values())
    assert any("In 3 words of a.jsonl a blank stands" in note for note in found.notes)


def test_a_type_with_few_test_sentences_is_told(tmp_path: Path) -> None:
    notes = load_tagged(DataSettings(source=str(tags_file(tmp_path, rows=20)))).notes
    assert any("types of entities stand in fewer than 5 test sentences: 'LOC' and 'PER'" in note for note in notes)
