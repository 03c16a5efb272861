"""Exact match, token F1, chrF and BLEU of written texts: their definitions, their noise, and a study judged by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sacrebleu

from report.made_texts import made_texts
from whichtune.compare import compare
from whichtune.evidence.judge import judge, trials_of
from whichtune.evidence.stored import read_summary
from whichtune.metrics import METRICS
from whichtune.metrics.overlap import bleu_of, bleu_parts, chrf, exact_match, token_f1
from whichtune.records.record import MetricsBySplit, TextMetrics
from whichtune.records.store import StudyFolder
from whichtune.records.wordless import without_words
from whichtune.stats.asked import Asked
from whichtune.stats.scores import total_scores
from whichtune.study.spec import Study

WORDS = "the cat sat on a mat and one dog ran away from house big small".split()  # noqa: SIM905
NAMES = ("exact_match", "token_f1", "chrf", "bleu")


def texts(random: np.random.Generator, n: int, longest: int = 12) -> tuple[list[str], list[str]]:
    """Written texts and references: each word kept with 70 %, the texts cut here and there."""
    references = [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(n)]
    kept = [[w if random.random() < 0.7 else str(random.choice(WORDS)) for w in r.split()] for r in references]
    return [" ".join(words[: random.integers(0, len(words) + 1)]) for words in kept], references


@pytest.mark.parametrize(
    ("written", "reference", "match", "f1"),
    [
        ("The Denver Broncos!", "denver broncos", 1.0, 1.0),
        ("Broncos of Denver", "Denver Broncos", 0.0, 0.8),
        ("in 1996", "1997", 0.0, 0.0),
        ("a cat and a cat", "cat cat", 0.0, 0.8),
        ("the", "", 1.0, 1.0),
        ("", "word", 0.0, 0.0),
    ],
)
def test_exact_match_and_token_f1_are_those_of_squad(written: str, reference: str, match: float, f1: float) -> None:
    assert exact_match([written], [reference]).tolist() == [match]
    assert token_f1([written], [reference]) == pytest.approx([f1])


def test_chrf_and_bleu_are_those_of_sacrebleu() -> None:
    random = np.random.default_rng(1)
    for _ in range(40):
        written, references = texts(random, int(random.integers(1, 6)))
        each = [
            sacrebleu.sentence_chrf(one, [other]).score / 100 for one, other in zip(written, references, strict=True)
        ]
        assert chrf(written, references) == pytest.approx(each)
        corpus = sacrebleu.corpus_bleu(written, [references]).score / 100
        assert float(bleu_of(bleu_parts(written, references).sum(axis=0))) == pytest.approx(corpus, abs=1e-12)


def test_influence_on_bleu_tells_its_noise() -> None:
    random = np.random.default_rng(2)
    parts = bleu_parts(*texts(random, 400))
    scores = total_scores(METRICS["bleu"], parts)
    assert scores.mean() == pytest.approx(float(bleu_of(parts.sum(axis=0))))
    drawn = bleu_of(parts[random.integers(0, 400, (1000, 400))].sum(axis=1))
    assert scores.std() / 20 == pytest.approx(drawn.std(), rel=0.1)


@pytest.mark.parametrize("name", ["bleu", "token_f1"])
def test_runs_that_have_not_recorded_them_are_judged_by_their_texts(name: str, tmp_path: Path) -> None:
    folder = made_texts(tmp_path / "made", n=40)
    summary = read_summary(folder).summary
    study = summary.study.model_copy(update={"primary_metric": name})
    told = [Asked.of(study, []).told(run, folder.predictions) for run in summary.runs]
    # What was made up has no predictions of validation texts.
    both = [{"validation": run.metrics.test, "test": run.metrics.test} for run in told]
    told = [run.model_copy(update={"metrics": MetricsBySplit(**each)}) for run, each in zip(told, both, strict=True)]
    found = judge(study, told, folder.predictions)
    assert (found.verdict.metric, found.verdict.leader) == (name, "lora")
    (pair,) = found.comparisons
    assert (pair.metric, pair.verdict) == (name, "better" if pair.a == "lora" else "worse")
    for run in found.runs:
        frame = folder.predictions(run.run_id)
        written, references = frame["prediction"].to_list(), frame["reference"].to_list()
        corpus = sacrebleu.corpus_bleu(written, [references]).score / 100
        expected = corpus if name == "bleu" else token_f1(written, references).mean()
        assert run.figures[name] == pytest.approx(expected)
        ends = run.intervals[name]
        assert ends is not None
        assert ends[0] < expected < ends[1]
        recorded = next(one for one in told if one.run_id == run.run_id).metrics.test
        assert isinstance(recorded, TextMetrics)
        assert recorded.value(name) == pytest.approx(expected)


def test_on_some_texts_bleu_is_that_of_these(tmp_path: Path) -> None:
    folder = made_texts(tmp_path / "made", n=40)
    summary = read_summary(folder).summary
    study = summary.study.model_copy(update={"metrics": ["bleu"]})
    trials = trials_of(study, summary.runs, folder.predictions)
    answers = trials.rows["lora"].answers[0]
    keep = np.arange(40) % 3 == 0
    part = answers.of(keep)
    assert part.figures["bleu"].mean() == pytest.approx(float(bleu_of(answers.parts["bleu"][keep].sum(axis=0))))


def test_runs_record_all_of_them_and_keep_them_without_texts(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    written, references = texts(random, 120)
    frame = pd.DataFrame({"document": [f"{one}. {other}." for one, other in zip(references, written, strict=True)]})
    frame.assign(summary=references).to_csv(tmp_path / "a.csv", index=False)
    data = {"source": str(tmp_path / "a.csv"), "text_column": "document", "target_column": "summary"}
    keys = {"task": "text_to_text", "data": data, "baselines": ["lead_1", "lead_3"], "texts": False}
    found = compare(
        Study.model_validate({**keys, "primary_metric": "chrf"}), tmp_path / "out", threads=1, figures=False
    )
    summary = found.summary
    assert [run.error for run in summary.runs] == [None, None]
    assert summary.verdict is not None
    assert (summary.verdict.metric, summary.verdict.leader) == ("chrf", "lead_1")
    for run in summary.runs:
        assert isinstance(run.metrics.test, TextMetrics)
        assert all(run.metrics.test.value(name) is not None for name in NAMES)
        kept = StudyFolder(tmp_path / "out").predictions(run.run_id)
        assert "prediction" not in kept
        assert {"chrf", "bleu_totals"} <= set(without_words(kept).columns)
    header = (tmp_path / "out" / "table.md").read_text(encoding="utf-8").splitlines()[0]
    assert "| test chrF % |" in header
    assert "BLEU" not in header
