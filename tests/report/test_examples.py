"""The page's examples: what its script reads is what was predicted, who has a say, which texts are carried."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from report.carried import Carried, carried
from report.conftest import by_id, page
from report.made_answers import SureStudy, many, words
from report.made_texts import made_texts
from whichtune.records.store import StudyFolder
from whichtune.report import packed
from whichtune.report.answered import Answered, RowAnswers, RunAnswers
from whichtune.report.classes import MOST_SIGNS, classes_section
from whichtune.report.examples import examples_section, packed_answers
from whichtune.report.matrices import class_matrix, confusion_matrices
from whichtune.report.samples import Line, RowTexts, packed_rows
from whichtune.report.write import load_view, write_report


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., StudyFolder]:
    """A study of `many` with its page, made once for the same wishes."""
    there: dict[str, StudyFolder] = {}

    def get(**wishes: Any) -> StudyFolder:
        key = str(wishes)
        if key not in there:
            there[key] = many(tmp_path_factory.mktemp("many"), **wishes)
            write_report(there[key], figures=False)
        return there[key]

    return get


def section(folder: StudyFolder) -> str:
    """The section alone, without the page's figures."""
    found = examples_section(load_view(folder), folder)
    assert found is not None
    return str(found.html)


def answers(folder: StudyFolder) -> dict[str, np.ndarray]:
    """Each row's predictions `(S, E)`, in the order of the test split."""
    found: dict[str, list[np.ndarray]] = {}
    for run in folder.read_json("summary.json")["runs"]:
        found.setdefault(run["label"], []).append(folder.predictions(run["run_id"])["prediction"].to_numpy())
    return {label: np.stack(runs) for label, runs in found.items()}


def truth(folder: StudyFolder) -> np.ndarray:
    return folder.examples()["label"].to_numpy()


@pytest.mark.parametrize("classes", [3, 300])
def test_the_script_reads_what_was_predicted(tmp_path, classes):
    """Every run's answers, confidences and probabilities of the true class, to half a percent."""
    folder = many(tmp_path, n=60, classes=classes)
    found = Carried(section(folder))
    runs = folder.read_json("summary.json")["runs"]
    assert [row["label"] for row in found.meta["rows"]] == ["row 0", "row 1", "row 2", "from nothing", "majority"]
    assert found.meta["ids"] == [f"t{i}" for i in range(60)]
    assert found.meta["texts"] == list(folder.examples()["text"])
    for number, run in enumerate(runs):
        table = folder.predictions(run["run_id"])
        shares = softmax(np.stack(table["logits"].to_list()), axis=1)
        every = np.arange(len(table))
        assert list(found.answers(number)) == list(table["prediction"])
        assert np.abs(found.confidence(number) - 100 * shares[every, table["prediction"]]).max() <= 0.51
        assert np.abs(found.of_truth(number) - 100 * shares[every, table["label"]]).max() <= 0.51


def test_runs_without_probabilities_say_so(made, tmp_path):
    """As those of an earlier version, which kept no logits."""
    folder = StudyFolder(shutil.copytree(made("ordinary").path, tmp_path / "s"))
    for file in folder.path.glob("runs/*/predictions.parquet"):
        pd.read_parquet(file).assign(logits=None).to_parquet(file)
    write_report(folder, figures=False)
    found = Carried(page(folder))
    assert set(found.confidence(0)) == {255}
    assert set(found.of_truth(0)) == {255}


def test_rows_without_a_say_are_left_out_and_named(written):
    folder = written(n=60, classes=3)
    found = Carried(page(folder))
    assert [row["label"] for row in found.meta["rows"] if row["out"]] == ["from nothing", "majority"]
    assert len(set(answers(folder)["majority"].ravel())) == 1
    shown = page(folder)
    assert "Left out at first, and of what is said of all rows: from nothing and majority (rows with random" in shown
    assert 'name="everyone"' in shown
    told = answers(folder)
    voices = np.concatenate([told[f"row {i}"] for i in range(3)])
    unanimous = int((voices == voices[0]).all(axis=0).sum())
    assert f"On {unanimous} of 60 test examples all 3 rows give the same answer in every seed." in shown


def test_with_one_other_row_nothing_is_left_out(tmp_path):
    folder = many(tmp_path, n=30, rows=1)
    write_report(folder, figures=False)
    assert not any(row["out"] for row in Carried(page(folder)).meta["rows"])
    assert 'name="everyone"' not in page(folder)


