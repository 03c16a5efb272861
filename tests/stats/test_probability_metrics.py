"""Metrics of probabilities and of costs: against scikit-learn, in intervals and tests, and as primary metrics."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from whichtune.compare import compare, prepare
from whichtune.errors import SettingError
from whichtune.evidence.judge import judge
from whichtune.evidence.stored import read_summary
from whichtune.expansion.assemble import assemble_study
from whichtune.metrics import METRICS
from whichtune.metrics.probabilities import _log_shares
from whichtune.metrics.terms import Classified, Terms
from whichtune.records.record import Metrics
from whichtune.records.store import StudyFolder
from whichtune.records.verify import same_run
from whichtune.report.so_far import summary_of
from whichtune.result import Result
from whichtune.runs.run import run_one
from whichtune.stats.asked import Asked
from whichtune.stats.calibration import confidences, reliability
from whichtune.stats.pairs import compare_scores
from whichtune.stats.scores import figure_scores
from whichtune.study.spec import RunSpec, Study

PINS = Path(__file__).parent.parent / "pins"
COSTS = {"ham": {"spam": 5.0}, "spam": {"ham": 1.0}}
LOWER = ("brier", "ece", "mean_cost", "loss")


def drawn(random: np.random.Generator, n: int, classes: int, ties: bool = False, signal: float = 1.2) -> Classified:
    labels = random.choice(classes, n, p=random.dirichlet(3 * np.ones(classes)))
    logits = random.standard_normal((n, classes))
    logits[np.arange(n), labels] += signal
    logits = np.round(logits) if ties else logits
    return Classified(labels, logits.argmax(axis=1), logits.astype(np.float32), classes)


def each(name: str, given: Classified, terms: Terms | None = None) -> np.ndarray:
    of_each = METRICS[name].of_each
    assert of_each is not None
    return of_each(given, terms or Terms())


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
def test_as_scikit_learn(classes: int, ties: bool) -> None:
    random = np.random.default_rng(classes)
    for _ in range(5):
        given = drawn(random, 80, classes, ties)
        scores, truth = _log_shares(given), np.eye(classes)[given.labels]
        shares = np.exp(scores)
        there = [c for c in range(classes) if 0 < truth[:, c].sum() < 80]
        for name, oracle in (("auroc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)):
            expected = np.mean([oracle(truth[:, c], scores[:, c]) for c in there])
            assert each(name, given).mean() == pytest.approx(expected)
        expected = sk.brier_score_loss(given.labels, shares, labels=range(classes), scale_by_half=True)
        assert each("brier", given).mean() == pytest.approx(expected)
        for recall in (0.5, 0.9, 1.0):
            at = []
            for c in there:
                precision, reached, _ = sk.precision_recall_curve(truth[:, c], scores[:, c])
                at.append(precision[np.flatnonzero(reached[:-1] >= recall - 1e-12)[-1]])
            assert each("precision_at_recall", given, Terms(recall)).mean() == pytest.approx(np.mean(at))
            alone = Terms(recall, positive=there[0])
            assert each("precision_at_recall", given, alone).mean() == pytest.approx(at[0])
        table = random.uniform(0, 9, (classes, classes))
        counts = sk.confusion_matrix(given.labels, given.predictions, labels=range(classes))
        cost = each("mean_cost", given, Terms(costs=tuple(map(tuple, table.tolist()))))
        assert cost.mean() == pytest.approx((counts * table).sum() / 80)


def test_a_class_that_no_text_has_counts_in_no_mean() -> None:
    given = drawn(np.random.default_rng(3), 60, 2)
    wide = Classified(given.labels, given.predictions, np.hstack([given.logits, np.full((60, 1), -99.0)]), 3)  # type: ignore[list-item]
    for name in ("auroc", "average_precision"):
        assert each(name, wide).mean() == pytest.approx(each(name, given).mean())
    same = Classified(np.zeros(5, dtype=np.int64), given.predictions[:5], given.logits[:5], 2)  # type: ignore[index]
    assert each("auroc", same).tolist() == [0.0] * 5


def test_the_calibration_error_is_that_of_the_page() -> None:
    given = drawn(np.random.default_rng(4), 500, 3)
    assert given.logits is not None
    sure = confidences(np.asarray(given.logits, dtype=np.float64))
    page = reliability([(sure, given.predictions == given.labels)])
    assert page is not None
    assert each("ece", given).mean() == pytest.approx(page.error)
    alike = Classified(given.labels, given.predictions, np.tile([0.3, 0.0, 0.0], (500, 1)), 3)
    gap = np.mean(given.predictions == given.labels) - np.exp(0.3) / (np.exp(0.3) + 2)
    assert each("ece", alike).mean() == pytest.approx(abs(gap))  # equally sure answers stand in one bin


@pytest.mark.parametrize("name", ["auroc", "average_precision", "precision_at_recall", "brier", "mean_cost"])
def test_influence_tells_the_noise_of_the_test_set(name: str) -> None:
    """Its normal interval over drawn test sets; `benchmarks/simulate_metrics.py` has more cases and more sets."""
    random = np.random.default_rng(5)
    terms = Terms(0.8, 1, ((0.0, 5.0), (1.0, 0.0)))
    shares = [0.7, 0.3]

    def answered(n: int) -> Classified:
        labels = random.choice(2, n, p=shares)
        logits = random.standard_normal((n, 2))
        logits[np.arange(n), labels] += 1.0
        return Classified(labels, logits.argmax(axis=1), logits, 2)

    truth = each(name, answered(300_000), terms).mean()
    sets, n, held = 200, 400, 0
    for _ in range(sets):
        values = each(name, answered(n), terms)
        held += abs(values.mean() - truth) <= 1.96 * values.std(ddof=1) / np.sqrt(n)
    assert 0.90 <= held / sets <= 0.99


def test_two_methods_of_one_law_are_seldom_told_apart_and_two_of_others_are() -> None:
    random = np.random.default_rng(6)
    found = {0.0: 0, 0.5: 0}
    for gap in found:
        for _ in range(100):
            labels = random.choice(2, 400, p=[0.8, 0.2])
            text = 0.7 * random.standard_normal((400, 2))
            sides = []
            for more in (0.0, gap):
                logits = text + 0.7 * random.standard_normal((3, 400, 2))
                logits[:, np.arange(400), labels] += 1.0 + more + 0.05 * random.standard_normal((3, 1))
                runs = [Classified(labels, one.argmax(axis=1), one, 2) for one in logits]
                sides.append(figure_scores(np.stack([each("auroc", run) for run in runs])))
            p = compare_scores(*sides, None, False, brief=True).p
            found[gap] += p is not None and p <= 0.05
    assert found[0.0] <= 8
    assert found[0.5] >= 60


# -- a study -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    labels = random.choice(["ham", "spam"], 300, p=[0.7, 0.3])
    hints = {"ham": "lunch", "spam": "prize"}
    said = [hints[s] if random.random() < 0.93 else hints["ham" if s == "spam" else "spam"] for s in labels]
    texts = [f"{hint} {random.choice(['now', 'later', 'today'])} number {i}" for i, hint in enumerate(said)]
    file = tmp_path_factory.mktemp("data") / "mail.csv"
    pd.DataFrame({"text": texts, "label": labels}).to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's runs, judged by accuracy."""
    folder = tmp_path_factory.mktemp("made") / "study"
    compare(study_of(source), folder, threads=1)
    return folder


