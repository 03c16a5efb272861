"""What is stored is believed when it proves itself; nothing in a folder, a file or a name is obeyed."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from command import inside
from whichtune.errors import SettingError, StoreError
from whichtune.evidence.summary import checksum_of
from whichtune.records.record import RunRecord
from whichtune.records.store import StudyFolder, default_folder
from whichtune.records.verify import CHECKSUMS, run_fault, write_checksums
from whichtune.report.write import load_summary
from whichtune.runs.predict import find_run, predict_file, saved_in

PINS = Path(__file__).parent / "pins"
MARK = "open({mark!r}, 'w').write('run')\n"
SHADOWS = ("code.py", "profile.py", "random.py", "typing.py")
ESC = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u2069"


@dataclasses.dataclass(frozen=True)
class Place:
    """A working directory whose files have names of the library's, and the study that was made in it."""

    cwd: Path

    @property
    def mark(self) -> Path:
        return self.cwd.parent / "was-run"

    @property
    def command(self) -> list[str]:
        options = ["--data", "d.csv", "--methods", "head_only,tfidf_char,majority", "--seeds", "0"]
        return ["compare", *options, "--set", "epochs=1", "--threads", "1", "--no-figures", "--save", "all"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Made by `python -m whichtune`, without a home, beside files that would stand in for the library's."""
    place = Place(tmp_path_factory.mktemp("trust") / "cwd")
    place.cwd.mkdir()
    draw = random.Random(0)
    words = [[f"{name}{i}" for i in range(4)] for name in ("bill", "ship", "return")]
    rows = [
        (" ".join(draw.choice([*words[i % 3], "for", "it", "me"]) for _ in range(8)), "abc"[i % 3]) for i in range(90)
    ]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(place.cwd / "d.csv", index=False)
    for name in SHADOWS:
        (place.cwd / name).write_text(MARK.format(mark=str(place.mark)) + "raise RuntimeError('mine')\n")
    env = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME")}
    env["PYTHONPATH"] = str(Path(__file__).parents[1] / "src")
    command = [sys.executable, "-m", "whichtune", *place.command, "--out", "out"]
    done = subprocess.run(command, cwd=place.cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture
def study(made: Place, tmp_path: Path) -> StudyFolder:
    """A copy to be spoilt."""
    return StudyFolder(shutil.copytree(made.cwd / "out", tmp_path / "out"))


def run_of(study: StudyFolder, label: str) -> RunRecord:
    summary = json.loads((study.path / "summary.json").read_text("utf-8"))
    return RunRecord.model_validate(next(run for run in summary["runs"] if run["label"] == label))


def edit_summary(study: StudyFolder, change: Callable[[dict[str, Any]], object]) -> None:
    """As somebody would who knows of the checksum."""
    found = study.read_json("summary.json")
    change(found)
    study.write_json("summary.json", {**found, "checksum": checksum_of(found)})


# -- what lies beside the data ----------------------------------------------------------------------


def test_files_in_the_working_directory_are_not_run(made: Place) -> None:
    assert not made.mark.exists()
    statuses = {run.status for run in load_summary(StudyFolder(made.cwd / "out")).runs}
    assert statuses == {"completed"}


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "a\0b", "a\x1bb", "a\u202eb", "x" * 250, "ä" * 150])
def test_a_study_is_kept_under_its_name_alone(name: str) -> None:
    with pytest.raises(SettingError, match="--out"):
        default_folder(name)


def test_usual_names_are_folders() -> None:
    assert default_folder("my study, v1.2") == Path("whichtune-my study, v1.2")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without a name")
def test_a_user_without_name_and_home_has_a_cache() -> None:
    place = tempfile.mkdtemp()
    os.chown(place, 54321, 54321)
    lines = ["import os, sys", "from whichtune.data.named import user_cache", "os.setuid(54321)", "print(user_cache())"]
    env = {"PYTHONPATH": str(Path(__file__).parents[1] / "src"), "TMPDIR": place}
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == Path(place) / "whichtune-54321"
    shutil.rmtree(place)