def test_texts_that_every_row_gets_wrong_stand_by_confidence(tmp_path):
    """In the static list: two rows that are wrong on three texts, by how sure they are of it."""
    study = SureStudy(tmp_path, n=12)
    for label in ("a", "b"):
        study.add(label, 1.0, seeds=(0, 1))
    sure = {2: 0.7, 5: 0.99, 7: 0.8}
    for record in study.records:
        table = study.folder.predictions(record.run_id)
        for place, share in sure.items():
            wrong = 1 - study.truth[place]
            table.loc[place, "prediction"] = wrong
            scores = np.log([share, 1 - share] if wrong == 0 else [1 - share, share]).astype(np.float32)
            table.at[place, "logits"] = scores
        study.folder.write_run(record, [], table)
    folder = study.finish(verdict=False)
    write_report(folder, figures=False)
    static = re.search(r"<summary>3 that every row gets wrong.*?</details>", page(folder), re.DOTALL)
    assert static is not None
    assert re.findall(r"example (t\d+)", static.group(0)) == ["t5", "t7", "t2"]


def test_churn_counts_texts_whose_answer_changes(written, parsed):
    folder = written(n=60, classes=3)
    table = re.search(r"Churn between seeds, row by row.*?</table>", page(folder), re.DOTALL)
    assert table is not None
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>', table[0])
    told = answers(folder)
    assert [row[0] for row in rows] == ["row 0", "row 1", "row 2"]  # the others have one run
    for label, seeds, changed, share, pairwise in rows:
        each = told[label]
        count = int((each != each[0]).any(axis=0).sum())
        two = np.mean([(each[i] != each[j]).sum() for i in range(3) for j in range(i)])
        assert (seeds, changed, share, pairwise) == ("3", str(count), f"{100 * count / 60:.1f} %", f"{two:.1f}")
        assert count > 0


# -- which texts are carried -----------------------------------------------------------------------------


def test_of_two_thousand_texts_all_are_carried(written):
    found = Carried(page(written(n=2000)))
    assert len(found.meta["ids"]) == 2000
    assert "since a page cannot carry all" not in page(written(n=2000))
    assert len(page(written(n=2000)).encode()) < 3_000_000


def test_of_more_a_stated_sample_is_carried(written, tmp_path):
    """The same one each time: all that every row gets wrong, most of the divided ones, classes by shares."""
    folder = written(n=5000)
    shown, found = page(folder), Carried(page(folder))
    ids = found.meta["ids"]
    assert len(ids) == len(set(ids)) == 2000
    assert len(shown.encode()) < 3_000_000
    told, labels = answers(folder), truth(folder)
    voices = np.concatenate([told[f"row {i}"] for i in range(3)])
    here = np.zeros(5000, dtype=bool)
    here[[int(name[1:]) for name in ids]] = True
    wrong = (voices != labels).all(axis=0)
    divided = (voices != voices[0]).any(axis=0) & ~wrong
    right = ~wrong & ~divided
    assert here[wrong].all()
    assert here[divided].sum() == 2000 - wrong.sum() - here[right].sum()
    assert here[right].sum() == 500  # a quarter is kept for what all get right
    for kind in (divided, right):
        for label in range(3):
            share = (kind & (labels == label)).sum() / kind.sum()
            assert abs((here & kind & (labels == label)).sum() - share * here[kind].sum()) <= 1
    assert (
        f"Of 5,000 test texts 2,000 are here, since a page cannot carry all: all {wrong.sum()} that every row gets "
        f"wrong in every seed; {here[divided].sum():,} of {divided.sum():,} on which answers differ; 500 of "
        f"{right.sum():,} that all get right." in shown
    )
    write_report(folder, figures=False)
    assert Carried(page(folder)).meta == found.meta


def test_long_texts_are_cut_and_that_is_said(written):
    folder = written(n=2500, length=600)
    shown, found = page(folder), Carried(page(folder))
    assert len(shown.encode()) < 3_000_000
    assert len(found.meta["ids"]) == 2000
    longest = max(map(len, found.meta["texts"]))
    whole = dict(zip(folder.examples()["example_id"], folder.examples()["text"], strict=True))
    assert {int(place): len(whole[name]) for place, name in enumerate(found.meta["ids"])} == {
        int(place): length for place, length in found.meta["cut"].items()
    }
    assert f"2,000 of 2,000 texts are cut to their first {longest:,} characters" in shown


