"""Every command that reads a study's folder, on folders that somebody has prepared: done or refused in one sentence,
in time, and with nothing written anywhere else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from command import inside
from fuzz.harness import Case, answer, faults
from trust.places import ESC, Place, edit_summary, run_of
from whichtune.records.store import StudyFolder

Harm = Callable[[StudyFolder], object]


def run_folder(study: StudyFolder) -> Path:
    return study.run_folder(run_of(study, "majority").run_id)


def replaced(place: Path, make: Callable[[Path], object]) -> None:
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
    make(place)


def each_run(study: StudyFolder, name: str, make: Callable[[Path], object]) -> None:
    for folder in study.runs.iterdir():
        if (folder / name).exists():
            replaced(folder / name, make)


def linked(place: Path) -> None:
    """A link in its place, to where it is kept now."""
    kept = place.with_name("kept")
    place.rename(kept)
    place.symlink_to(kept)


def lock_of(study: StudyFolder) -> Path:
    """The place of a run's lock, free, where the run is to be made again."""
    (study.path / "precious").write_text("mine")
    shutil.rmtree(run_folder(study))
    place = study.path / "locks" / f"{run_of(study, 'majority').run_id}.lock"
    place.unlink(missing_ok=True)
    return place


DEEP = b"[" * 100_000
HUGE = b'{"schema_version": 1, "study": {}, "runs": [' + b"0," * 2_000_000 + b"0]}"
HARMS: dict[str, Harm] = {
    "a pipe for the summary": lambda study: replaced(study.path / "summary.json", os.mkfifo),
    "a folder for the summary": lambda study: replaced(study.path / "summary.json", Path.mkdir),
    "a device for the summary": lambda study: replaced(
        study.path / "summary.json", lambda p: p.symlink_to("/dev/zero")
    ),
    "a summary of nothing": lambda study: (study.path / "summary.json").write_bytes(b""),
    "a deep summary": lambda study: (study.path / "summary.json").write_bytes(DEEP),
    "a huge summary": lambda study: (study.path / "summary.json").write_bytes(HUGE),
    "pipes for records": lambda study: each_run(study, "run.json", os.mkfifo),
    "deep records": lambda study: each_run(study, "run.json", lambda p: p.write_bytes(DEEP)),
    "pipes for predictions": lambda study: each_run(study, "predictions.parquet", os.mkfifo),
    "pipes for checksums": lambda study: each_run(study, "checksums.json", os.mkfifo),
    "pipes for curves": lambda study: each_run(study, "curves.jsonl", os.mkfifo),
    "a pipe for the texts": lambda study: replaced(study.path / "examples.parquet", os.mkfifo),
    "a pipe for the study": lambda study: replaced(study.path / "study.json", os.mkfifo),
    "a file for the runs": lambda study: replaced(study.runs, Path.touch),
    "a loop for the runs": lambda study: replaced(study.runs, lambda p: p.symlink_to(p)),
    "a link for the runs": lambda study: linked(study.runs),
    "a link for a run": lambda study: linked(run_folder(study)),
    "a loop for a run": lambda study: replaced(run_folder(study), lambda p: p.symlink_to(p)),
    "a file for a run": lambda study: replaced(run_folder(study), Path.touch),
    "a file for the locks": lambda study: replaced(study.path / "locks", Path.touch),
    "locks that are elsewhere": lambda study: replaced(
        study.path / "locks", lambda p: p.symlink_to(study.path.parent / "elsewhere")
    ),
    "locks that empty a file": lambda study: lock_of(study).symlink_to(study.path / "precious"),
    "a folder for a lock": lambda study: lock_of(study).mkdir(),
    "a run that is elsewhere": lambda study: edit_summary(
        study, lambda found: found["runs"][0].update(run_id="../../elsewhere")
    ),
    "names that terminals obey": lambda study: edit_summary(study, lambda found: found["study"].update(name=ESC)),
    "a page that is elsewhere": lambda study: replaced(
        study.path / "report.html", lambda p: p.symlink_to(study.path.parent / "elsewhere.html")
    ),
}
COMMANDS = (
    *("show", "show a run", "report", "predict", "compare, dry", "show as JSON", "gate", "gate, before", "extend"),
    *("export", "selftest", "push"),
    "compare",
)
APART = 3  # commands share out the folders in the quick test: each folder meets four of them or five


