"""A study's forecast is made beside its runs, by a process of its own."""

from __future__ import annotations

import multiprocessing
import signal
from typing import Any

import pytest

from whichtune.compare import prepare
from whichtune.executors import forecast as module
from whichtune.executors.forecast import Forecaster, forecast
from whichtune.records.events import Event
from whichtune.study.load import parse_study


@pytest.fixture(scope="module")
def asked() -> tuple[list[Any], Any]:
    data = {"source": "messages", "train_limit": 40, "test_limit": 20, "validation_limit": 20}
    study = {"name": "f", "data": data, "seeds": [0], "methods": ["head_only", "last_block", "linear_probe"]}
    expansion, dataset = prepare(parse_study({**study, "baselines": ["majority"]}, "the study"))
    return expansion.specs, dataset


def ended(spec: Any) -> Event:
    return {"event": "end", "run_id": spec.run_id, "label": spec.label}


def told_by(forecaster: Forecaster, specs: list[Any]) -> Event:
    assert forecaster.after(ended(specs[0])) is None
    assert forecaster.after(ended(specs[1])) is None  # begun, and nobody waits
    assert forecaster.told is not None
    assert forecaster.told.poll(None)
    found = forecaster.after({"event": "step", "run_id": specs[2].run_id})
    assert found is not None
    assert forecaster.after(ended(specs[2])) is None  # once
    return found


def test_it_comes_with_a_later_event(asked: tuple[list[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    specs, dataset = asked
    monkeypatch.setattr(module, "SECONDS_FIRST", 0.0)
    found = told_by(Forecaster(specs, dataset), specs)
    assert found["event"] == "forecast"
    assert found["expected"].keys() == forecast(specs, dataset).keys() == {"head_only", "last_block", "linear_probe"}
    for child in multiprocessing.active_children():
        child.join()
    assert not multiprocessing.active_children()


class Stuck:
    """Data whose reading never ends."""

    @property
    def variants(self) -> None:
        signal.pause()


def test_a_process_that_is_killed_is_told_and_stops_nothing(
    asked: tuple[list[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    specs, _ = asked
    monkeypatch.setattr(module, "SECONDS_FIRST", 0.0)
    forecaster = Forecaster(specs, Stuck())  # type: ignore[arg-type]
    forecaster.after(ended(specs[0]))
    forecaster.after(ended(specs[1]))
    assert forecaster.after({"event": "step", "run_id": specs[2].run_id}) is None  # not yet
    [child] = multiprocessing.active_children()
    child.kill()
    child.join()
    found = forecaster.after({"event": "step", "run_id": specs[2].run_id})
    assert found is not None
    assert found["event"] == "note"
    assert "its process ended early" in found["text"]


def test_where_no_process_can_be_forked_it_is_made_between_two_runs(
    asked: tuple[list[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    specs, dataset = asked
    monkeypatch.setattr(module, "SECONDS_FIRST", 0.0)
    monkeypatch.setattr(module, "_can_fork", lambda: False)
    forecaster = Forecaster(specs, dataset)
    forecaster.after(ended(specs[0]))
    found = forecaster.after(ended(specs[1]))
    assert found is not None
    assert found["event"] == "forecast"


def test_a_study_that_is_over_first_leaves_no_process_and_no_words(
    asked: tuple[list[Any], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """The pipe is closed, and holds less than what would be told."""
    specs, dataset = asked
    many = [spec.model_copy(update={"label": f"{spec.label} {'x' * 60_000}"}) for spec in specs]
    context = multiprocessing.get_context("fork")
    here, theirs = context.Pipe(duplex=False)
    process = context.Process(target=module._make, args=(here, theirs, many, dataset), daemon=True)
    process.start()
    here.close()
    theirs.close()
    process.join()
    assert process.exitcode == 0
    assert "Traceback" not in capfd.readouterr().err
