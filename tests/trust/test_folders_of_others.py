"""A folder of somebody else leads nowhere, is not waited for and lets no code run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from command import inside
from trust.places import MARK, Place, edit_summary, run_of
from whichtune.records.store import LEADS_OUT, StudyFolder
from whichtune.records.verify import CHECKSUMS, run_fault, write_checksums


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


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["runs", "locks", "set-aside", "figures"])
def test_folders_that_lead_out_are_refused(study: StudyFolder, made: Place, tmp_path: Path, name: str) -> None:
    place, elsewhere = study.path / name, tmp_path / "elsewhere"
    place.mkdir(exist_ok=True)
    shutil.rmtree(study.run_folder(run_of(study, "majority").run_id))  # which a comparison would make
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    before, told = everything(elsewhere), f"Error: '{place}' {LEADS_OUT}: remove it.\n"
    assert inside(*made.command, "--out", str(study.path), cwd=made.cwd, code=2).stderr == told
    for words in (["show"], ["show", "head_only"], ["report", "--no-figures"], ["predict", "head_only", "d.csv"]):
        said = inside(words[0], str(study.path), *words[1:], cwd=made.cwd, code=2 if name == "runs" else 0)
        assert said.stderr == told or name != "runs"
    assert everything(elsewhere) == before
    assert place.is_symlink()


def test_a_run_that_is_a_link_is_made_again(study: StudyFolder, made: Place, tmp_path: Path) -> None:
    folder, elsewhere = study.run_folder(run_of(study, "majority").run_id), tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    before = everything(elsewhere)
    assert LEADS_OUT in " ".join(inside("show", str(study.path)).stdout.split())
    assert LEADS_OUT in inside("predict", str(study.path), "majority", "d.csv", cwd=made.cwd, code=2).stderr
    for number in range(2):  # the second link has its own place
        said = inside(*made.command, "--out", str(study.path), cwd=made.cwd)
        assert "Made again" in said.stdout + said.stderr
        assert folder.is_dir()
        assert not folder.is_symlink()
        assert len([path for path in (study.path / "set-aside").iterdir() if path.is_symlink()]) == number + 1
        shutil.rmtree(folder)
        folder.symlink_to(elsewhere)
    assert everything(elsewhere) == before


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
