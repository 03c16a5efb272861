"""Runs in processes of their own: failures are rows, kills cost one run, and resuming starts only what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from command import inside
from whichtune.compare import compare
from whichtune.executors.local import LocalExecutor
from whichtune.records.record import RunStatus
from whichtune.records.store import StudyFolder
from whichtune.result import Result
from whichtune.study.load import parse_study
from whichtune.study.spec import Study

# What differs between two identical runs: clocks, memory, and who made them when.
FOR_GOOD = 1800  # seconds after which a process that was to go will stay
MOVING = ("cost", "started_at", "finished_at", "environment", "intervals", "comparisons", "verdict")


def study_of(mail: Path, model: Path, **keys: object) -> Study:
    settings = {"epochs": 1, "context_length": 40}
    value = {"data": str(mail), "model": str(model), "methods": ["head_only", "last_block"], "seeds": [0, 1]}
    return parse_study({**value, "baselines": ["majority"], "settings": settings, **keys}, "test")


def steady(comparison: Result | dict) -> list[dict]:
    """The runs of a summary without what moves."""
    summary = comparison if isinstance(comparison, dict) else comparison.summary.to_json()
    return [{k: v for k, v in run.items() if k not in MOVING} for run in summary["runs"]]


@pytest.mark.slow
def test_a_study_runs_and_resumes_with_nothing_to_do(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    study = study_of(mail, tiny_gpt2)
    events: list[dict] = []
    first = compare(study, tmp_path / "s", threads=1, on_event=events.append)
    assert first.started == 5
    assert [r.status for r in first.records] == [RunStatus.COMPLETED] * 5
    assert {"study", "start", "phase", "step", "end"} <= {event["event"] for event in events}
    again = compare(study, tmp_path / "s", threads=1)
    assert again.started == 0
    assert again.summary.to_json()["runs"] == first.summary.to_json()["runs"]
    for name in ("study.json", "summary.json", "table.md", "table.csv", "examples.parquet"):
        assert (tmp_path / "s" / name).is_file()
    for record in first.records:
        folder = tmp_path / "s" / "runs" / record.run_id
        assert {"run.json", "curves.jsonl", "predictions.parquet"} <= {f.name for f in folder.iterdir()}
    more = compare(study_of(mail, tiny_gpt2, methods=["head_only", "last_block", "linear_probe"]), tmp_path / "s")
    assert more.started == 2  # one method more: only its seeds


def test_the_same_seed_gives_the_same_run(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    study = study_of(mail, tiny_gpt2, methods=["lora"], seeds=[3], baselines=[])
    one = compare(study, tmp_path / "a", threads=1)
    two = compare(study, tmp_path / "b", threads=1)
    assert steady(one) == steady(two)
    folders = [StudyFolder(c.folder) for c in (one, two)]
    left, right = (f.predictions(one.records[0].run_id) for f in folders)
    assert (left["logits"].map(tuple) == right["logits"].map(tuple)).all()
    other = compare(study_of(mail, tiny_gpt2, methods=["lora"], seeds=[4], baselines=[]), tmp_path / "a")
    assert other.records[0].metrics.train != one.records[0].metrics.train


def test_a_failing_run_is_a_row_and_the_study_goes_on(mail: Path, tmp_path: Path) -> None:
    """With the embedded model: what cannot be put into another is refused before its study begins."""
    runs = [
        {"method": "last_blocks", "label": "too deep", "blocks": 9},
        {"method": "lora", "label": "no such layer", "lora_targets": ["q_prj"]},
        {"method": "head_only", "label": "fine"},
    ]
    result = compare(study_of(mail, Path("embedded"), methods=[], runs=runs, seeds=[0]), tmp_path / "s", threads=1)
    by_label = {record.label: record for record in result.records}
    assert by_label["too deep"].status is RunStatus.FAILED
    assert "9 cannot train" in by_label["too deep"].error
    assert "did you mean 'q_proj'" in by_label["no such layer"].error
    assert by_label["fine"].status is RunStatus.COMPLETED
    assert "1 of 1 failed" in result.to_markdown()
    assert "9 cannot train" in result.to_markdown()
    assert compare(study_of(mail, Path("embedded"), methods=[], runs=runs, seeds=[0]), tmp_path / "s").started == 2


def test_running_out_of_memory_is_a_row(mail: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    """A model of four times this machine's memory, which is less than what is refused before a run: the allocator, or
    the system, refuses it."""
    model = shutil.copytree(tiny_gpt2, tmp_path / "huge")
    config = json.loads((model / "config.json").read_text())
    words = 4 * psutil.virtual_memory().total // (4 * 32)
    (model / "config.json").write_text(json.dumps({**config, "vocab_size": words, "n_embd": 32}))
    study = study_of(mail, model, methods=["full"], seeds=[0], settings={"weights": "random"})
    full, majority = compare(study, tmp_path / "s", threads=1).records
    assert full.status is RunStatus.OUT_OF_MEMORY
    assert "memory" in full.error
    assert majority.status is RunStatus.COMPLETED


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait as long as the process lives, however slow the machine is."""
    while not condition():
        assert process.poll() is None or condition(), "it ended before it came"
        time.sleep(0.02)


