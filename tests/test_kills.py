"""A study that is killed at any moment goes on by the same command, to the summary of one that nothing disturbed."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from command import inside
from test_executor import start_cli, wait_for_the_end_of
from whichtune.records.verify import run_fault

# Clocks and memory, and what is worked out from them: which row is the cheapest, and so the verdict.
MOVING = {"started_at", "finished_at", "checksum", "command", "cost_ratios", "sentence", "verdict", "curve"}
# What a run paid itself: a pass over frozen blocks that an earlier call had made is there. What it would have paid
# alone is compared.
MOVING |= {"flops", "cache_flops", "cache_made"}
MEASURED = ("seconds", "memory", "inference_ms", "per_second")
KILLS = 15  # of each study
MORE = ("--no-figures", "--save", "all")
SETTINGS = {"epochs": 4, "context_length": 40}
WRITING = {"context_length": 60, "max_target_tokens": 16, "max_new_tokens": 8, "batch_size": 4, "warmup_steps": 0}
CLASSES = {"methods": ["head_only", "last_block", "lora", "full"], "seeds": [0, 1], "baselines": ["majority"]}
STUDIES: dict[str, dict[str, Any]] = {
    "methods": {**CLASSES, "settings": SETTINGS},
    "several jobs": {**CLASSES, "baselines": ["majority", "tfidf_word"], "settings": SETTINGS, "jobs": 3},
    "texts": {
        "task": "summarisation",
        "methods": ["head_only", "lora", "soft_prompt"],
        "seeds": [0],
        "baselines": ["lead_1", "untuned"],
        "settings": {"epochs": 6, **WRITING},
        "jobs": 2,
    },
    "tuning": {
        "methods": ["head_only", "last_block"],
        "seeds": [0],
        "baselines": ["majority"],
        "settings": {"epochs": 2, "context_length": 40},
        "tuning": {"draws": 3},
    },
}
QUICK = {**STUDIES["tuning"], "methods": ["head_only"], "tuning": {"draws": 2}}
QUICK["settings"] = {"epochs": 1, "context_length": 40}
RUNS = 4  # of it


@dataclass
class Disturbed:
    """A study's file, the folder that it is made in, and how often it was killed there and came to its end.

    The `quick` one is killed once some of its runs are there, and goes on in this process, without another's imports.
    """

    file: Path
    out: Path
    quick: bool = False
    kills: int = 0
    ends: int = 0

    def start(self) -> subprocess.Popen:
        return start_cli(self.file, self.out, *MORE)

    def moment(self, process: subprocess.Popen, chance: random.Random) -> Callable[[], bool]:
        """Whether to kill it now: after so much processor time of the command and all that it started, a moment that
        is the same on a busy machine, or after so many runs."""
        if self.quick:
            runs = chance.randint(1, RUNS - 1)
            return lambda: len(self.run_folders()) >= runs
        me, seconds = psutil.Process(process.pid), chance.uniform(4.0, 13.0)
        return lambda: spent(me) >= seconds

    def come_to_its_end(self) -> str:
        """Go on by the same command, and give what it says."""
        if self.quick:
            said = inside("compare", str(self.file), "--out", str(self.out), "--threads", "1", *MORE)
            return said.stdout + said.stderr
        last = self.start()
        text, _ = last.communicate()
        assert last.returncode == 0, text
        return str(text)

    def run_folders(self) -> list[Path]:
        return [record.parent for record in self.out.glob("runs/[!.]*/run.json")]

    def complete(self) -> dict[str, bytes]:
        """The records of runs that are there, each whole."""
        folders = self.run_folders()
        assert [fault for folder in folders if (fault := run_fault(folder, weights=True))] == []
        records = {folder.name: (folder / "run.json").read_bytes() for folder in folders}
        assert all(json.loads(record)["status"] == "completed" for record in records.values())
        return records


def stable(value: Any) -> Any:
    """A summary without what two undisturbed studies differ in."""
    if isinstance(value, list):
        return [stable(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: each for key, each in value.items() if key not in MOVING and not any(m in key for m in MEASURED)}
    return {key: stable(each) for key, each in kept.items()}


def summary_of(out: Path) -> Any:
    return stable(json.loads((out / "summary.json").read_text(encoding="utf-8")))


def killed(process: subprocess.Popen, now: Callable[[], bool], family_too: bool) -> bool:
    """SIGKILL as soon as it is time. False where it ended before that."""
    me, family = psutil.Process(process.pid), []
    while process.poll() is None and not now():
        time.sleep(0.01)
    if process.poll() is None:
        family = me.children(recursive=True)
        process.kill()
        for each in family if family_too else []:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue  # it went by itself in between
    process.communicate()
    wait_for_the_end_of(family)
    return process.returncode == -9


def spent(process: psutil.Process) -> float:
    total = 0.0
    try:
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    except psutil.NoSuchProcess:
        pass  # one of them has ended since: the next look counts it with its parent
    return total


def kill_and_resume(place: Disturbed, kills: int, undisturbed: Any, chance: random.Random) -> None:
    """Kill the command so often, look at what it left, and go on by the same command; where it comes to its end,
    compare its summary, and begin anew. The last one is let come to its end."""
    while place.kills < kills:
        before = place.complete()
        process = place.start()
        if not killed(process, place.moment(process, chance), chance.random() < 0.5):
            assert summary_of(place.out) == undisturbed
            place.ends += 1
            shutil.rmtree(place.out)
            continue
        place.kills += 1
        after = place.complete()
        assert {name: after.get(name) for name in before} == before  # nothing that was complete is lost or made again
    before = place.complete()
    assert "Made again" not in place.come_to_its_end()
    assert {name: place.complete()[name] for name in before} == before
    assert summary_of(place.out) == undisturbed
    assert not list(place.out.glob("runs/.*"))


@pytest.fixture
def disturb(
    tiny_gpt2: Path, mail: Path, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int], Disturbed]:
    def disturb(study: dict[str, Any], kills: int, quick: bool = False) -> Disturbed:
        data = notes if study.get("task") else mail
        file = tmp_path / "study.yaml"
        file.write_text(yaml.safe_dump({"data": str(data), "model": str(tiny_gpt2), **study}), encoding="utf-8")
        monkeypatch.setenv("WHICHTUNE_CACHE", str(tmp_path / "calm-cache"))
        inside("compare", str(file), "--out", str(tmp_path / "calm"), "--threads", "1", *MORE)
        monkeypatch.setenv("WHICHTUNE_CACHE", str(tmp_path / "cache"))  # a killed writer's, too
        place = Disturbed(file, tmp_path / "killed", quick)
        kill_and_resume(place, kills, summary_of(tmp_path / "calm"), random.Random(str(study)))
        return place

    return disturb


@pytest.mark.slow
def test_killed_at_a_random_moment(disturb: Callable[..., Disturbed]) -> None:
    place = disturb(QUICK, 1, quick=True)
    assert place.kills == 1
    assert len(place.run_folders()) == RUNS


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_killed_fifteen_times(name: str, disturb: Callable[..., Disturbed]) -> None:
    place = disturb(STUDIES[name], KILLS)
    print(f"\n{name}: {place.kills} kills, {place.ends + 1} studies that came to their end, none of them other")
    assert place.kills == KILLS