def study_of(source: Path, **keys: Any) -> Study:
    rows = {"data": {"source": str(source)}, "baselines": ["majority", "tfidf_word"]}
    return Study.model_validate({**rows, **keys})


def judged(made: Path, source: Path, into: Path, **keys: Any) -> Result:
    shutil.copytree(made, into)
    found = compare(study_of(source, **keys), into, threads=1)
    assert found.started == 0
    return found


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("average_precision", "ece", "brier")]


@pytest.mark.parametrize("name", ["auroc", "precision_at_recall", "mean_cost", "loss", "mcc", *SLOW])
def test_any_of_them_is_a_studys_primary_metric(name: str, made: Path, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    costs = {"cost_matrix": COSTS} if name == "mean_cost" else {}
    summary = judged(made, source, folder, primary_metric=name, **costs).summary
    metric, rows = METRICS[name], {each.label: each for each in summary.intervals.methods}
    assert all(row.test is not None and row.validation is not None for row in rows.values())
    values = {label: float(row.test or 0.0) for label, row in rows.items()}
    better = (min if name in LOWER else max)(values, key=lambda label: values[label])
    assert metric.higher_is_better == (name not in LOWER)
    verdict = summary.verdict
    assert verdict is not None
    assert (verdict.metric, verdict.leader) == (name, better)
    (pair,) = summary.comparisons
    assert pair.metric == name
    assert pair.verdict in ("better", "undecided")
    assert pair.difference == pytest.approx(metric.scale * (values[pair.a] - values[pair.b]))
    assert pair.interval_90 is not None
    assert pair.p_equivalence is not None
    assert "nan" not in json.dumps(summary.to_json()["verdict"]).lower()
    run = next(each for each in summary.intervals.runs if each.label == "tfidf_word")
    ends = run.loss_interval if name == "loss" else run.intervals[name]
    assert ends is not None
    assert ends[0] < values["tfidf_word"] < ends[1]
    table = (folder / "table.md").read_text(encoding="utf-8")
    sign = " %" if metric.unit == "points" else ""
    assert f"| test {metric.title}{sign} |" in table
    assert f"| validation {metric.title}{sign} |" in table
    others = [other for other in METRICS.values() if other.on_request and other.name != name]
    assert not any(f"| test {other.title}" in table for other in others)
    line = next(csv.DictReader((folder / "table.csv").open(encoding="utf-8", newline="")))
    assert float(line[f"test_{name}"]) == pytest.approx(values["majority"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"Test {metric.title}, every seed" in page
    frame = summary_of(StudyFolder(folder))
    assert frame.verdict is not None
    assert [warning for warning in frame.verdict.warnings if "believed:" in warning] == []


def test_more_metrics_are_told_beside_the_primary_one(made: Path, source: Path, tmp_path: Path) -> None:
    keys = {"metrics": ["brier", "mcc"], "cost_matrix": COSTS, "precision_at_recall": 0.5}
    summary = judged(made, source, tmp_path / "out", **keys).summary
    header = (tmp_path / "out" / "table.md").read_text(encoding="utf-8").splitlines()[0]
    for title in ("test accuracy %", "test Matthews correlation %", "test Brier score %", "test mean cost"):
        assert f"| {title} |" in header
    assert "AUROC" not in header
    assert "Mean cost is what an answer costs" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    told = next(run for run in summary.runs if run.label == "tfidf_word")
    stored = StudyFolder(tmp_path / "out").read_run(told.run_id)
    assert stored is not None
    assert told.metrics.test is not None
    assert told.metrics.test.value("mean_cost") is not None
    assert same_run(stored, told)


def test_runs_of_earlier_versions_are_judged_by_them() -> None:
    """They have recorded none of these; their predictions hold the logits."""
    folder = StudyFolder(PINS / "labels")
    summary = read_summary(folder).summary
    study = summary.study.model_copy(update={"primary_metric": "auroc", "metrics": ["ece"]})
    asked = Asked.of(study, study.labels)
    runs = [run for run in summary.runs if isinstance(run.metrics.test, Metrics)]
    assert runs
    assert all(run.metrics.test.value("auroc") is None for run in runs if run.metrics.test)
    told = [asked.told(run, folder.predictions) for run in runs]
    for name in ("auroc", "ece"):
        assert all(run.metrics.test.value(name) is not None for run in told if run.metrics.test)
    found = judge(study, told, folder.predictions)
    assert found.verdict.metric == "auroc"
    for row in found.per_method:
        mean = np.mean([run.metrics.test.value("auroc") for run in told if run.label == row.label and run.metrics.test])
        assert row.test == pytest.approx(mean)


@pytest.mark.slow
def test_learning_curves_of_a_metric_of_which_less_is_better(source: Path, tmp_path: Path) -> None:
    study = study_of(source, train_sizes=[20, 40, 80, "all"], primary_metric="brier")
    summary = compare(study, tmp_path / "out", threads=1, figures=False).summary
    assert summary.learning is not None
    (curve,) = summary.learning.curves
    values = {row.label: row.test for row in summary.intervals.methods}
    for point in curve.points:
        assert point.score == pytest.approx(100 * (values[point.label] or 0.0))
        assert point.interval[0] < point.score < point.interval[1]
    assert curve.points[0].score > curve.points[-1].score
    if curve.more is not None:
        assert curve.more.gain > 0


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        ({"ham": {"eggs": 5}, "spam": {"ham": 1}}, "'eggs' is none of the classes ham, spam"),
        ({"ham": {"spam": -1}, "spam": {"ham": 1}}, "answering 'spam' to 'ham' costs -1: a cost is 0 or more"),
        ({"ham": {"spam": 5}}, "does not say what answering 'ham' to 'spam' costs"),
    ],
)
def test_a_matrix_that_does_not_fit_gets_a_sentence(costs: Mapping[str, Any], words: str, source: Path) -> None:
    with pytest.raises(SettingError, match=words):
        prepare(study_of(source, cost_matrix=costs))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"primary_metric": "mean_cost"}, "needs what mistakes cost"),
        ({"metrics": ["rougeL"]}, "metrics: classification has no rougeL"),
        ({"positive_class": "eggs"}, "positive_class: 'eggs' is no class of the data"),
        ({"task": "regression", "cost_matrix": COSTS, "baselines": ["mean"]}, "for studies that name classes"),
    ],
)
def test_terms_that_mean_nothing_get_a_sentence(keys: dict[str, Any], words: str, source: Path) -> None:
    with pytest.raises(SettingError, match=words):
        prepare(study_of(source, **keys))


