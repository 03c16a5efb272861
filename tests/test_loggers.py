"""Loggers, read back with their own readers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from report.made_studies import ordinary
from whichtune.errors import SettingError
from whichtune.records.store import StudyFolder
from whichtune.report.loggers import Sender, check_logger
from whichtune.report.write import write_report


def send(folder: StudyFolder, name: str) -> None:
    """The events of a study whose first run ends now and whose others were there before."""
    events = []
    sender = Sender([name], events.append)
    runs = folder.read_json("summary.json")["runs"]
    sender({"event": "study", "name": "made", "folder": str(folder.path), "runs": len(runs), "complete": len(runs) - 1})
    sender({"event": "end", "run_id": runs[0]["run_id"], "status": "completed", "error": None})
    sender.finish()
    assert [event["event"] for event in events] == ["study", "end"]


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    made = ordinary(tmp_path)
    write_report(made, figures=False)
    return made


def test_tensorboard_receives_curves_figures_settings_and_table(folder):
    pytest.importorskip("tensorboard", reason="the extra whichtune[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    send(folder, "tensorboard")
    completed = [run for run in folder.read_json("summary.json")["runs"] if run["status"] == "completed"]
    places = sorted(place.name for place in (folder.path / "tensorboard").iterdir())
    assert len(places) == len(completed) + 1
    assert "study" in places
    run = next(run for run in completed if run["label"] == "lora" and run["seed"] == 1)
    events = EventAccumulator(str(folder.path / "tensorboard" / f"lora, seed 1 {run['run_id'][:8]}")).Reload()
    curve = folder.curves(run["run_id"])
    sent = events.Scalars("validation/loss")
    assert [event.step for event in sent] == [point["step"] for point in curve]
    assert [event.value for event in sent] == pytest.approx([point["validation_loss"] for point in curve])
    assert events.Scalars("final/test_accuracy")[0].value == pytest.approx(run["metrics"]["test"]["accuracy"])
    assert events.Scalars("cost/trainable_parameters")[0].value == 70_000
    assert "_hparams_/session_start_info" in events.summary_metadata
    table = EventAccumulator(str(folder.path / "tensorboard" / "study")).Reload()
    text = table.Tensors("table/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| head_only |" in text


def test_tensorboard_gets_each_run_once(folder):
    pytest.importorskip("tensorboard", reason="the extra whichtune[tensorboard] is not installed")
    send(folder, "tensorboard")
    files = {path: path.stat().st_size for path in (folder.path / "tensorboard").glob("[!s]*/*")}
    send(folder, "tensorboard")
    assert {path: path.stat().st_size for path in (folder.path / "tensorboard").glob("[!s]*/*")} == files


def test_mlflow_receives_each_run_once_and_the_table(folder, monkeypatch):
    pytest.importorskip("mlflow", reason="the extra whichtune[mlflow] is not installed")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    send(folder, "mlflow")
    send(folder, "mlflow")
    client = MlflowClient(f"sqlite:///{folder.path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("made")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    completed = [run for run in folder.read_json("summary.json")["runs"] if run["status"] == "completed"]
    assert len(client.search_runs([experiment.experiment_id])) == len(completed) + 1
    ours = next(run for run in completed if run["label"] == "lora" and run["seed"] == 1)
    theirs = runs["lora, seed 1"]
    assert theirs.data.metrics["final/test_accuracy"] == pytest.approx(ours["metrics"]["test"]["accuracy"])
    assert theirs.data.params["epochs"] == "3"
    history = client.get_metric_history(theirs.info.run_id, "validation/loss")
    curve = folder.curves(ours["run_id"])
    assert {(m.step, round(m.value, 9)) for m in history} == {
        (p["step"], round(p["validation_loss"], 9)) for p in curve
    }
    names = {item.path for item in client.list_artifacts(runs["study"].info.run_id)}
    assert {"table.md", "table.csv", "report.html"} <= names


def test_an_unknown_logger_and_a_missing_extra_are_one_sentence(monkeypatch):
    with pytest.raises(SettingError, match="did you mean 'tensorboard'"):
        check_logger("tensorbord")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    with pytest.raises(SettingError, match=r"pip install 'whichtune\[mlflow\]'"):
        check_logger("mlflow")
