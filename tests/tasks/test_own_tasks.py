"""A task from elsewhere has its own way, from its data to its predictions, or an error: never another task's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from whichtune.compare import prepare
from whichtune.data.sources import Usual
from whichtune.errors import SettingError
from whichtune.methods import METHODS
from whichtune.methods.linear_probe import LinearProbe
from whichtune.runs.estimate import estimate_runs
from whichtune.runs.predict import predict_file
from whichtune.runs.preview import preview_run
from whichtune.study.load import parse_study
from whichtune.tasks import TASKS, Task
from whichtune.tasks.classification.task import Classification
from whichtune.tasks.estimates import Estimate, Preview


class Tickets(Classification):
    """One queue for each ticket: classes, by columns and estimates of its own."""

    name = "tickets"
    title = "a queue for each ticket"
    like = "classification"
    columns = Usual(("ticket",), ("queue",), "label")
    default_baselines = ("majority",)

    def estimate(self, spec, dataset, speed):
        return Estimate(1.0, 2, 3, 4, 5)

    def preview(self, spec, dataset):
        return Preview(spec.label, [], 0, 6, 6, 6)

    def predict(self, spec, record, folder, texts):
        return pd.DataFrame({"text": texts, "prediction": "nowhere"})


class Alone(Tickets):
    """A task that is like no other."""

    name = "alone"
    like = None


@pytest.fixture(autouse=True)
def own_tasks() -> Iterator[None]:
    with TASKS.restored():
        TASKS.register("tickets")(Tickets())
        TASKS.register("alone")(Alone())
        yield


@pytest.fixture
def tickets(mail: Path, tmp_path: Path) -> Path:
    table = pd.read_csv(mail)
    table.columns = ["ticket" if name == "text" else "queue" for name in table.columns]
    table.to_csv(tmp_path / "tickets.csv", index=False)
    return tmp_path / "tickets.csv"


def test_its_own_ways_are_taken(tiny_gpt2: Path, tickets: Path, tmp_path: Path) -> None:
    value = {"task": "tickets", "data": str(tickets), "model": str(tiny_gpt2), "methods": ["full"], "seeds": [0]}
    expansion, dataset = prepare(parse_study(value, "test"))
    spec = expansion.specs[0]
    assert expansion.study.baselines == ["majority"]
    assert estimate_runs([spec], dataset)[spec.run_id].flops == 4
    assert preview_run(spec, dataset).flops_plain == 6
    assert list(TASKS["tickets"].examples(dataset).columns) == ["split", "example_id", "text", "label"]


def test_predictions_are_its_own(tiny_gpt2: Path, tickets: Path, tmp_path: Path) -> None:
    from whichtune.records.record import RunStatus
    from whichtune.records.store import StudyFolder
    from whichtune.runs.run import base_record

    value = {"task": "tickets", "data": str(tickets), "model": str(tiny_gpt2), "methods": ["full"], "seeds": [0]}
    spec = prepare(parse_study(value, "test"))[0].specs[0]
    folder = StudyFolder(tmp_path / "s", create=True)
    record = base_record(spec, RunStatus.COMPLETED)
    folder.write_run(record, save=lambda place: (place / "weights.safetensors").touch())
    assert set(predict_file(folder, record, tickets, None)["prediction"]) == {"nowhere"}


def test_methods_of_other_tasks_are_refused(tiny_gpt2: Path, tickets: Path) -> None:
    value = {"task": "alone", "data": str(tickets), "model": str(tiny_gpt2), "methods": ["full"]}
    with pytest.raises(SettingError, match=r"'full' is for .*, not for alone"):
        prepare(parse_study(value, "test"))


def test_a_task_without_its_own_ways_is_none() -> None:
    class Unfinished(Task):
        name = "unfinished"

    with pytest.raises(TypeError, match=r"abstract.*estimate.*predict.*preview"):
        Unfinished()


class EverywhereProbe(LinearProbe):
    """A method in closed form that claims every task."""

    name = "everywhere_probe"
    tasks = ("classification", "text_to_text", "summarisation")


def test_a_method_in_closed_form_is_refused_where_a_task_solves_nothing(notes: Path, tiny_gpt2: Path) -> None:
    with METHODS.restored():
        METHODS.register("everywhere_probe")(EverywhereProbe())
        value = {"task": "summarisation", "data": str(notes), "model": str(tiny_gpt2), "methods": ["everywhere_probe"]}
        with pytest.raises(SettingError, match="is fitted in closed form, which summarisation cannot be"):
            prepare(parse_study(value, "test"))
