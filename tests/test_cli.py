"""The command as users meet it: exit codes, one sentence for bad input; real processes where it is they that count."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from command import inside
from whichtune.cli.app import app
from whichtune.cli.examples import EXAMPLES
from whichtune.errors import SettingError
from whichtune.expansion.asked import parse_seeds
from whichtune.expansion.assemble import assemble_study
from whichtune.expansion.expand import check_names
from whichtune.expansion.names import as_registered
from whichtune.study.load import load_study


def run(*words: str, cwd: Path | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    result = subprocess.run(
        [sys.executable, "-m", "whichtune", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result


def test_compare_show_and_predict(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    words = ["compare", "--data", str(mail), "--model", str(tiny_gpt2), "--methods", "head_only,tfidf_word"]
    words += ["--seeds", "0,1", "--set", "epochs=1", "--out", "out", "--threads", "1"]
    planned = inside(*words, "--dry-run", cwd=tmp_path)
    assert "Nothing was run" in planned.stdout
    assert not (tmp_path / "out").exists()
    first = run(*words, cwd=tmp_path)
    assert "3 runs made" in first.stdout
    assert "head_only" in first.stdout
    again = inside(*words, "--json", cwd=tmp_path)
    summary = json.loads(again.stdout)
    assert [r["label"] for r in summary["runs"]] == ["head_only", "head_only", "tfidf_word"]
    assert summary["schema_version"] == 1
    assert summary["verdict"]["headline"]
    assert summary["runs"][0]["spec"]["method"] == "head_only"
    table = run("show", "out", cwd=tmp_path).stdout
    assert "tfidf_word" in table
    assert "confusion matrix" in inside("show", "out", "head_only:1", cwd=tmp_path).stdout
    assert json.loads(inside("show", "out", "head_only:1", "--json", cwd=tmp_path).stdout)["seed"] == 1
    (tmp_path / "new.txt").write_text("call me\nyou have won\n", encoding="utf-8")
    rows = run("predict", "out", "head_only", "new.txt", cwd=tmp_path).stdout.splitlines()
    assert rows[0].startswith("text,prediction,")
    assert len(rows) == 3


def test_a_study_file(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    text = f"data: {mail}\nmodel: {tiny_gpt2}\nmethods: [{{method: lora, label: small, lora_rank: 2}}]\nbaselines: []\n"
    (tmp_path / "mine.yaml").write_text(text + "settings: {max_steps: 2}\n", encoding="utf-8")
    inside("compare", "mine.yaml", "--seeds", "5", "--threads", "1", cwd=tmp_path)
    summary = json.loads((tmp_path / "whichtune-mine" / "summary.json").read_text())
    assert [(r["label"], r["seed"]) for r in summary["runs"]] == [("small", 5)]
    assert summary["runs"][0]["spec"]["method_settings"]["lora_rank"] == 2
    assert summary["runs"][0]["cost"]["optimiser_steps"] == 2


def test_a_failed_run_gives_exit_code_1(mail: Path, tmp_path: Path) -> None:
    words = ["compare", "--data", str(mail), "--model", "embedded", "--methods", "last_blocks,majority"]
    result = inside(*words, "--seeds", "0", "--set", "blocks=7", "--out", "out", "--threads", "1", cwd=tmp_path, code=1)
    assert "cannot train; set fewer" in result.stdout


BAD = {
    "unknown method": (["--methods", "hed_only"], "did you mean 'head_only'"),
    "unknown setting": (["--set", "epoch=2"], "did you mean 'epochs'"),
    "wrong value": (["--set", "epochs=many"], "'epochs'"),
    "no assignment": (["--set", "epochs"], "--set key=value"),
    "more blocks than the model has": (["--methods", "last_blocks", "--set", "blocks=7"], "The model has 3 blocks"),
    "wrong seeds": (["--seeds", "a"], "whole numbers"),
    "missing column": (["--text-column", "txt"], "did you mean 'text'"),
    "no such data": (["--data", "nothing.csv"], "There is no data file"),
    "no such model": (["--model", "./nothing"], "There is no model folder"),
    "context too long": (["--set", "context_length=5000"], "more than the 128 tokens"),
    "no CUDA": (["--device", "cuda"], "There is no CUDA device"),
    "wrong save": (["--save", "some"], "--save some"),
    "wrong plan": (["--plan", "maybe"], "'plan'"),
    "no such study": (["study.yaml"], "There is no study file"),
    "a factor that contradicts": (["--set", "token_position=last", "--set", "padding=dynamic"], "depend on its batch"),
    "unwritable folder": (["--out", "/proc/nothing"], "cannot be written"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str, tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    """One sentence on standard error, exit code 2, nothing written; the first in a process of its own."""
    if case == "no CUDA":
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has CUDA")
    words, message = BAD[case]
    defaults = {"--data": str(mail), "--model": str(tiny_gpt2), "--methods": "head_only"}
    given = [w for key, value in defaults.items() if key not in words for w in (key, value)]
    call = run if case == next(iter(BAD)) else inside
    result = call("compare", *words, *given, cwd=tmp_path, code=2)
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_without_data_a_command_says_what_it_needs(tmp_path: Path) -> None:
    for words in (["compare"], ["compare", "--methods", "full"], ["compare", "--dry-run"], ["plan"]):
        said = inside(*words, cwd=tmp_path, code=2)
        assert said.stderr.startswith("Error: There is nothing to compare on: give --data FILE")
        assert "`whichtune demo`" in said.stderr
        assert said.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_h_is_short_for_help() -> None:
    assert inside("-h").stdout == inside("--help").stdout
    for name in EXAMPLES:
        assert inside(name, "-h").stdout == inside(name, "--help").stdout


def test_every_command_has_examples_that_it_understands() -> None:
    group = typer.main.get_command(app)
    assert set(EXAMPLES) == set(group.commands)  # type: ignore[attr-defined]
    for name, examples in EXAMPLES.items():
        shown = inside(name, "--help").stdout
        for example in examples:
            assert f"\n    {example}\n" in f"{shown}\n"  # on a line of its own, to be copied
            program, command, *words = shlex.split(example)
            assert (program, command) == ("whichtune", name)
            context = group.commands[command].make_context(command, words)  # type: ignore[attr-defined]
            assert not context.args


def test_the_examples_of_compare_are_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text("methods: [lora, full]\n", encoding="utf-8")
    group = typer.main.get_command(app)
    for example in EXAMPLES["compare"]:
        given = group.commands["compare"].make_context("compare", shlex.split(example)[2:]).params  # type: ignore[attr-defined]
        judged = {key: given[key] for key in ("require", "price", "power")}
        study = assemble_study(
            given["study"], given["data"], given["text_column"], given["label_column"], given["model"],
            given["methods"], given["seeds"], given["set_"] or [], given["plan"], given["device"],
            {"draws": given["tune"], "budget": given["tune_budget"]}, judged=judged,
        )  # fmt: skip
        check_names(study)
        assert study.methods or study.runs


def test_ranges_of_seeds_are_seeds() -> None:
    assert parse_seeds("0-9") == list(range(10))
    assert parse_seeds("0-4,7") == [0, 1, 2, 3, 4, 7]
    assert parse_seeds(" 3 - 5 , 1") == [3, 4, 5, 1]
    assert parse_seeds("0,1,2") == [0, 1, 2]
    for text, words in {
        "4-0": "write 0-4",
        "0-4,2": "names 2 twice",
        "0-": "write whole numbers",
        "0-99999999": "at most 1,000 numbers",
    }.items():
        with pytest.raises(SettingError, match=words):
            parse_seeds(text)


def test_names_are_understood_in_any_case(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    words = ["compare", "--data", str(mail), "--model", str(tiny_gpt2), "--methods", "LoRA,TFIDF_Word", "--seeds", "0"]
    told = inside(*words, "--set", "LoRA.epochs=1", "--task", "Classification", "--dry-run")
    assert " lora " in told.stdout
    assert " tfidf_word " in told.stdout
    text = f"""
        data: {mail}
        task: CLASSIFICATION
        methods: [Full, {{method: Head_Only, label: Mine}}]
        baselines: [Majority]
        primary_metric: F1_Macro
        settings: {{FULL.epochs: 1, early_stopping: Loss}}
        pairs: [{{a: FULL, b: Mine, metric: Accuracy}}]
        baseline: MAJORITY
    """
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    study = as_registered(load_study(file))
    check_names(study)
    assert [entry.method for entry in study.methods] == ["full", "head_only"]
    assert study.methods[1].label == "Mine"
    assert (study.task, study.baselines, study.primary_metric) == ("classification", ["majority"], "f1_macro")
    assert study.settings == {"full.epochs": 1, "early_stopping": "loss"}
    assert (study.pairs[0].a, study.pairs[0].b, study.pairs[0].metric) == ("full", "Mine", "accuracy")
    assert study.baseline == "majority"
    assert "There is no method 'lroa'" in inside("methods", "lroa", code=2).stderr
    assert inside("methods", "LORA").stdout == inside("methods", "lora").stdout


def test_bad_folders(tmp_path: Path) -> None:
    assert "no study folder" in run("show", "nothing", cwd=tmp_path, code=2).stderr
    (tmp_path / "empty").mkdir()
    assert "holds no summary.json" in run("show", "empty", cwd=tmp_path, code=2).stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in run("show", "nothing", "--debug", cwd=tmp_path, code=1).stderr


def test_methods_doctor_and_version() -> None:
    listing = inside("methods").stdout
    assert "linear_probe" in listing
    assert "tfidf_char" in listing
    assert "lora_rank" in inside("methods", "lora").stdout
    assert "did you mean 'lora'" in inside("methods", "lra", code=2).stderr
    assert "PROBLEM" not in run("doctor").stdout
    assert run("--version").stdout.startswith("whichtune ")


@pytest.mark.slow
def test_a_setting_that_does_not_reach_every_line_is_said_to(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    """Two methods with learning rates of their own, as in the demo."""
    runs = "runs: [{method: head_only, learning_rate: 3e-2}, {method: last_block, learning_rate: 6e-3}]\n"
    text = f"data: {mail}\nmodel: {tiny_gpt2}\n{runs}seeds: [0]\nbaselines: []\nsettings: {{max_steps: 2}}\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    for command in (["compare", "mine.yaml", "--dry-run"], ["plan", "mine.yaml"]):
        said = inside(*command, "--set", "learning_rate=1e-3", cwd=tmp_path).stderr
        assert "--set learning_rate=1e-3 leaves out lines with a learning_rate of their own: head_only, " in said
    one = inside("compare", "mine.yaml", "--dry-run", "--set", "last_block.learning_rate=1e-3", cwd=tmp_path)
    assert "leaves out" not in one.stderr


@pytest.mark.parametrize(("key", "near"), [("tuning.seeds", "'seed'"), ("data.splitt", "'split'")])
def test_an_unknown_key_of_the_data_or_the_search_is_named(key: str, near: str) -> None:
    said = inside("compare", "--data", "messages", "--dry-run", "--set", f"{key}=3", code=2).stderr
    assert said.startswith(f"Error: --set {key}: did you mean {near}?")
