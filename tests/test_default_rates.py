"""Learning rates where a study sets none: which they are, and that a study begun with others keeps them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from whichtune.compare import compare, prepare
from whichtune.data.splits import load_dataset
from whichtune.embedded import RATES
from whichtune.expansion.expand import expand
from whichtune.expansion.inspected import inspect_models
from whichtune.expansion.rates import default_precision, default_rate
from whichtune.expansion.resumed import resumed
from whichtune.methods import METHODS
from whichtune.published.presets import load_preset, preset_names
from whichtune.records.store import StudyFolder
from whichtune.study.load import load_study, parse_study
from whichtune.study.roles import Role
from whichtune.study.spec import EMBEDDED, Study

PINS = Path(__file__).parent / "pins"


def study_of(**value: Any) -> Study:
    return parse_study({"methods": ["head_only"], **value}, "a test")


@pytest.mark.parametrize(
    ("method", "model", "value", "rate"),
    [
        ("head_only", "any", {}, 2e-2),
        ("head_only", "any", {"defaults": 1}, 5e-4),
        ("head_only", "any", {"task": "summarisation"}, 5e-4),  # a head that was pretrained
        ("last_block", "any", {}, 5e-4),
        ("last_block", "any", {"defaults": 1}, 2e-4),
        ("lora", "any", {}, 5e-4),
        ("lora", EMBEDDED, {}, RATES["lora"]),
        ("dora", "any", {}, 1e-3),
        ("dora", "any", {"defaults": 2}, 2e-4),
        ("dora", "any", {"defaults": 1}, 2e-4),
        ("dora", "any", {"task": "summarisation"}, 2e-4),
        ("dora", EMBEDDED, {}, RATES["dora"]),
        ("dora", EMBEDDED, {"defaults": 2}, 2e-4),
        ("lora", EMBEDDED, {"defaults": 2}, RATES["lora"]),
        ("last_block", "any", {"defaults": 2}, 5e-4),
        ("last_two_blocks", "any", {}, 3e-4),
        ("last_two_blocks", "any", {"task": "summarisation"}, 2e-4),
        ("lora", EMBEDDED, {"defaults": 1}, 5e-4),
        ("lora", EMBEDDED, {"task": "summarisation"}, 5e-4),
        ("linear_probe", EMBEDDED, {}, None),
    ],
)
def test_the_default_of_a_method(method: str, model: str, value: dict[str, Any], rate: float | None) -> None:
    assert default_rate(study_of(**value), method, model) == rate


@pytest.mark.parametrize(
    ("value", "device", "precision"),
    [
        ({}, "cuda", "bf16"),
        ({}, "cpu", "float32"),
        ({}, "mps", "float32"),
        ({"defaults": 3}, "cuda", "float32"),
        ({"task": "summarisation"}, "cuda", "float32"),  # its runs do not tell what bf16 changes
    ],
)
def test_the_precision_where_none_is_set(value: dict[str, Any], device: str, precision: str) -> None:
    assert default_precision(study_of(**value), device) == precision


def test_the_precision_is_in_the_spec_unless_it_is_set(mail: Path, tiny_gpt2: Path) -> None:
    for given, expected in (({}, "bf16"), ({"settings": {"precision": "float32"}}, "float32")):
        study = study_of(data=str(mail), model=str(tiny_gpt2), **given)
        expansion = expand(study, load_dataset(study.data), inspect_models(study, lenient=False), "cuda")
        assert {spec.precision for spec in expansion.specs if spec.role is not Role.BASELINE} == {expected}


def test_published_studies_keep_float32() -> None:
    assert {default_precision(load_preset(name), "cuda") for name in preset_names()} == {"float32"}


def test_the_embedded_models_rates_are_for_methods_that_there_are() -> None:
    assert set(RATES) <= set(METHODS)


def test_what_a_study_sets_goes_before_the_default(mail: Path) -> None:
    study = study_of(
        data=str(mail), model=EMBEDDED, settings={"head_only.learning_rate": 1e-3}, seeds=[0], baselines=[]
    )
    (spec,) = prepare(study)[0].specs
    assert (spec.learning_rate, spec.learning_rate_source) == (1e-3, "set")
    (plain,) = prepare(study.model_copy(update={"settings": {}}))[0].specs
    assert (plain.learning_rate, plain.learning_rate_source) == (2e-2, "card")


@pytest.mark.slow
def test_a_head_trained_by_steps_finds_about_what_the_closed_form_does(tmp_path: Path) -> None:
    """At the first edition's rate it was far behind."""
    value = {
        "data": {"source": "support_requests", "train_limit": 400, "validation_limit": 150, "test_limit": 20},
        "methods": ["linear_probe", "head_only", {"method": "head_only", "label": "first", "learning_rate": 5e-4}],
        "baselines": [],
        "seeds": [0],
    }
    result = compare(parse_study(value, "a test"), tmp_path, threads=1, save="none")
    found = {run.label: run.metrics.validation.value("accuracy") for run in result.records if run.metrics.validation}
    solved, steps, first = (found[label] or 0.0 for label in ("linear_probe", "head_only", "first"))
    assert steps > solved - 0.05
    assert steps > first + 0.05


def begun(folder: Path, **changes: Any) -> StudyFolder:
    """The folder of a study that was begun with the first release, with changes to its study.json."""
    place = StudyFolder(folder, create=True)
    stored = json.loads((PINS / "labels" / "study.json").read_text(encoding="utf-8"))
    place.write_json("study.json", {**stored, **changes})
    return place


def test_a_folder_keeps_the_edition_that_it_was_begun_with(tmp_path: Path) -> None:
    study = load_study(PINS / "labels.yaml")
    assert study.defaults == 4
    assert resumed(study, begun(tmp_path)).defaults == 1
    more = study.model_copy(update={"seeds": [0, 1, 2, 3]})
    assert resumed(more, begun(tmp_path)).defaults == 1  # one rate for all seeds of a row
    assert resumed(study, begun(tmp_path, defaults=2)).defaults == 2


def test_another_study_in_an_old_folder_has_todays(tmp_path: Path) -> None:
    study = load_study(PINS / "labels.yaml")
    assert resumed(study, begun(tmp_path, model="another")).defaults == 4
    assert resumed(study, begun(tmp_path, task="summarisation")).defaults == 4
    (tmp_path / "study.json").write_text("{", encoding="utf-8")
    assert resumed(study, StudyFolder(tmp_path)).defaults == 4
    (tmp_path / "study.json").unlink()
    assert resumed(study, StudyFolder(tmp_path)).defaults == 4


def test_an_edition_that_the_study_names_is_its_own(tmp_path: Path) -> None:
    named = parse_study({"data": "messages", "methods": ["head_only"], "defaults": 2}, "a test")
    assert resumed(named, begun(tmp_path, data=named.data.model_dump(mode="json"))).defaults == 2


def test_seeds_that_are_added_to_an_old_study_train_at_its_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PINS)
    folder = shutil.copytree(PINS / "labels", tmp_path / "labels")
    study = load_study("labels.yaml").model_copy(update={"seeds": [0, 1, 2, 3]})
    head = next(entry for entry in study.methods if entry.label is None and entry.method == "head_only")
    result = compare(
        study.model_copy(update={"methods": [head], "pairs": [], "baselines": []}),
        folder,
        save="none",
        threads=1,
    )
    assert result.started == 1
    rows = [run for run in result.records if run.label == head.method]
    assert len(rows) == 4
    assert {run.spec["learning_rate"] for run in rows} == {5e-4}