# -- saved runs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["head_only", "tfidf_char", "majority"])
def test_a_saved_run_answers_as_it_was_recorded(study: StudyFolder, label: str, tmp_path: Path) -> None:
    record = find_run(study, label)
    recorded = study.predictions(record.run_id).query("split == 'test'")
    texts = study.examples().set_index("example_id").loc[recorded["example_id"], ["text"]]
    texts.to_csv(tmp_path / "t.csv", index=False)
    table = predict_file(study, record, tmp_path / "t.csv", None)
    assert list(table["prediction"]) == [record.labels[i] for i in recorded["prediction"]]


def transposed(file: Path) -> None:
    """Arrays as release 0.1 wrote them: those in Fortran's order in the order of memory, under C's shape."""
    from safetensors.numpy import load_file, save_file

    arrays = load_file(file)
    assert len(arrays["weight"]) == 3
    save_file({**arrays, "weight": arrays["weight"].T.copy().reshape(arrays["weight"].shape)}, file)


def test_a_baseline_that_was_saved_wrongly_is_refused(study: StudyFolder, made: Place) -> None:
    record = find_run(study, "tfidf_char")
    folder = study.run_folder(record.run_id)
    transposed(folder / "baseline.safetensors")
    with pytest.raises(StoreError, match="was changed after it was written"):
        predict_file(study, record, made.cwd / "d.csv", None)
    (folder / CHECKSUMS).unlink()
    with pytest.raises(StoreError, match="does not give its recorded predictions again"):
        predict_file(study, record, made.cwd / "d.csv", None)


def test_weights_that_do_not_prove_themselves_are_not_kept(study: StudyFolder) -> None:
    record = run_of(study, "tfidf_char")
    saved, before = study.run_folder(record.run_id), study.predictions(record.run_id)

    def save(folder: Path) -> None:
        shutil.copy(saved / "vocabulary.json", folder)
        shutil.copy(saved / "baseline.safetensors", folder)
        transposed(folder / "baseline.safetensors")
        from whichtune.records.verify import spec_of
        from whichtune.runs.predict import _known
        from whichtune.runs.proof import predict_proven

        predict_proven(spec_of(record), record, folder, [], _known(study, record))

    study.write_run(record, predictions=before, save=save)
    stored = study.read_run(record.run_id)
    assert stored is not None
    assert stored.metrics == record.metrics
    assert "weights were not kept" in stored.notes[-1]
    assert study.weight_files(record.run_id) == []
    assert run_fault(saved) is None


def test_a_full_disk_keeps_the_figures(study: StudyFolder) -> None:
    from safetensors.numpy import save_file

    record, room = run_of(study, "majority"), resource.getrlimit(resource.RLIMIT_FSIZE)
    predictions = study.predictions(record.run_id)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, room[1]))  # a file that grows beyond it fails as on a full disk
    try:
        study.write_run(
            record,
            predictions=predictions,
            save=lambda place: save_file({"w": np.zeros(10**6)}, place / "weights.safetensors"),
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    stored = study.read_run(record.run_id)
    assert stored is not None
    assert stored.metrics == record.metrics
    assert stored.notes[-1].startswith("The weights were not kept: ")
    assert study.weight_files(record.run_id) == []
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, room[1]))
    try:
        with pytest.raises(StoreError, match="cannot be stored"):
            study.write_run(record, predictions=predictions)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    assert study.read_run(record.run_id) == stored  # and nothing half-written
    assert not list(study.runs.glob(".*"))


