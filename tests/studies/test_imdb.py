"""The IMDB study: its settings and figures, what is said of a smaller copy, and its curves beside the published."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from realdata import shared
from whichtune.compare import Result, prepare
from whichtune.data.named import NAMED_SETS, SplitFolder
from whichtune.data.splits import load_dataset
from whichtune.published.claims import check_published, load_published
from whichtune.published.presets import load_preset, row_in_full, rows_of
from whichtune.published.reproduce import reproduce, reproduction_study
from whichtune.records.store import StudyFolder
from whichtune.report.drawing.kinds import Curves
from whichtune.report.figures import all_figures
from whichtune.report.reproduction import heading, reproduction_rows, reproduction_table
from whichtune.report.write import load_view
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import Study

SHEET = Path(__file__).resolve().parents[3] / "shared" / "published" / "imdb-feature-extraction-vs-lora.md"
ROWS = ["row 1, feature extraction", "row 2, LoRA on c_fc and c_proj"]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first words of a few real reviews, as a folder of train, validation and test files."""
    folder = tmp_path_factory.mktemp("imdb")
    for split, n in (("train", 40), ("validation", 20), ("test", 30)):
        frame = pd.read_csv(shared(f"data/imdb/{split}.csv.gz"))
        frame = pd.concat([frame[frame["label"] == label].head(n // 2) for label in (0, 1)])
        frame = frame.assign(text=[" ".join(text.split()[:25]) for text in frame["text"]])
        frame.to_csv(folder / f"{split}.csv", index=False)
    return folder


def on_embedded(reviews: Path, **changes: Any) -> Study:
    return reproduction_study("imdb", **{"data": str(reviews), "model": "embedded", "device": "cpu", **changes})


@pytest.fixture(scope="module")
def made(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Both rows on the embedded model, points every 2 steps; what 500 steps of warm-up are here is told."""
    study = on_embedded(reviews, assignments=["evaluation_interval=1", "head_only.batch_size=16"])
    return reproduce(study, tmp_path_factory.mktemp("imdb-out") / "out", threads=1)


def test_the_published_settings() -> None:
    study = load_preset("imdb")
    assert [entry.label for entry in rows_of(study).values()] == ROWS
    one, two = (row_in_full(study, number) for number in (1, 2))
    shared_settings = {"learning_rate": 1e-4, "weight_decay": 0.01, "epochs": 5, "warmup_steps": 500}
    for shown in (one, two):
        assert {key: shown["settings"][key] for key in shared_settings} == shared_settings
        assert shown["settings"]["schedule"] == "constant"
        assert shown["model"] == "openai-community/gpt2"
    assert (one["settings"]["batch_size"], one["settings"]["accumulation_steps"]) == (64, 1)
    assert (two["settings"]["batch_size"], two["settings"]["accumulation_steps"]) == (16, 8)
    assert two["settings"]["precision"] == "fp16"
    assert two["method_settings"]["lora_targets"] == ["c_fc", "c_proj"]


def test_the_published_steps_can_be_reached() -> None:
    """On 25,000 reviews less a twentieth, both rows come to the steps at which losses were published."""
    from whichtune.study.spec import RunSpec
    from whichtune.training.trainer import steps_in_total

    study, facts = load_preset("imdb"), load_published("imdb")
    assert study.data.validation_fraction == 0.05
    for number in (1, 2):
        shown = row_in_full(study, number)["settings"]
        spec = RunSpec(label="x", data=study.data, model="m", method="full", **{**shown, "token_position": "last"})
        losses = facts.row(number).training_loss
        assert losses is not None
        assert all(step % shown["evaluation_interval"] == 0 for step in losses)
        assert steps_in_total(23_750, spec) >= max(losses)
        assert steps_in_total(23_750, spec) == {1: 1860, 2: 930}[number]


def test_figures_are_those_of_the_fact_sheet() -> None:
    if not SHEET.is_file():
        pytest.skip("the fact sheet lies outside the project and is not here")
    text = SHEET.read_text(encoding="utf-8")
    facts = load_published("imdb")
    accuracy, f1 = (
        [100 * float(number) for number in re.findall(r"0\.\d+", line)]
        for line in text.splitlines()
        if line.startswith(("| test accuracy", "| test F1"))
    )
    assert [row.test for row in facts.rows] == pytest.approx(accuracy)
    assert [row.f1_macro for row in facts.rows] == pytest.approx(f1)
    curves = re.findall(r"^Training loss,.*(?:\n[\d. ]+)?", text, re.MULTILINE)
    for row, said in zip(facts.rows, curves, strict=True):
        assert row.training_loss is not None
        assert list(row.training_loss.values()) == [float(n) for n in re.findall(r"\d\.\d{4}", said)]
    assert facts.rows[1].steps == 927
    assert "927 (logged every 300)" in text


def test_the_counts_alone_show_the_claim() -> None:
    check = check_published("imdb")
    (claim,) = check.claims
    assert claim.answer == "shown"
    assert claim.time_ratio is None
    assert "25,000 test reviews" in check.summary
    assert "- (claimed 2)" in check.claim_table()[1][0]
    assert [load_published("imdb").right(number) for number in (1, 2)] == [20358, 23213]


@pytest.mark.slow
def test_a_small_copy_runs_and_is_no_reproduction(made: Result) -> None:
    assert {run["status"] for run in made.summary.to_json()["runs"]} == {"completed"}
    (said,) = heading(made.summary)
    assert said.startswith("This is not a reproduction of the published figures: ")
    assert "the local copy has 40 + 20 training and 30 test examples, not 25,000 and 25,000, used whole" in said
    assert "the model is 'embedded'" in said
    assert f"it runs in float32, since fp16 needs CUDA ({ROWS[1]})" in said
    assert said.count("the model is") == 1
    for row, facts in zip(reproduction_rows(made.summary), load_published("imdb").rows, strict=False):
        assert row.target == facts.test
        assert row.agrees is None
    header, cells = reproduction_table(made.summary)
    assert header[-2:] == ["macro F1 %", "optimiser steps"]
    assert cells[0][-1] == "15 (1,500)"  # 40 texts, batch 16, 5 epochs
    assert cells[1][-1] == "5 (927)"
    text = (made.folder / "reproduction.md").read_text(encoding="utf-8")
    assert "with 30 test reviews one review is 3.3 points" in text
    assert "Warm-up takes 15 of 15 steps (100 %)" in made.to_markdown()


@pytest.mark.slow  # a study of its own
def test_the_losses_stand_beside_the_published_curve(made: Result) -> None:
    folder = StudyFolder(made.folder)
    figures = {figure.name: figure for figure in all_figures(load_view(folder), folder)}
    figure = figures["published-loss"]
    assert isinstance(figure, Curves)
    assert [panel.title for panel in figure.panels] == ROWS
    measured, published = figure.panels[1].lines
    assert published.points == [(300, 0.6949), (600, 0.2642), (900, 0.2135)]
    assert [step for step, _ in measured.points] == [1, 2, 3, 4, 5]
    assert figure.data.rows[0] == [ROWS[0], "100", "1.0874", "–"]
    page = (made.folder / "report.html").read_text(encoding="utf-8")
    assert "Training loss beside the published one" in page
    assert 'class="curve c-' in page
    assert " published" in page


def test_a_full_copy_is_the_published_data(tmp_path: Path) -> None:
    """Rows are counted and nothing more: a local copy may be stored in another form."""
    for split, n in (("train", 23_750), ("validation", 1_250), ("test", 25_000)):
        pd.DataFrame({"text": [f"{split} {i}" for i in range(n)], "label": [i % 2 for i in range(n)]}).to_csv(
            tmp_path / f"{split}.csv", index=False
        )
    assert NAMED_SETS["imdb"].differs(tmp_path) is None
    study = reproduction_study("imdb", data=str(tmp_path), rows=[1], device="cpu")
    assert study.published is not None
    assert study.published["rows"][ROWS[0]]["reproduced"] is True
    both = reproduction_study("imdb", device="cpu")
    assert both.data.source == "imdb"  # from the Hub, whose data are the published ones
    assert both.published is not None
    assert [both.published["rows"][label]["why_not"] for label in ROWS] == [
        None,
        "it runs in float32, since fp16 needs CUDA",
    ]


def test_other_data_stay_other_data(mail: Path, reviews: Path) -> None:
    study = reproduction_study("imdb", data=str(mail), rows=[1], device="cpu")
    assert study.data.source == str(mail)
    assert study.published is not None
    assert study.published["rows"][ROWS[0]]["why_not"] == f"the data are '{mail}'"
    assert reproduction_study("imdb", data=f"imdb={reviews}", rows=[1], device="cpu").data.source == f"imdb={reviews}"


def test_what_is_set_wins_over_a_rows_own_settings(reviews: Path) -> None:
    study = on_embedded(reviews, assignments=["batch_size=4", "lora.precision=bf16", "lora_rank=2"])
    specs = {spec.label: spec for spec in prepare(study)[0].specs if spec.seed is not None}
    assert {spec.batch_size for spec in specs.values()} == {4}
    assert specs[ROWS[0]].precision == "float32"
    assert specs[ROWS[1]].precision == "bf16"
    assert specs[ROWS[1]].method_settings["lora_rank"] == 2
    assert specs[ROWS[1]].accumulation_steps == 8  # what was not set stays
    assert study.published is not None
    assert "settings were changed (batch_size=4, lora.precision=bf16" in study.published["rows"][ROWS[1]]["why_not"]
    assert "fp16 needs CUDA" not in study.published["rows"][ROWS[1]]["why_not"]
    sms = reproduction_study("sms-spam", rows=[2, 13], assignments=["context_length=50"])
    assert [entry.settings.get("context_length") for entry in sms.runs] == [None, None]
    assert sms.settings["context_length"] == 50


def test_one_row_alone(reviews: Path) -> None:
    study = on_embedded(reviews, rows=[2])
    assert [entry.label for entry in study.runs] == ROWS[1:]
    assert study.pairs == []


def test_a_dry_run_runs_nothing(reviews: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from whichtune.cli.app import app

    line = f"reproduce imdb --data {reviews} --model embedded --device cpu --dry-run --out {tmp_path / 'out'}"
    done = CliRunner().invoke(app, shlex.split(line))
    assert done.exit_code == 0, done.output
    assert all(label in done.output for label in ROWS)
    assert "Nothing was run." in done.output
    assert not (tmp_path / "out").exists()
    # A model that is nowhere has no prediction, but a reason.
    lost = CliRunner().invoke(app, shlex.split(line.replace("embedded", "./nowhere/gpt2")))
    assert lost.exit_code == 0, lost.output
    assert "There is no model folder './nowhere/gpt2'" in lost.output


@pytest.fixture(scope="module")
def hub_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Hub holds, in small: train and test with class labels, a split without labels, no validation."""
    import datasets

    folder = tmp_path_factory.mktemp("hub") / "plain_text"
    folder.mkdir()
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    for split, n, label in (("train", 100, None), ("test", 60, None), ("unsupervised", 10, -1)):
        rows = {"text": [f"{split} review {i}" for i in range(n)], "label": [label or i % 2 for i in range(n)]}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder.parent


def test_the_hubs_splits_and_validation_from_train(
    hub_layout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    named = NAMED_SETS["imdb"]
    assert isinstance(named, SplitFolder)
    monkeypatch.setattr(named, "hub_id", str(hub_layout))
    study = load_preset("imdb")
    dataset = load_dataset(study.data)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 95, "validation": 5, "test": 60}
    assert dataset.labels == ["neg", "pos"]
    assert all(text.startswith("train") for name in ("train", "validation") for text in dataset.splits[name].texts)
    assert all(text.startswith("test") for text in dataset.splits["test"].texts)
    again = load_dataset(study.data)
    assert (dataset.splits["validation"].ids, dataset.fingerprint) == (
        again.splits["validation"].ids,
        again.fingerprint,
    )


@pytest.mark.network
def test_imdb_from_the_hub() -> None:
    dataset = load_dataset(DataSettings(source="imdb", validation_fraction=0.05))
    assert [len(split) for split in dataset.splits.values()] == [23_750, 1_250, 25_000]
    assert dataset.labels == ["neg", "pos"]


# -- imdb-tuned -----------------------------------------------------------------------------------


def tuned(reviews: Path, model: Path | str, **changes: Any) -> Study:
    return reproduction_study("imdb-tuned", **{"data": str(reviews), "model": str(model), "device": "cpu", **changes})


def test_what_the_author_wanted(reviews: Path) -> None:
    """Rank 16, attention among the targets, early stopping on the validation accuracy, a short warm-up; rates alone are
    searched, and a step has as many texts as the published one."""
    from whichtune.tuning.search import searched_lines

    study = tuned(reviews, "embedded")
    specs = [spec for spec in prepare(study)[0].specs if spec.role == "run"]
    assert [spec.method for spec in specs[::3]] == ["head_only", "lora", "lora", "last_block", "full", "lora"]
    assert {spec.seed for spec in specs} == {0, 1, 2}
    stopping = {(spec.early_stopping, spec.warmup_ratio, spec.warmup_steps) for spec in specs}
    assert stopping == {("accuracy", 0.06, None)}
    ranks = {(s.method_settings["lora_rank"], s.method_settings["lora_targets"]) for s in specs if s.method == "lora"}
    assert ranks == {(16, "mlp"), (16, "all_linear"), (8, "all_linear")}
    assert [spec.batch_size * spec.accumulation_steps for spec in specs[::3]] == [64, 128, 128, 64, 128, 128]
    assert study.tuning is not None
    assert study.tuning.draws == 6
    assert [set(line.spaces) for line in searched_lines(study)] == [{"learning_rate"}] * 6


def test_the_higher_rank_is_a_pair_in_which_nothing_else_differs(reviews: Path) -> None:
    study = tuned(reviews, "embedded", seeds="0")
    (pair,) = [pair for pair in study.pairs if pair.factor == "lora_rank"]
    assert (pair.claim, pair.published and pair.published.direction) == ("a higher rank would be better", "better")
    specs = {spec.label: spec for spec in prepare(study)[0].specs}
    higher, lower = (specs[label].model_dump(exclude={"label"}) for label in (pair.a, pair.b))
    assert higher["method_settings"].pop("lora_rank") == 16
    assert lower["method_settings"].pop("lora_rank") == 8
    assert higher == lower


@pytest.mark.slow
def test_it_runs_on_an_encoder_and_says_what_a_study_says(reviews: Path, tiny_bert: Path, tmp_path: Path) -> None:
    study = tuned(
        reviews, tiny_bert, rows=[1, 2, 3], seeds="0",
        assignments=["tuning.draws=1", "epochs=1", "context_length=16", "lora_rank=2"],
    )  # fmt: skip
    result = reproduce(study, tmp_path / "out", threads=1)
    runs = {record.label: record for record in result.records if record.role == "run"}
    assert {record.status for record in runs.values()} == {"completed"}
    head, mlp, both = (runs[str(entry.label)].cost.trainable_parameters for entry in study.runs)
    assert head is not None
    assert mlp is not None
    assert both is not None
    width, inner, blocks = 32, 64, 2  # the tiny BERT's
    assert mlp - head == 2 * blocks * 2 * (width + inner)  # rank 2, two layers a block
    assert both - mlp == 2 * blocks * 4 * (width + width)
    assert not (tmp_path / "out" / "reproduction.md").exists()
    assert all(record.stopping is not None for record in runs.values())


def test_rows_keep_the_ranges_of_their_methods(reviews: Path) -> None:
    study = tuned(reviews, "embedded", rows=[4], assignments=["tuning.draws=2"])
    assert study.tuning is not None
    assert (study.tuning.draws, list(study.tuning.spaces)) == (2, ["last_block"])
    assert study.baseline is None
