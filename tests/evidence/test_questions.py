"""Which questions a study's rows ask, and how their answers read."""

from __future__ import annotations

from pathlib import Path

import pytest

from stats.study_files import StudyOnDisk, answers, evidence, study_on_disk
from whichtune.evidence.question_sentences import answer_of
from whichtune.evidence.questions import Asked, natural_questions
from whichtune.evidence.sentences import comparison_paragraph
from whichtune.stats.results import Comparison
from whichtune.study.roles import Role


def add(study: StudyOnDisk, label: str, wrong: int, method: str, **spec: object) -> None:
    """Three seeds of a row that are wrong on the first so many texts, and each on another one."""
    seeds = [answers(200, [*range(wrong), 150 + seed]) for seed in range(3)]
    study.add(label, seeds, method=method, settings={"token_position": "last_nonpad", "epochs": 3, **spec})


def asked(study: StudyOnDisk) -> list[tuple[str, str, str]]:
    return [(one.topic, one.comparison.a, one.comparison.b) for one in evidence(study).questions]


def test_rows_ask_by_depth_by_method_and_by_single_settings(tmp_path: Path) -> None:
    study = study_on_disk(tmp_path, 200)
    add(study, "full", 10, "full", learning_rate=5e-5)
    add(study, "head_only", 80, "head_only", learning_rate=2e-2)
    add(study, "last_block", 40, "last_block")
    add(study, "last_block, first token", 60, "last_block", token_position="first")
    add(study, "last_block, random weights", 70, "last_block", weights="random")
    add(study, "last_block, both", 75, "last_block", weights="random", token_position="first")
    add(study, "linear_probe", 78, "linear_probe")
    add(study, "lora", 12, "lora")
    add(study, "prompts", 50, "soft_prompt")
    study.add("majority", [answers(200, list(range(100)))], seeds=[None], role=Role.BASELINE, method="majority")
    assert asked(study) == [
        ("layers", "last_block", "head_only"),
        ("layers", "full", "last_block"),
        ("probe", "linear_probe", "head_only"),
        ("adapter", "lora", "full"),
        ("method", "prompts", "lora"),
        ("token position", "last_block", "last_block, first token"),
        ("starting weights", "last_block", "last_block, random weights"),
    ]
    found = {one.topic: one for one in evidence(study).questions}
    assert found["token position"].question == "Which token should be read?"
    assert found["token position"].sentence.startswith(
        "Reading the last token instead of the first token gains 10 points"
    )
    assert found["method"].sentence.startswith("Soft prompts instead of LoRA loses 19 points")
    assert {one.comparison.family for one in found.values()} == {7}  # corrected for its own questions


def test_declared_pairs_are_the_questions_where_there_are_any(tmp_path: Path) -> None:
    study = study_on_disk(tmp_path, 200, pairs=[{"a": "lora", "b": "head_only", "claim": "LoRA is better"}])
    add(study, "lora", 10, "lora")
    add(study, "head_only", 60, "head_only")
    add(study, "full", 8, "full")
    (only,) = evidence(study).questions
    assert (only.comparison.a, only.comparison.claim) == ("lora", "LoRA is better")
    assert only.question == "LoRA or a trained head?"
    assert only.sentence.startswith("LoRA instead of a trained head gains 25 points (")


def test_a_single_row_and_an_unfinished_study_ask_nothing(tmp_path: Path) -> None:
    study = study_on_disk(tmp_path, 200)
    add(study, "lora", 10, "lora")
    assert evidence(study).questions == []
    assert natural_questions({}) == []


@pytest.mark.parametrize(
    ("update", "wanted"),
    [
        ({"verdict": "better"}, "LoRA instead of full fine-tuning gains 2 points (0.5 to 3.5) for 1.2 times the time."),
        ({"verdict": "worse", "difference": -2.0, "interval": (-3.5, -0.5)}, "loses 2 points (0.5 to 3.5) for 1.2"),
        ({"verdict": "undecided"}, "gained 2 points, which may be chance (0.5 to 3.5), for 1.2 times the time."),
        ({"verdict": "equivalent"}, "makes no difference that matters: it gains 2 points (0.5 to 3.5), shown to be"),
        ({"verdict": "undecided", "difference": 0.0}, "changed nothing here, yet might elsewhere"),
        ({"verdict": "not_tested", "difference": None, "interval": None}, "was not compared: one of the two has no"),
        ({"verdict": "better", "cost_ratios": {}}, "gains 2 points (0.5 to 3.5)."),
        ({"verdict": "better", "cost_ratios": {"training_seconds": 1.01}}, "(0.5 to 3.5) in the same time."),
        ({"verdict": "better", "cost_ratios": {"training_seconds": 0.2}}, "(0.5 to 3.5) in 0.20 times the time."),
        (
            {"metric": "loss", "unit": "nats", "difference": -0.1, "interval": (-0.15, -0.05), "verdict": "better"},
            "gains 0.100 nats (0.050 to 0.150)",
        ),
    ],
)
def test_the_sentence_of_every_outcome(update: dict[str, object], wanted: str) -> None:
    pair = Comparison(
        a="lora",
        b="full",
        metric="accuracy",
        difference=2.0,
        interval=(0.5, 3.5),
        verdict="undecided",
        cost_ratios={"training_seconds": 1.2},
        holds_for="methods",
        seeds=[0, 1, 2],
    ).model_copy(update=update)
    told = answer_of(Asked("adapter", "lora", "full", ("lora", "full")), pair)
    assert wanted in told
    assert comparison_paragraph(pair)  # the long form says the same pair
