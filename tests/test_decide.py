"""Seeds where they are needed: which rows get one, when it is enough, and that the same command goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whichtune.compare import compare
from whichtune.errors import SettingError
from whichtune.evidence.beforehand import margin_beforehand
from whichtune.stats.answers import Answers, Row, TestSet
from whichtune.stats.choice import weigh
from whichtune.stats.pairs import StudyNoise, compare_scores
from whichtune.stats.rounds import next_round
from whichtune.stats.scores import Scores
from whichtune.stats.trials import Trials
from whichtune.study.load import parse_study
from whichtune.study.roles import Role


def trials(accuracies: dict[str, float], seeds: int, n: int, swing: float = 0.01) -> Trials:
    """Rows whose runs lose texts of their own: of each accuracy, over so many seeds, swinging between them."""
    rng = np.random.default_rng(len(accuracies) + seeds)
    labels = rng.integers(0, 2, n)
    hard = rng.permutation(n)
    test = TestSet(np.array([str(i) for i in range(n)]), labels, np.zeros(n, dtype=bool), 2)
    rows = {}
    for label, accuracy in accuracies.items():
        answers: dict[int | None, Answers] = {}
        for seed in range(seeds):
            level = accuracy + swing * (1 if seed % 2 else -1)
            wrong = np.zeros(n, dtype=bool)
            wrong[hard[: int(n * (1 - level))]] = True
            answers[seed] = Answers(np.where(wrong, 1 - labels, labels), np.full(n, 0.1))
        rows[label] = Row(label, Role.RUN, "full", answers=answers)
    return Trials(rows, test, 1.0)


def test_rows_that_may_be_the_best_get_a_seed_and_others_do_not() -> None:
    found = trials({"a": 0.95, "b": 0.948, "c": 0.6}, 3, 20_000)
    weighed = weigh(found, "accuracy", {"a": 1.0, "b": 2.0, "c": 0.1}, target=0.1)
    assert weighed is not None
    chosen = next_round(weighed, found, "accuracy", 10)
    assert (sorted(chosen.rows), chosen.reason) == (["a", "b"], None)
    assert next_round(weighed, found, "accuracy", 3).reason == "seeds"


def test_it_ends_at_the_target_and_where_only_texts_would_help() -> None:
    sure = trials({"a": 0.95, "b": 0.8}, 3, 20_000)
    weighed = weigh(sure, "accuracy", {}, target=0.25)
    assert weighed is not None
    assert next_round(weighed, sure, "accuracy", 10).reason == "target"
    few = trials({"a": 0.95, "b": 0.95}, 8, 60, swing=0.02)
    rng = np.random.default_rng(0)
    for row in few.rows.values():  # each row is wrong on texts of its own, with every seed
        lost = rng.random(60) < 0.15
        for seed, answers in row.answers.items():
            row.answers[seed] = Answers(np.where(lost, 1 - answers.predictions, answers.predictions), answers.losses)
    weighed = weigh(few, "accuracy", {}, target=0.1)
    assert weighed is not None
    assert next_round(weighed, few, "accuracy", 20).reason == "texts"


STUDY: dict[str, Any] = {
    "name": "decide",
    "methods": ["head_only", "linear_probe", "last_blocks"],
    "baselines": ["majority"],
    "seeds": [0, 1],
    "settings": {"max_steps": 2, "batch_size": 8},
    "margin": 1.0,
}


def seeds_by_row(folder: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for run in json.loads((folder / "summary.json").read_text(encoding="utf-8"))["runs"]:
        if run["seed"] is not None:
            found.setdefault(run["label"], []).append(run["seed"])
    return found


def test_a_study_that_decides_adds_seeds_and_resumes_with_nothing_to_run(
    tmp_path: Path, mail: Path, tiny_gpt2: Path
) -> None:
    value = {**STUDY, "data": {"source": str(mail)}, "model": str(tiny_gpt2)}
    notes: list[str] = []
    belief = {"prior_seed_sd": 20.0, "prior_weight": 100.0}  # so that seeds matter more than 30 test texts
    study = parse_study({**value, **belief, "decide": {"max_seeds": 4, "target": 6.0}}, "study")

    def listen(event: Any) -> None:
        if event["event"] == "note" and event["text"].startswith("Not sure enough yet"):
            notes.append(event["text"])

    first = compare(study, tmp_path / "made", save="none", threads=1, on_event=listen)
    verdict, told = first.summary.verdict, seeds_by_row(tmp_path / "made")
    assert verdict is not None
    assert verdict.stopped is not None
    assert verdict.regret_limit == pytest.approx(6.0)
    assert first.started == sum(map(len, told.values())) + 1
    more = {label: seeds for label, seeds in told.items() if len(seeds) > 2}
    assert more
    assert len(notes) == max(len(seeds) for seeds in more.values()) - 2
    assert any("which every row was given before" in warning for warning in verdict.warnings)
    assert all(set(c.seeds) <= {0, 1, None} for c in first.summary.comparisons)
    again = compare(study, tmp_path / "made", save="none", threads=1)
    assert again.started == 0
    assert again.summary.verdict == verdict
    plain = compare(parse_study(value, "study"), tmp_path / "made", save="none", threads=1)
    assert plain.started == 0  # the seeds that it begins with are there


@pytest.mark.slow
def test_seeds_that_are_added_after_figures_were_seen_do_not_enter_p(
    tmp_path: Path, mail: Path, tiny_gpt2: Path
) -> None:
    value = {**STUDY, "data": {"source": str(mail)}, "model": str(tiny_gpt2), "methods": ["head_only", "last_blocks"]}
    folder = tmp_path / "made"
    before = compare(parse_study({**value, "seeds": [0, 1, 2]}, "s"), folder, save="none", threads=1)
    after = compare(parse_study({**value, "seeds": [0, 1, 2, 3]}, "s"), folder, save="none", threads=1)
    assert after.started == 2
    assert after.summary.study.first_seeds == [0, 1, 2]
    pairs = [{(c.a, c.b): c.p for c in result.summary.comparisons} for result in (before, after)]
    assert {frozenset(pair): p for pair, p in pairs[0].items()} == {frozenset(pair): p for pair, p in pairs[1].items()}
    assert {len(row.seeds) for row in after.summary.intervals.methods} == {4, 1}
    assert any("p values, ranks and ties are of seeds 0, 1 and 2" in w for w in after.summary.verdict.warnings)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "options, told",
    [
        (["--max-seeds", "5"], "--max-seeds says how far seeds are added: give --decide, too."),
        (["--budget", "10min"], "--budget says how far seeds are added: give --decide, too."),
        (["--decide", "--budget", "20x"], "--budget 20x cannot be read: write a time such as 90s, 20min or 1.5h."),
        (["--decide", "--seeds", "0,1,2,3", "--max-seeds", "3"], "begins with 4 seeds and may have 3: raise max_seeds"),
        (["--decide", "--set", "decide=7"], "There is no setting 'decide'"),
    ],
)
def test_bad_wishes_are_one_sentence(options: list[str], told: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "whichtune", "compare", "--data", "messages", "--methods", "head_only", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [5, "yes", [1], {"max_seeds": 1}, {"budget": "2e9flops"}, {"more": 1}, {"target": 0}])
def test_a_file_that_asks_for_nonsense_is_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match="decide"):
        parse_study({**STUDY, "decide": wrong}, "study")


def test_true_is_short_for_the_defaults() -> None:
    assert parse_study({**STUDY, "decide": True}, "s").decide == parse_study({**STUDY, "decide": {}}, "s").decide
    assert parse_study({**STUDY, "decide": False}, "s").decide is None


@pytest.mark.parametrize(
    "seeds, texts, margin, told",
    [(3, 300, 1.0, "; 1.4 points could be."), (1, 100, 1.0, "; 2.7 points could be."), (3, 1000, 1.0, None)],
)
def test_a_margin_out_of_reach_is_told_before_the_first_run(
    seeds: int, texts: int, margin: float, told: str | None
) -> None:
    found = margin_beforehand("accuracy", margin, seeds, texts, 6)
    assert (found or "").endswith(told or "")
    assert (found is None) == (told is None)


@pytest.mark.parametrize("n", [300, 1000])
def test_what_is_told_beforehand_is_what_the_tests_say(n: int) -> None:
    """Rows that answer alike but for one text: equivalent where it was not ruled out, and nowhere else."""
    rows = []
    for place in range(6):
        right = np.ones((3, n))
        right[0, place] = 0.0
        rows.append(Scores(right, 1.0))
    test = compare_scores(rows[0], rows[1], 0.01, True, StudyNoise.of(rows))
    assert (test.p_equivalence is not None and test.p_equivalence <= 0.05) == (
        margin_beforehand("accuracy", 1.0, 3, n, 6) is None
    )


def test_it_is_told_by_compare(tmp_path: Path, mail: Path, tiny_gpt2: Path) -> None:
    value = {**STUDY, "data": {"source": str(mail)}, "model": str(tiny_gpt2), "methods": ["head_only", "last_blocks"]}
    notes: list[str] = []
    compare(
        parse_study(value, "s"),
        tmp_path / "made",
        save="none",
        threads=1,
        on_event=lambda event: notes.append(event["text"]) if event["event"] == "note" else None,
    )
    assert any("can be shown to be equivalent to within 1 point" in note for note in notes)
