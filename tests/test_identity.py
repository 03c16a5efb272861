"""A setting that is added later changes no run's identity while it is at its default, whoever owns it.

Whether the ids themselves stay is what test_pins.py holds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, create_model

from pins.make_pins import pinned_specs
from whichtune.methods import METHODS
from whichtune.methods.lora import LoraSettings
from whichtune.study import identity
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import RunSpec, Settings
from whichtune.tasks import TASKS
from whichtune.tasks.text.settings import TextToTextSettings

PINS = Path(__file__).parent / "pins"
PINNED = json.loads((PINS / "run_ids.json").read_text(encoding="utf-8"))
IDS = [pin["run_id"] for pin in PINNED]


def with_later(settings: type[BaseModel], **more: Any) -> Any:
    """The class with two settings of tomorrow, one of whose defaults is made anew for each."""
    later: dict[str, Any] = {"of_tomorrow": (int, 3), "listed": (list[str], Field(default_factory=list)), **more}
    return create_model(settings.__name__, __base__=settings, **later)


def test_a_later_setting_of_all_runs_keeps_the_ids() -> None:
    spec = with_later(RunSpec)
    for pin in PINNED:
        assert spec.model_validate(pin["fields"]).run_id == pin["run_id"]
    fields = next(pin["fields"] for pin in PINNED if pin["fields"].get("role", "run") == "run")
    ids = {spec.model_validate({**fields, **change}).run_id for change in ({}, {"of_tomorrow": 4}, {"listed": ["a"]})}
    assert len(ids) == 3


def test_a_later_setting_of_the_data_keeps_the_ids() -> None:
    data = with_later(DataSettings)
    spec = with_later(RunSpec, data=(data, ...))
    for pin in PINNED:
        fields = pin["fields"]
        assert spec.model_validate(fields).run_id == pin["run_id"]
        changed = {**fields, "data": {**fields["data"], "of_tomorrow": 4}}
        assert spec.model_validate(changed).run_id != pin["run_id"]


@pytest.mark.parametrize(
    "owner, settings",
    [("lora", LoraSettings), ("text_to_text", TextToTextSettings), ("full", METHODS["full"].Settings)],
)
def test_a_later_setting_of_a_method_or_a_task_keeps_the_ids(
    owner: str, settings: type[BaseModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PINS)
    holder = type(METHODS[owner] if owner in METHODS else TASKS[owner])
    before = pinned_specs()
    monkeypatch.setattr(holder, "Settings", with_later(settings))
    after = pinned_specs()
    assert [spec.run_id for spec in after] == IDS
    assert [spec.model_dump() for spec in after] == [spec.model_dump() for spec in before]
    keep = identity.method_settings if owner in METHODS else identity.task_settings
    made = holder.Settings(of_tomorrow=4)
    kept = keep(owner, made)
    assert kept["of_tomorrow"] == 4
    assert "listed" not in kept
    assert holder.Settings(**kept) == made


def test_a_later_setting_that_is_set_is_in_the_runs_and_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    from whichtune.compare import prepare
    from whichtune.study.load import parse_study

    monkeypatch.setattr(type(METHODS["lora"]), "Settings", with_later(LoraSettings))

    def id_of(settings: dict[str, Any]) -> str:
        study = {"name": "x", "methods": ["lora"], "baselines": [], "seeds": [0], "settings": settings}
        (spec,) = prepare(parse_study(study, "x"))[0].specs
        return spec.run_id

    assert id_of({}) == id_of({"of_tomorrow": 3}) != id_of({"of_tomorrow": 4})


def test_settings_of_a_method_that_the_first_release_had_not_are_left_out_at_their_defaults() -> None:
    class Own(BaseModel):
        rank: int = 4
        place: str

    assert identity.method_settings("of_a_plugin", Own(place="mlp")) == {"place": "mlp"}
    assert identity.method_settings("of_a_plugin", Own(place="mlp", rank=5)) == {"rank": 5, "place": "mlp"}


def test_true_is_not_one() -> None:
    class Own(BaseModel):
        bias: bool | int = True

    assert identity.method_settings("of_a_plugin", Own(bias=1)) == {"bias": 1}


def test_what_the_first_release_hashed_is_there_still() -> None:
    """A setting that goes or is renamed takes the identity of every run with it."""
    known = {
        "run": RunSpec,
        "data": DataSettings,
        **{f"method {name}": method.Settings for name, method in METHODS.items()},
        **{f"task {name}": task.Settings for name, task in TASKS.items()},
    }
    for owner, names in identity.ALWAYS_HASHED.items():
        assert names <= set(known[owner].model_fields), owner
    assert set(identity.later_defaults("run", Settings)) == {
        "evaluation_at_epoch_ends", "early_stopping", "patience", "min_delta", "long_texts_keep", "batching",
        "head", "fields_template", "base_precision", "retention_text", "state_precision",
    }  # fmt: skip