def test_the_rarer_class_is_the_positive_one_unless_it_is_named(source: Path) -> None:
    expansion, _ = prepare(study_of(source, primary_metric="precision_at_recall"))
    assert expansion.study.positive_class == "spam"
    assert any("precision of 'spam', at the highest threshold at which 90 %" in note for note in expansion.notes)
    named, _ = prepare(study_of(source, primary_metric="precision_at_recall", positive_class="ham"))
    assert named.study.positive_class == "ham"
    assert expansion.specs[0].run_id == named.specs[0].run_id


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ham: {spam: 5}\n1: {ham: 1}\n", None),
        ("ham: {spam: much}\n", "must be a number"),
        ("- ham\n", "a mapping of each true label"),
        ("yes: {no: 1}\n", "put quotes around the label"),
        ("ham: {spam: 5\n", "mend the YAML"),
        (None, "there is no file"),
    ],
)
def test_the_command_reads_a_file_of_costs(text: str | None, words: str | None, tmp_path: Path) -> None:
    file = tmp_path / "costs.yaml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    said = (None, "mail.csv", None, None, None, "majority", None, [], None, None)
    if words is None:
        study = assemble_study(*said, judged={"cost_matrix": file})
        assert study.cost_matrix == {"ham": {"spam": 5.0}, "1": {"ham": 1.0}}
        assert "mean_cost" in study.asked
        return
    with pytest.raises(SettingError, match=words):
        assemble_study(*said, judged={"cost_matrix": file})