def servers_of(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children() if "whichtune.executors.worker" in child.cmdline()]


@pytest.mark.usefixtures("real_servers")
def test_a_run_killed_by_the_system_is_a_row(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    """As the out-of-memory killer does it: SIGKILL to the run's own process."""
    killed = []

    def kill_the_run(event: dict) -> None:
        if event["event"] == "step" and not killed:
            (server,) = servers_of(psutil.Process())
            (run,) = server.children()
            killed.append(run.pid)
            run.kill()

    study = study_of(mail, tiny_gpt2, seeds=[0])
    result = compare(study, tmp_path / "s", threads=1, on_event=kill_the_run)
    assert [r.status for r in result.records] == [RunStatus.OUT_OF_MEMORY, RunStatus.COMPLETED, RunStatus.COMPLETED]
    assert "SIGKILL" in result.records[0].error
    assert compare(study, tmp_path / "s", threads=1).started == 1


def wait_for_the_end_of(family: list[psutil.Process]) -> None:
    """Wait until all are gone or are only left to be reaped. The limit is for processes that stay for good."""

    def remain() -> bool:
        return any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family)

    end = time.monotonic() + FOR_GOOD
    while remain():
        assert time.monotonic() < end, f"still there: {family}"
        time.sleep(0.02)


def start_cli(study_file: Path, out: Path, *more: str) -> subprocess.Popen:
    words = ["compare", str(study_file), "--out", str(out), "--threads", "1", *more]
    command = [sys.executable, "-m", "whichtune", *words]
    source = str(Path(__file__).parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        # A shell starts background jobs with Ctrl-C switched off; a user's terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def write_study(mail: Path, model: Path, folder: Path) -> Path:
    file = folder / "study.yaml"
    file.write_text(
        f"data: {mail}\nmodel: {model}\nmethods: [head_only, last_block, full]\nseeds: [0, 1]\n"
        "baselines: [majority]\nsettings: {epochs: 4, context_length: 40}\n",
        encoding="utf-8",
    )
    return file


def test_interrupting_keeps_what_is_complete(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    file, out = write_study(mail, tiny_gpt2, tmp_path), tmp_path / "s"
    process = start_cli(file, out)
    wait_for(lambda: len(list(out.glob("runs/*/run.json"))) >= 2, process)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate()
    assert process.returncode == 130
    assert "the same command resumes" in text
    assert "Traceback" not in text
    statuses = [run["status"] for run in json.loads((out / "summary.json").read_text())["runs"]]
    assert statuses.count("completed") >= 2
    assert "interrupted" in statuses
    assert "complete, kept" in inside("compare", str(file), "--out", str(out), "--threads", "1").stdout


def test_a_killed_command_takes_its_run_along(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    process = start_cli(write_study(mail, tiny_gpt2, tmp_path), tmp_path / "s")
    me = psutil.Process(process.pid)
    wait_for(lambda: any(child.children() for child in me.children()), process)
    family = me.children(recursive=True)
    process.kill()
    process.wait()
    wait_for_the_end_of(family)


@pytest.mark.slow
def test_two_commands_share_one_folder(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    """Every run is made once, by either; both end with the whole summary."""
    file, out = write_study(mail, tiny_gpt2, tmp_path), tmp_path / "s"
    both = [start_cli(file, out) for _ in range(2)]
    texts = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    made = sum(int(text.split(" runs made.")[0].split()[-1]) for text in texts)
    assert made == 7
    assert len(json.loads((out / "summary.json").read_text())["runs"]) == 7


@pytest.mark.slow
def test_without_fork_every_run_has_a_fresh_process(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    from whichtune.compare import prepare

    specs = prepare(study_of(mail, tiny_gpt2, methods=["head_only"], seeds=[0]))[0].specs
    folder = StudyFolder(tmp_path / "s", create=True)
    assert LocalExecutor(fork=False, threads=1).execute(specs, folder, False, lambda event: None) == 2
    assert all(folder.is_complete(spec.run_id) for spec in specs)


def test_data_that_change_under_a_study_fail_its_runs(tiny_gpt2: Path, mail: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(mail, tmp_path / "mail.csv"))

    def change(event: dict) -> None:
        if event["event"] == "study":
            with copy.open("a", encoding="utf-8") as handle:
                handle.write("late,spam\n")

    result = compare(study_of(copy, tiny_gpt2, seeds=[0]), tmp_path / "s", threads=1, on_event=change)
    assert {r.status for r in result.records} == {RunStatus.FAILED}
    assert "changed after the study began" in result.records[0].error
