"""A search that is killed or interrupted goes on to the same draws and the same choice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from command import inside

ROOT = Path(__file__).parents[2]


def write_study(
    data: Path, model: Path, folder: Path, methods: tuple[str, ...] = ("head_only", "last_block"), **tuning: object
) -> Path:
    value = {
        "data": str(data), "model": str(model), "methods": [*methods], "seeds": [0],
        "baselines": ["majority"], "settings": {"epochs": 1}, "tuning": {"draws": 2, **tuning},
    }  # fmt: skip
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(value), encoding="utf-8")
    return file


def words_of(file: Path, out: Path) -> list[str]:
    return ["compare", str(file), "--out", str(out), "--threads", "1", "--no-figures"]


def start(file: Path, out: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "whichtune", *words_of(file, out), *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_runs(out: Path, many: int, process: subprocess.Popen) -> None:
    """Wait as long as the process lives, however slow the machine is."""
    while len(list(out.glob("runs/*/run.json"))) < many:
        assert process.poll() is None, "it ended before it came"
        time.sleep(0.02)


def choice_of(out: Path) -> dict:
    """Draws, their figures and the selection, without clocks."""
    tuning = json.loads((out / "summary.json").read_text())["tuning"]
    clocks = ("seconds", "shared_seconds", "spent_seconds", "curve")
    for line in tuning["lines"]:
        line["draws"] = [{k: v for k, v in draw.items() if k not in clocks} for draw in line["draws"]]
    lines = [{k: v for k, v in line.items() if k not in clocks} for line in tuning["lines"]]
    return {"lines": lines, "sentences": tuning["sentences"]}


@pytest.fixture(scope="module")
def calm(known_data: Path, tiny_gpt2: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The study's file and the folder of a call that nothing disturbed."""
    place = tmp_path_factory.mktemp("calm")
    file = write_study(known_data, tiny_gpt2, place)
    text = inside(*words_of(file, place / "out")).stdout
    assert "Search: 4 draws, judged on validation." in text
    assert "draw 2" in text
    return file, place / "out"


@pytest.mark.slow
def test_a_search_interrupted_and_killed_goes_on_to_the_same_choice(calm: tuple[Path, Path], tmp_path: Path) -> None:
    file, undisturbed = calm
    out = tmp_path / "disturbed"
    process = start(file, out)
    wait_for_runs(out, 1, process)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate()
    assert process.returncode == 130, text
    assert "the same command resumes" in text
    assert "Traceback" not in text
    summary = json.loads((out / "summary.json").read_text())
    assert {run["status"] for run in summary["runs"]} == {"interrupted"}
    assert "search for its settings is not complete" in summary["runs"][0]["error"]
    assert sum(len(line["draws"]) for line in summary["tuning"]["lines"]) >= 1
    assert (out / "report.html").is_file()

    process = start(file, out)
    wait_for_runs(out, 2, process)
    process.kill()
    process.wait()
    assert not (out / "examples.parquet").exists()  # test texts are written when the search is over

    text = inside(*words_of(file, out)).stdout
    assert "complete, kept" in text
    assert choice_of(out) == choice_of(undisturbed)
    studies = [json.loads((place / "study.json").read_text()) for place in (out, undisturbed)]
    assert studies[0]["tuning"] == studies[1]["tuning"]
    assert studies[0]["runs_resolved"] == studies[1]["runs_resolved"]


@pytest.mark.slow
def test_rungs_interrupted_and_killed_go_on_to_the_same_choice(
    known_data: Path, tiny_gpt2: Path, tmp_path: Path
) -> None:
    """Two at a time, stopped in the first rung and killed in the second: what was put aside is gone on from."""
    file = write_study(known_data, tiny_gpt2, tmp_path, ("full", "last_block"), strategy="halving")
    undisturbed, out = tmp_path / "calm", tmp_path / "disturbed"
    text = inside(*words_of(file, undisturbed)).stdout
    assert "Search: 8 draws, the worse dropped on the way, in 14 runs" in " ".join(text.split())

    process = start(file, out, "--jobs", "2")
    wait_for_runs(out, 3, process)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate()
    assert process.returncode == 130, text
    assert "Traceback" not in text
    states = list(out.glob("runs/*/trial.pt"))
    assert states  # the first rung is not over
    summary = json.loads((out / "summary.json").read_text())
    assert "search for its settings is not complete" in summary["runs"][0]["error"]

    process = start(file, out, "--jobs", "2")
    wait_for_runs(out, 10, process)
    process.kill()
    process.wait()
    assert list(out.glob("runs/*/trial.pt"))

    text = inside(*words_of(file, out)).stdout
    assert "complete, kept" in " ".join(text.split())
    assert choice_of(out) == choice_of(undisturbed)
    assert not list(out.glob("runs/*/trial.pt"))
    records = [json.loads(file.read_text()) for file in out.glob("runs/*/run.json")]
    assert sum(bool(record["spec"].get("goes_on_from")) for record in records) == 2 * (2 + 1)
    assert not any("part" in record["spec"] for record in records if record["role"] != "draw")
