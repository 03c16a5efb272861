"""The one table of metrics: what is entered there is everywhere, and its figures are right."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from report.made_studies import MadeStudy
from report.made_texts import made_texts
from whichtune.cli.summary import print_summary
from whichtune.cli.terminal import print_run
from whichtune.expansion.assemble import assemble_study
from whichtune.metrics import METRICS, Metric, add_metric
from whichtune.metrics.confusion import (
    confusion,
    f1_influence,
    f1_macro_of_confusion,
    jackknife_influence,
    occupied_cells,
)
from whichtune.records.record import Metrics, RunRecord, TextMetrics
from whichtune.records.store import StudyFolder
from whichtune.report.loggers import figures, scalars
from whichtune.report.view import View
from whichtune.report.write import load_summary, write_report

FloatArray = NDArray[np.float64]


def mean_recall_of(counts: NDArray[np.int64]) -> FloatArray:
    """The mean recall of the classes that have examples."""
    counts = np.asarray(counts, dtype=np.float64)
    actual = counts.sum(axis=-1)
    recall = np.divide(np.diagonal(counts, axis1=-2, axis2=-1), actual, out=np.zeros_like(actual), where=actual > 0)
    share: FloatArray = recall.sum(axis=-1) / (actual > 0).sum(axis=-1)
    return share


def share_of_length(written: Sequence[str], references: Sequence[str]) -> FloatArray:
    """The length of what was written as a share of the reference's, at most 1."""
    return np.array([min(1.0, len(text) / len(wanted)) for text, wanted in zip(written, references, strict=True)])


def entered(metric: Metric) -> Iterator[Metric]:
    with METRICS.restored():
        add_metric(metric)
        yield metric


@pytest.fixture
def balanced() -> Iterator[Metric]:
    yield from entered(
        Metric(
            "mean_recall",
            "mean recall",
            "classes",
            of_confusion=mean_recall_of,
            splits=("test", "validation"),
        )
    )


@pytest.fixture
def length_share() -> Iterator[Metric]:
    yield from entered(Metric("length_share", "length", "texts", of_texts=share_of_length, resampling="mean"))


def judged(folder: Path, primary: str) -> StudyFolder:
    study = MadeStudy(folder, primary_metric=primary)
    study.add("head_only", 0.6, method="head_only", seconds=2)
    study.add("lora", 0.92)
    return study.finish()


def terminal(folder: StudyFolder) -> str:
    screen = Console(file=io.StringIO(), width=400)
    print_summary(load_summary(folder), screen)
    run = load_summary(folder).runs[0]
    print_run(run, folder.curves(run.run_id), screen)
    return screen.file.getvalue()  # type: ignore[attr-defined]


def test_a_class_metric_of_the_table_is_right(balanced: Metric) -> None:
    from sklearn.metrics import balanced_accuracy_score

    random = np.random.default_rng(5)
    truth, said = random.integers(0, 4, 300), random.integers(0, 4, 300)
    assert balanced.of_classes(truth, said, 4) == pytest.approx(balanced_accuracy_score(truth, said))


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_accuracy_and_f1_are_those_of_scikit_learn(classes: int) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    random = np.random.default_rng(classes)
    truth, said = random.integers(0, classes, 200), random.integers(0, classes, 200)
    f1 = f1_score(truth, said, labels=range(classes), average="macro", zero_division=0)
    assert METRICS["accuracy"].of_classes(truth, said, classes) == pytest.approx(accuracy_score(truth, said))
    assert METRICS["f1_macro"].of_classes(truth, said, classes) == pytest.approx(f1)


def test_a_class_that_a_split_does_not_have_counts_in_no_mean() -> None:
    """Two of three classes, all right: 100 %, as scikit-learn has it."""
    from sklearn.metrics import f1_score

    f1 = METRICS["f1_macro"]
    truth = np.array([0, 1, 1, 0])
    assert f1.of_classes(truth, truth, 3) == 1.0
    random = np.random.default_rng(2)
    truth, said = random.integers(0, 3, 60), random.integers(2, 5, 60)
    assert f1.of_classes(truth, said, 9) == pytest.approx(f1_score(truth, said, average="macro"))
    counts = confusion(truth, said, 9)
    influence = f1.influence_of(counts)
    assert (influence * counts).sum() == pytest.approx(0, abs=1e-9)
    present = counts[:5, :5]
    np.testing.assert_allclose(influence[:5, :5], f1.influence_of(present))
    cells = occupied_cells(truth, said, 9)
    assert f1.counted_in(cells, cells.counts) == pytest.approx(f1.of_classes(truth, said, 9))