def test_a_run_that_the_studys_terms_may_stop_is_another_run_with_other_terms(tiny_gpt2: Path, source: Path) -> None:
    keys = {"methods": ["head_only"], "model": str(tiny_gpt2), "seeds": [0]}

    def first(settings: dict[str, Any], **more: Any) -> RunSpec:
        expansion, _ = prepare(study_of(source, **keys, settings=settings, **more))
        return expansion.specs[0]

    watched = first({"early_stopping": "log_loss"})
    assert (watched.early_stopping, watched.stopping_terms) == ("loss", None)
    other_costs = {"ham": {"spam": 2.0}, "spam": {"ham": 1.0}}
    assert first({"early_stopping": "loss"}, cost_matrix=COSTS).run_id == watched.run_id
    costly = first({"early_stopping": "primary"}, cost_matrix=COSTS, primary_metric="mean_cost")
    assert costly.stopping_terms == {"costs": [[0.0, 5.0], [1.0, 0.0]]}
    again = first({"early_stopping": "mean_cost"}, cost_matrix=COSTS, metrics=["brier"], precision_at_recall=0.5)
    assert again.run_id == costly.run_id
    assert first({"early_stopping": "mean_cost"}, cost_matrix=other_costs).run_id != costly.run_id
    precise = first({"early_stopping": "precision_at_recall"}, metrics=["precision_at_recall"])
    assert precise.stopping_terms == {"recall": 0.9, "positive": 1}
    for name in ("mean_cost", "precision_at_recall"):
        with pytest.raises(SettingError, match=f"early_stopping watches {name}, which the study does not tell"):
            first({"early_stopping": name})