def words_of(command: str, made: Place) -> tuple[str, ...]:
    data = str(made.cwd / "d.csv")
    study = ("--data", data, "--methods", "majority", "--set", "epochs=1", "--threads", "1", "--no-figures")
    return {
        "show": ("show", "{here}/out"),
        "show a run": ("show", "{here}/out", "majority"),
        "show as JSON": ("show", "{here}/out", "--json"),
        "report": ("report", "{here}/out", "--no-figures"),
        "gate": ("gate", "{here}/out", "--row", "majority", "--at-least", "accuracy=0.01"),
        "gate, before": ("gate", str(made.cwd / "out"), "--row", "majority", "--not-worse-than", "{here}/out"),
        "extend": ("extend", "{here}/out", "--seeds", "1", "--save", "none"),
        "predict": ("predict", "{here}/out", "majority", data),
        "export": ("export", "{here}/out", "majority", "{here}/exported"),
        "selftest": ("selftest", "{here}/out"),
        "push": ("push", "{here}/out", "me/mine"),
        "compare": ("compare", *study, "--seeds", "0", "--out", "{here}/out"),
        "compare, dry": ("compare", *study, "--seeds", "0", "--out", "{here}/out", "--dry-run"),
    }[command]


def quick_ones(command: str) -> list[str]:
    """The folders that a command meets in the quick test: every third."""
    return list(HARMS)[COMMANDS.index(command) % APART :: APART]


@pytest.mark.parametrize("command", COMMANDS)
def test_prepared_folders(command: str, made: Place, tmp_path: Path) -> None:
    ask(command, quick_ones(command), made, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_prepared_folder(command: str, made: Place, tmp_path: Path) -> None:
    ask(command, list(HARMS), made, tmp_path)


def test_every_folder_is_met_quickly() -> None:
    met = {name: sum(name in quick_ones(command) for command in COMMANDS) for name in HARMS}
    assert set(met.values()) <= {4, 5}


def ask(command: str, names: list[str], made: Place, tmp_path: Path) -> None:
    told, codes = [], set()
    for number, name in enumerate(names):
        here = tmp_path / str(number)
        here.mkdir()
        HARMS[name](StudyFolder(shutil.copytree(made.cwd / "out", here / "out")))
        case = Case(words_of(command, made), kind="prepared folders")
        found = answer(case, here)
        codes.add(found.code)
        wrong = faults(case, found)
        wrong += [f"wrote {path}" for path in here.iterdir() if path.name != "out"]
        kept = here / "out" / "precious"
        wrong += ["emptied a file"] if kept.exists() and kept.read_text() != "mine" else []
        wrong += ["obeyed by a terminal"] if "\x1b" in found.stdout + found.stderr else []
        told += [f"{command}, {name}: {'; '.join(wrong)}"] if wrong else []
        if command == "compare" and found.code == 0:
            runs = json.loads((here / "out" / "summary.json").read_text("utf-8"))["runs"]
            told += [f"{name}: {run['error']}" for run in runs if run["status"] != "completed"]
    assert not told, "\n".join(told)
    assert codes <= {0, 2}


def test_pictures_of_others_are_not_removed(study: StudyFolder, tmp_path: Path) -> None:
    """A report removes the figures of the last one, where a link leads to somebody's own."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.png").write_bytes(b"mine")
    (study.path / "figures").symlink_to(tmp_path / "mine")
    assert "is a link, which may lead out" in inside("report", str(study.path), code=2).stderr
    assert (tmp_path / "mine" / "holiday.png").read_bytes() == b"mine"


NOT_ASKED = ("reproduce", "experiment", "demo", "serve")  # which compare; the last stays, see tests/serve


def test_every_command_that_takes_a_folder_is_asked() -> None:
    """A command that is added later and takes one belongs to COMMANDS; `serve` stays, see tests/serve."""
    import typer

    from whichtune.cli.app import app

    group = typer.main.get_command(app)
    taking = {
        name
        for name, command in group.commands.items()  # type: ignore[attr-defined]
        for parameter in command.params
        if parameter.name in ("folder", "out") and name not in NOT_ASKED
    }
    assert taking == {words.split(",")[0].split()[0] for words in COMMANDS}