def test_leaving_one_example_out_agrees_with_the_derivative_of_f1() -> None:
    random = np.random.default_rng(11)
    truth = random.integers(0, 3, 6_000)
    said = np.where(random.random(6_000) < 0.8, truth, random.integers(0, 3, 6_000))
    counts = confusion(truth, said, 3)
    plain, by_leaving_out = f1_influence(counts), jackknife_influence(f1_macro_of_confusion, counts)
    np.testing.assert_allclose(by_leaving_out, plain, atol=2e-3)


def test_an_entered_class_metric_is_in_record_tables_page_statistics_and_loggers(
    balanced: Metric, tmp_path: Path
) -> None:
    folder = judged(tmp_path, balanced.name)
    run = load_summary(folder).runs[0]
    assert isinstance(run.metrics.test, Metrics)
    value = run.metrics.test.value(balanced.name)
    assert value is not None
    stored = folder.read_run(run.run_id)
    assert stored is not None
    assert stored.metrics == run.metrics
    report = write_report(folder, figures=False)
    table, page = (folder.path / "table.md").read_text("utf-8"), report.page.read_text("utf-8")
    header = table.splitlines()[0]
    assert "| test macro F1 % | test mean recall % | test loss | validation accuracy % |" in header
    assert "| validation mean recall % |" in header
    assert "Primary metric: mean recall." in table
    rows = list(csv.DictReader((folder.path / "table.csv").open(encoding="utf-8", newline="")))
    assert float(rows[0]["test_mean_recall"]) == value
    assert ">test mean recall %<" in page
    assert "Test mean recall, every seed" in page
    assert "Mean recall over training" in page
    assert "test mean recall " in " ".join(terminal(folder).split())
    assert figures(run)["final/test_mean_recall"] == value
    assert "validation/mean_recall" in scalars(folder.curves(run.run_id)[0])


def test_statistics_judge_by_an_entered_class_metric(balanced: Metric, tmp_path: Path) -> None:
    view = View(load_summary(judged(tmp_path, balanced.name)))
    assert view.metric == balanced.name
    assert view.verdict is not None
    assert view.verdict.metric == balanced.name
    assert all(low < high for low, high in view.intervals.values())
    assert len(view.intervals) == 2
    for run in view.summary.intervals.runs:
        low, high = run.intervals[balanced.name] or (1.0, 0.0)
        assert low < run.figures[balanced.name] < high
    (pair,) = view.comparisons
    assert (pair.a, pair.b, pair.metric, pair.verdict) == ("lora", "head_only", balanced.name, "better")
    assert pair.p_adjusted is not None


def test_an_entered_text_metric_is_everywhere_too(length_share: Metric, tmp_path: Path) -> None:
    folder = made_texts(tmp_path, length_share.name)
    summary = load_summary(folder)
    test = summary.runs[0].metrics.test
    assert isinstance(test, TextMetrics)
    assert test.value(length_share.name) is not None
    report = write_report(folder, figures=False)
    header = (folder.path / "table.md").read_text("utf-8").splitlines()[0]
    assert "| test ROUGE-Lsum % | test length % | test loss | test perplexity |" in header
    assert ">test length %<" in report.page.read_text("utf-8")
    assert "The number is ROUGE-L in percent." in report.page.read_text("utf-8")
    assert "test_length_share" in (folder.path / "table.csv").read_text("utf-8").splitlines()[0]
    assert f"final/test_{length_share.name}" in figures(summary.runs[0])
    (pair,) = summary.comparisons
    assert (pair.metric, pair.verdict) == (length_share.name, "better")
    assert View(summary).intervals.keys() == {"lora", "full"}


def test_an_entered_metric_can_be_set_as_the_primary_one(balanced: Metric) -> None:
    wanted = [f"primary_metric={balanced.name}"]
    study = assemble_study(None, None, None, None, None, "head_only,lora", None, wanted, None, None)
    assert study.primary_metric == balanced.name


def test_a_record_refuses_a_figure_that_is_no_number(balanced: Metric, tmp_path: Path) -> None:
    record = judged(tmp_path, balanced.name).read_run(f"{0:016x}")
    assert record is not None
    broken = record.model_dump(mode="json")
    broken["metrics"]["test"][balanced.name] = "high"
    with pytest.raises(ValueError, match="mean_recall"):
        RunRecord.model_validate(broken)
