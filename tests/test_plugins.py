"""What others add: files beside a study, modules of the calling program, installed packages; and those that break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent / "plugin_package"
SOURCE = PACKAGE / "src" / "whichtune_embeddings"
STUDY = """
data: {source: %s}
model: %s
methods: [head_only, {method: embeddings, train_positions: true}]
baselines: [majority]
seeds: [0]
settings: {max_steps: 2, batch_size: 8}
"""


def whichtune(
    *arguments: str, at: Path, path: Path | None = None, python: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in a folder; `path` is searched for packages, too, and `python` is that of
    an environment beside ours."""
    places = [str(Path(__file__).parents[1] / "src"), *([str(path)] if path else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "COLUMNS": "200"}
    command = [str(python or sys.executable), "-m", "whichtune", *arguments]
    return subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, check=False)


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture
def beside(tmp_path: Path, mail: Path, tiny_gpt2: Path) -> Path:
    """A study file with a plugin file beside it."""
    (tmp_path / "mine.py").write_text((SOURCE / "method.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "s.yaml").write_text(STUDY % (mail, tiny_gpt2) + "plugins: [mine.py]\n", encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_file_beside_the_study_adds_a_method(beside: Path) -> None:
    elsewhere = beside / "elsewhere"
    elsewhere.mkdir()
    command = ("compare", "../s.yaml", "--no-figures", "--threads", "1", "--save", "all", "--out", "made")
    first = whichtune(*command, at=elsewhere)
    assert first.returncode == 0, first.stderr
    runs = {run["label"]: run for run in summary(elsewhere / "made")["runs"]}
    assert runs["embeddings"]["status"] == "completed"
    assert runs["embeddings"]["spec"]["method_settings"] == {"train_positions": True}
    assert runs["embeddings"]["cost"]["trainable_parameters"] > runs["head_only"]["cost"]["trainable_parameters"]
    assert "0 runs made" in whichtune(*command, at=elsewhere).stdout
    (elsewhere / "new.txt").write_text("call now to win\nsee you at noon\n", encoding="utf-8")
    told = whichtune("predict", "made", "embeddings", "new.txt", at=elsewhere)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "There is no method 'embeddings'" in told.stderr  # a stored study imports nothing by itself
    predicted = whichtune("--plugin", "../mine.py", "predict", "made", "embeddings", "new.txt", at=elsewhere)
    assert predicted.returncode == 0, predicted.stderr
    assert len(predicted.stdout.splitlines()) == 3


PROGRAM = """
import sys
from whichtune import compare, parse_study
exec(open({method!r}).read())
study = parse_study({{"data": {data!r}, "model": {model!r}, "methods": ["embeddings"], "baselines": [], "seeds": [0],
                     "settings": {{"max_steps": 1}}}}, "program")
{guard}
    result = compare(study, "made", threads=1, save="none")
    print([str(run.status) for run in result.records], [run.error for run in result.records])
"""


@pytest.mark.slow
@pytest.mark.parametrize("guard", ['if __name__ == "__main__":', "if True:"])
def test_a_method_of_the_calling_program(guard: str, tmp_path: Path, mail: Path, tiny_gpt2: Path) -> None:
    text = PROGRAM.format(method=str(SOURCE / "method.py"), data=str(mail), model=str(tiny_gpt2), guard=guard)
    (tmp_path / "program.py").write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    if "__main__" in guard:
        assert "['completed'] [None]" in done.stdout
    else:
        assert "['failed']" in done.stdout
        assert "put its call of compare under" in done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment beside ours, into which pip has installed the example package; what the package
    needs it finds in ours."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "environment")], check=True)
    python = place / "environment" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.strip())
    (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(["cp", "-r", str(PACKAGE), str(place / "source")], check=True)
    subprocess.run([*command, "--target", str(site), str(place / "source")], check=True, capture_output=True)
    return python


@pytest.mark.slow
def test_an_installed_package_adds_a_method_a_metric_and_an_executor(
    installed: Path, tmp_path: Path, mail: Path, tiny_gpt2: Path
) -> None:
    study = STUDY % (mail, tiny_gpt2) + "primary_metric: mean_recall\n"
    (tmp_path / "s.yaml").write_text(study, encoding="utf-8")
    command = ("compare", "s.yaml", "--threads", "1", "--save", "all", "--out", "made", "--executor", "in_turn")
    done = whichtune(*command, at=tmp_path, python=installed)
    assert done.returncode == 0, done.stderr
    found = summary(tmp_path / "made")
    assert all(run["metrics"]["test"]["mean_recall"] is not None for run in found["runs"])
    assert found["verdict"]["metric"] == "mean_recall"
    assert "test mean recall %" in (tmp_path / "made" / "table.md").read_text(encoding="utf-8")
    assert "mean recall" in (tmp_path / "made" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "made" / "in_turn.log").read_text(encoding="utf-8").count("made") == 3
    assert "0 runs made" in whichtune(*command, at=tmp_path, python=installed).stdout
    (tmp_path / "new.csv").write_text("text\ncall now\n", encoding="utf-8")
    assert whichtune("predict", "made", "embeddings", "new.csv", at=tmp_path, python=installed).returncode == 0
    listed = whichtune("methods", at=tmp_path, python=installed).stdout
    lines = [line.strip() for line in listed.splitlines()]
    assert "whichtune-embeddings 1.0" in next(line for line in lines if line.startswith("embeddings"))
    assert "built in" in next(line for line in lines if line.startswith("head_only"))


BROKEN = {
    "raises": ("import nothing_of_this_name", "cannot be loaded (ModuleNotFoundError: No module named 'nothing_of"),
    "exits": ("raise SystemExit(3)", "cannot be loaded (SystemExit: 3)"),
    "no python": ("def", "cannot be loaded (SyntaxError"),
    "taken name": (
        "from whichtune.methods.full import Full\nfrom whichtune.methods.base import register\n"
        "register(type('Mine', (Full,), {'name': 'lora'}))",
        "The method 'lora' from",
    ),
    "other version": ("whichtune_api = 99", "is for plugin interface 99, and this whichtune has 1"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_plugin_that_breaks_is_one_sentence(kind: str, beside: Path) -> None:
    code, said = BROKEN[kind]
    (beside / "mine.py").write_text(code, encoding="utf-8")
    done = whichtune("compare", "s.yaml", "--out", "made", at=beside)
    assert done.returncode == 2
    assert said in done.stderr
    assert "mine.py" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (beside / "made").exists()


def test_a_package_that_breaks_is_named(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "bad_thing-2.1.dist-info").mkdir(parents=True)
    (site / "bad_thing-2.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-thing\nVersion: 2.1\n")
    (site / "bad_thing-2.1.dist-info" / "entry_points.txt").write_text("[whichtune.methods]\nbad = bad_thing\n")
    (site / "bad_thing.py").write_text("1 / 0\n")
    done = whichtune("methods", at=tmp_path, path=site)
    assert done.returncode == 2
    assert "'bad' of bad-thing 2.1 cannot be loaded (ZeroDivisionError" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_plugin_file_is_one_sentence(beside: Path) -> None:
    done = whichtune("--plugin", "none.py", "compare", "s.yaml", at=beside)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "There is no plugin file 'none.py'" in done.stderr


def test_the_example_is_a_complete_method_in_under_40_lines() -> None:
    assert len((SOURCE / "method.py").read_text(encoding="utf-8").splitlines()) < 40