def test_saved_weights_fit_exactly(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from whichtune.models.saving import load_trained_state, trained_state

    model, file = torch.nn.Linear(3, 2), tmp_path / "weights.safetensors"
    good = trained_state(model)
    spoilt = {
        "bias is missing": {"weight": good["weight"]},
        "extra is not among": {**good, "extra": torch.zeros(1)},
        r"weight is \[1, 3\]": {**good, "weight": torch.zeros(1, 3)},
        r"bias is \[1\]": {**good, "bias": torch.zeros(1)},
        "bias is .* float16": {**good, "bias": torch.zeros(2, dtype=torch.float16)},
        "bias has values": {**good, "bias": torch.tensor([0.0, torch.nan])},
    }
    for words, state in spoilt.items():
        save_file(state, file)
        with pytest.raises(StoreError, match=words):
            load_trained_state(model, file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StoreError, match="cannot be read"):
        load_trained_state(model, file)
    assert all(torch.equal(value, good[name]) for name, value in model.state_dict().items())


# -- what was changed ------------------------------------------------------------------------------


def results(study: StudyFolder) -> list[object]:
    """All that readers get of a study; raises StoreError, or has the words that a reader is told."""
    summary = load_summary(study)
    runs = []
    for run in summary.runs:
        saved_in(study, find_run(study, run.run_id))
        weights = [file.read_bytes() for file in study.weight_files(run.run_id)]
        runs.append((study.predictions(run.run_id).to_json(), study.curves(run.run_id), weights))
    texts = study.examples().to_json()
    return [summary.model_copy(update={"checksum": None}), runs, texts]


def test_a_flipped_bit_changes_no_result_without_a_word(study: StudyFolder) -> None:
    draw, right = random.Random(1), results(study)
    files = [file for file in study.path.rglob("*") if file.suffix in (".json", ".jsonl", ".parquet", ".safetensors")]
    files = [file for file in files if file.name != "study.json" and file.stat().st_size]  # which nobody reads
    told = 0
    for flip in range(80):
        file = files[flip % len(files)]
        whole = file.read_bytes()
        spoilt = bytearray(whole)
        spoilt[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        file.write_bytes(spoilt)
        try:
            found = results(study)
        except StoreError:
            found = None
        told += found is None
        assert found in (None, right) or "Not to be believed" in str(found[0]) or "not the one" in str(found[0]), file
        file.write_bytes(whole)
    assert told > 60
    assert results(study) == right


def pinned(tmp_path: Path) -> tuple[StudyFolder, Path]:
    """A study of release 0.1, which has no checksums, and the folder of one of its trained runs."""
    study = StudyFolder(shutil.copytree(PINS / "labels", tmp_path / "labels"))
    run = next(run for run in load_summary(study).runs if run.role == "run" and run.status == "completed")
    return study, study.run_folder(run.run_id)


def change_json(**keys: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        found = json.loads((folder / "run.json").read_text("utf-8"))
        (folder / "run.json").write_text(json.dumps({**found, **keys}), "utf-8")

    return change


def better(folder: Path) -> None:
    found = json.loads((folder / "run.json").read_text("utf-8"))
    found["metrics"]["test"]["accuracy"] = 1.0
    (folder / "run.json").write_text(json.dumps(found), "utf-8")


def other_seed(folder: Path) -> None:
    found = json.loads((folder / "run.json").read_text("utf-8"))
    found["seed"] = found["spec"]["seed"] = 77
    (folder / "run.json").write_text(json.dumps(found), "utf-8")


def cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


def all_right(folder: Path) -> None:
    frame = pd.read_parquet(folder / "predictions.parquet")
    frame.assign(prediction=frame["label"]).to_parquet(folder / "predictions.parquet", index=False)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (better, "test figures do not follow"),
        (all_right, "figures do not follow"),
        (other_seed, "settings are not those"),
        (change_json(run_id="0" * 16), "record is that of another run"),
        (change_json(schema_version=99), "a newer whichtune wrote it"),
        (change_json(seed="1"), "no record of a run"),
        (change_json(cost={"train_seconds": float("nan")}), "cannot be read"),
        (cut("run.json"), "cannot be read"),
        (cut("predictions.parquet"), r"predictions\.parquet cannot be read"),
        (lambda folder: (folder / "predictions.parquet").unlink(), r"predictions\.parquet is missing"),
    ],
)
def test_runs_without_checksums_are_verified(spoil: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    study, folder = pinned(tmp_path)
    assert run_fault(folder) is None
    spoil(folder)
    assert re.search(words, str(run_fault(folder)))
    verdict = load_summary(study).verdict
    assert verdict is not None
    assert verdict.warnings[0].startswith("Not to be believed: ")
    with pytest.raises(StoreError, match="is refused"):
        find_run(study, folder.name)


def test_what_was_changed_is_made_again(made: Place, study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    right = {run.run_id: run.metrics for run in load_summary(study).runs}
    edited, copied = (study.run_folder(run_of(study, label).run_id) for label in ("majority", "tfidf_char"))
    better(edited)
    shutil.rmtree(copied)
    shutil.copytree(edited, copied)
    write_checksums(copied)
    said = inside(*made.command, "--out", str(study.path), cwd=made.cwd).stdout
    assert "Made again: the run 'majority'" in said
    assert "Made again: the run 'tfidf_char'" in said
    assert "2 runs made" in said
    assert {run.run_id: run.metrics for run in load_summary(study).runs} == right
    assert {place.name for place in (study.path / "set-aside").iterdir()} == {edited.name, copied.name}


STORED = ("summary.json", "study.json", "examples.parquet", "predictions.parquet", "curves.jsonl", "run.json")


@pytest.mark.parametrize("name", STORED)
def test_truncated_files_are_one_sentence(study: StudyFolder, name: str, made: Place) -> None:
    for file in study.path.rglob(name):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] + b"{")
    place, refused = str(study.path), 0
    for words in (
        ["show", place],
        ["report", place, "--no-figures"],
        ["predict", place, "majority", str(made.cwd / "d.csv")],
    ):
        said = leaving(*words)
        refused += said.startswith("Error: ")
        assert said.startswith("Error: ") or name == "study.json" or words[0] == "predict" or "Read first: " in said
        assert not said.startswith("Error: ") or said.count("\n") == 1
    assert bool(refused) == (name != "study.json")


def leaving(*words: str) -> str:
    """What a command says that may refuse: standard error alone where it does."""
    try:
        return inside(*words).stdout
    except AssertionError:
        return inside(*words, code=2).stderr


# -- folders of others -----------------------------------------------------------------------------


def test_a_folder_leads_nowhere_else(study: StudyFolder, tmp_path: Path) -> None:
    shutil.copytree(study.runs, tmp_path / "elsewhere")
    there = f"../../elsewhere/{run_of(study, 'majority').run_id}"
    edit_summary(study, lambda found: found["runs"][0].update(run_id=there, label="x"))
    for command in (["show", "x"], ["predict", "x", "t.csv"]):
        assert "which is no id" in inside(command[0], str(study.path), *command[1:], code=2).stderr
    for command in ("show", "report"):
        assert "which is no id" in inside(command, str(study.path), code=2).stderr


def test_what_a_link_leads_to_is_not_removed(study: StudyFolder, tmp_path: Path) -> None:
    folder = study.run_folder(run_of(study, "majority").run_id)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    study.discard(folder.name)
    assert not folder.exists()
    assert run_fault((tmp_path / "elsewhere").rename(tmp_path / folder.name)) is None


@pytest.mark.parametrize("name", ["run.json", CHECKSUMS, "predictions.parquet", "summary.json"])
def test_pipes_are_not_waited_for(study: StudyFolder, name: str) -> None:
    folder = study.path if name == "summary.json" else study.run_folder(run_of(study, "majority").run_id)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert inside("show", str(study.path), "majority", code=2).stderr.count("\n") == 1


def test_a_folder_lets_no_code_run(study: StudyFolder, made: Place, tiny_gpt2: Path, tmp_path: Path) -> None:
    """Neither its plugins, nor the Python code of a model that a record says may run."""
    mark, model = tmp_path / "was-run", shutil.copytree(tiny_gpt2, tmp_path / "model")
    (tmp_path / "plugin.py").write_text(MARK.format(mark=str(mark)))
    (model / "mine.py").write_text(MARK.format(mark=str(mark)) + "class Mine: pass\n")
    config = json.loads((model / "config.json").read_text("utf-8"))
    auto = dict.fromkeys(("AutoConfig", "AutoModel", "AutoModelForCausalLM"), "mine.Mine")
    (model / "config.json").write_text(json.dumps({**config, "model_type": "mine", "auto_map": auto}))
    record = run_of(study, "head_only")
    spec = {**record.spec, "remote_code": True, "model": str(model)}
    from whichtune.records.verify import spec_of

    changed = record.model_copy(update={"spec": spec})
    changed = changed.model_copy(update={"run_id": spec_of(changed).run_id})
    folder = study.run_folder(changed.run_id)
    shutil.copytree(study.run_folder(record.run_id), folder)
    (folder / "run.json").write_text(changed.model_dump_json(), "utf-8")
    write_checksums(folder)

    def hostile(found: dict[str, Any]) -> None:
        found["study"].update(plugins=[str(tmp_path / "plugin.py")], remote_code=True)
        found["runs"] = [changed.model_dump(mode="json")]

    edit_summary(study, hostile)
    assert "head_only" in inside("show", str(study.path)).stdout
    inside("show", str(study.path), "head_only")
    inside("report", str(study.path), "--no-figures")
    words = ("predict", str(study.path), "head_only", str(made.cwd / "d.csv"))
    assert "--remote-code" in inside(*words, code=2).stderr
    assert not mark.exists()


def test_kernels_of_the_hub_are_not_asked_for(tiny_gpt2: Path, tmp_path: Path) -> None:
    from whichtune.models.loading import load_config

    model = shutil.copytree(tiny_gpt2, tmp_path / "model")
    config = json.loads((model / "config.json").read_text("utf-8"))
    for wanted, given in (("someone/kernel", None), ("flash_attention_2", None), ("eager", "eager"), ("sdpa", "sdpa")):
        for key in ("attn_implementation", "_attn_implementation"):
            (model / "config.json").write_text(json.dumps({**config, key: wanted}))
            assert load_config(model)._attn_implementation == given


# -- terminals and spreadsheets --------------------------------------------------------------------


def test_a_terminal_obeys_no_data(study: StudyFolder) -> None:
    def hostile(found: dict[str, Any]) -> None:
        found["study"].update(name=ESC, notes=[ESC])
        found["runs"][0].update(
            label=ESC, notes=[ESC], error=ESC, status="failed", method=ESC, labels=[ESC, "\x9b2J", "c"]
        )
        found["verdict"].update(headline=ESC, reasons=[ESC])

    edit_summary(study, hostile)
    place = str(study.path)
    outputs = [inside("show", place), inside("show", place, "--json"), inside("report", place, "--no-figures")]
    outputs.append(inside("show", place, ESC, code=2))
    outputs.append(inside("compare", "--methods", ESC, "--out", place, "--dry-run", code=2))
    outputs.append(inside("compare", f"--{ESC}", code=2))
    assert "owned" in outputs[0].stdout
    for said in outputs:
        assert {sign for sign in said.stdout + said.stderr if not sign.isprintable()} <= {"\n"}
    assert json.loads(outputs[1].stdout)["study"]["name"] == ESC


def test_progress_obeys_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    from whichtune.cli.progress import Progress
    from whichtune.cli.screen import console

    progress = Progress(console())
    progress({"event": "study", "name": ESC, "folder": ESC, "runs": 1, "complete": 0})
    progress({"event": "start", "run_id": "a", "label": ESC, "seed": 0})
    progress({"event": "note", "text": ESC})
    progress({"event": "end", "run_id": "a", "status": "failed", "error": ESC})
    said = capsys.readouterr().out
    assert said.count("owned") == 3
    assert all(sign == "\n" or sign.isprintable() for sign in said)


def test_spreadsheets_compute_nothing(study: StudyFolder, tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "plain", "1-2"]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts), "utf-8")
    said = inside("predict", str(study.path), "majority", str(tmp_path / "t.jsonl"), "--out", str(tmp_path / "p.csv"))
    assert said.stdout == ""
    table = pd.read_csv(tmp_path / "p.csv", dtype={"text": str})
    assert list(table["text"]) == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "plain", "1-2"]
    assert table["probability of a"].dtype.kind == "f"
    edit_summary(study, lambda found: found["runs"][0].update(label="=cmd|' /C calc'!A0"))
    inside("report", str(study.path), "--no-figures")
    rows = pd.read_csv(study.path / "table.csv")
    assert rows["label"][0] == "'=cmd|' /C calc'!A0"
    assert rows["test_loss"].dtype.kind == "f"