@pytest.mark.parametrize("name", ["mean_cost", pytest.param("precision_at_recall", marks=pytest.mark.slow)])
def test_training_stops_by_the_studys_terms(name: str, tiny_gpt2: Path, source: Path) -> None:
    """The best point of the curve is what follows from the predictions that the run has recorded."""
    settings = {"epochs": 4, "early_stopping": name, "patience": 2, "learning_rate": 3e-3}
    keys = {"methods": ["head_only"], "model": str(tiny_gpt2), "seeds": [0], "baselines": []}
    study = study_of(
        source, **{**keys, "metrics": [name], "precision_at_recall": 0.6, "cost_matrix": COSTS, "settings": settings}
    )
    expansion, _ = prepare(study)
    result = run_one(expansion.specs[0])
    stopping = result.record.stopping
    assert stopping is not None
    points = [point[f"validation_{name}"] for point in result.curves if f"validation_{name}" in point]
    assert len(points) >= 3
    assert stopping.best == (min if name == "mean_cost" else max)(points)
    told = Asked.of(expansion.study, expansion.labels).told(result.record, lambda run_id: result.predictions)
    assert told.metrics.validation is not None
    assert told.metrics.validation.value(name) == pytest.approx(stopping.best)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mean_cost", "brier"])
def test_a_search_selects_by_them_and_training_stops_by_them(
    name: str, tiny_gpt2: Path, source: Path, tmp_path: Path
) -> None:
    settings = {"epochs": 3, "early_stopping": "brier", "patience": 1}
    keys = {"methods": ["head_only"], "model": str(tiny_gpt2), "tuning": 3, "seeds": [0], "settings": settings}
    found = compare(study_of(source, **keys, primary_metric=name, cost_matrix=COSTS), tmp_path / "out", threads=1)
    tuning = found.summary.tuning
    assert tuning is not None
    assert not tuning.higher_is_better
    (line,) = [line for line in tuning.lines if line.draws]
    scores = {draw.number: draw.score for draw in line.draws}
    assert None not in scores.values()
    assert scores[line.selected or 0] == min(score for score in scores.values() if score is not None)
    run = next(run for run in found.summary.runs if run.method == "head_only")
    assert run.stopping is not None
    points = [point["validation_brier"] for point in StudyFolder(tmp_path / "out").curves(run.run_id)]
    assert run.stopping.best == min(value for value in points if value is not None)