def test_three_hundred_runs_150_classes_and_two_thousand_texts_fit_a_page(made):
    """All of them: four runs in five are right, and as sure as if drawn by chance."""
    random = np.random.default_rng(5)
    n, classes = 2000, 150
    truth = random.integers(0, classes, n)

    def run(seed: int) -> RunAnswers:
        sure = (1 - random.exponential(0.15, n)).clip(0.01, 1).astype(np.float32)
        answers = np.where(random.random(n) < 0.8, truth, random.integers(0, classes, n))
        return RunAnswers(seed, answers, sure, np.where(answers == truth, sure, (1 - sure) * random.random(n)))

    rows = [RowAnswers(f"row {i}", [run(seed) for seed in range(3)]) for i in range(100)]
    ids = [f"t{i}" for i in range(n)]
    answered = Answered(ids, truth, rows, [f"intent {c}" for c in range(classes)])
    found = packed_answers(load_view(made("ordinary")), answered, {name: words(random, 25) for name in ids})
    assert len(found.places) == n
    assert len(found.data) <= packed.MOST_SIGNS


def test_matrices_that_a_page_cannot_carry_are_counted(tmp_path):
    view = load_view(many(tmp_path, n=60, classes=150, rows=12, seeds=1))
    drawn = [class_matrix(view), *confusion_matrices(view)]
    html = str(classes_section([figure for figure in drawn if figure is not None]).html)
    shown = html.count('<details class="data confusion"')
    assert 1 <= shown < 14
    assert f"The matrices of {14 - shown} further rows are left out for the page" in html
    assert len(html) < 2 * MOST_SIGNS


def test_a_page_carries_fewer_texts_where_nothing_else_helps():
    """The ladder: texts are cut before any is left out, and some are carried whatever comes."""
    sizes: list[tuple[int, int]] = []

    def build(places: np.ndarray, longest: int) -> str:
        sizes.append((len(places), longest))
        return "x" * len(places) * longest

    few = packed.fitted(np.arange, build, most=10_000)
    assert len(few.data) <= 10_000
    assert [size for size in sizes if size[0] == 2000] == sizes[:5]
    assert (len(few.places), few.longest) == sizes[-1] == (20, 300)
    assert len(packed.fitted(np.arange, build, most=100).places) == 20


# -- texts that were written -----------------------------------------------------------------------------


def test_written_texts_are_carried_with_references_sources_and_scores(tmp_path):
    folder = made_texts(tmp_path)
    write_report(folder, figures=False)
    meta = Carried(page(folder)).meta
    runs = folder.read_json("summary.json")["runs"]
    first = [folder.predictions(run["run_id"]) for run in (runs[0], runs[3])]
    assert [row["label"] for row in meta["rows"]] == ["lora", "full"]
    assert meta["references"] == list(first[0]["reference"])
    assert meta["texts"] == list(folder.examples()["text"])
    for row, table in enumerate(first):
        assert meta["written"][row] == list(table["prediction"])
        assert meta["scores"][row] == [round(100 * score, 1) for score in table["rougeL"]]


def test_long_written_texts_fit_a_page(tmp_path):
    """Of 3,000 texts by three rows those are carried that fit, alike from well and badly written ones."""
    random = np.random.default_rng(2)
    ids = [f"t{i}" for i in range(3000)]
    rows = [
        RowTexts(label, 0, False, {i: Line(words(random, 40), words(random, 40), random.random()) for i in ids})
        for label in ("lora", "full", "head_only")
    ]
    view = load_view(made_texts(tmp_path))
    found = packed_rows(view, rows, {i: words(random, 300) for i in ids}, True)
    assert len(found.data) <= packed.MOST_SIGNS
    assert 500 <= len(found.places) <= 2000
    means = np.array([np.mean([row.lines[i].score for row in rows]) for i in ids])
    assert abs(means[found.places].mean() - means.mean()) < 0.01


# -- without texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [many, made_texts], ids=["classes", "texts"])
def test_a_study_that_keeps_no_texts_shows_ids_and_scores(make: Callable[..., StudyFolder], tmp_path: Path):
    from command import inside

    folder = make(tmp_path)
    texts = set(folder.examples()["text"])
    write_report(folder, figures=False)
    assert set(Carried(page(folder)).meta["texts"]) == texts
    inside("report", str(tmp_path), "--no-figures", "--no-texts")
    shown = page(folder)
    assert "This study keeps no texts (texts: false), so examples stand here by their id." in shown
    meta = Carried(shown).meta
    assert meta["texts"] is None
    assert not meta.get("references")
    assert not meta.get("written")
    assert len(meta["ids"]) == len(texts)
    everything = carried(shown)[0].decode() + shown
    assert not [text for text in texts if text in everything]
    inside("report", str(tmp_path), "--no-figures")  # and so it stays
    assert page(folder) == shown


def test_the_page_is_the_same_for_those_who_read_it_without_script(parsed):
    section = by_id(parsed("ordinary"), "examples")
    form = section.find(".//form")
    assert form.get("hidden") is not None
    assert section.find(".//div[@class='browse-static']").get("hidden") is None
    assert len(section.findall(".//div[@class='browse-static']/ol/li")) == 12
