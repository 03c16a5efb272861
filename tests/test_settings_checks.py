"""Settings that would make nothing, or another study than was asked for, are refused before the first run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from command import inside
from whichtune.compare import prepare
from whichtune.data.pair_encoding import PairEncoder
from whichtune.embedded import model_path
from whichtune.errors import DataError, SettingError
from whichtune.expansion.assemble import with_assignments
from whichtune.expansion.expand import check_names, entries
from whichtune.expansion.merging import merged_settings
from whichtune.methods import METHODS
from whichtune.methods.head_only import HeadOnly
from whichtune.models.loading import load_tokenizer
from whichtune.study.spec import Study


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [f"{'good' if i % 2 else 'bad'} thing number {i},{i % 2},answer {i}" for i in range(30)]
    file = tmp_path / "d.csv"
    file.write_text("text,label,target\n" + "\n".join(rows), encoding="utf-8")
    return file


def study(data: Path, **values: Any) -> Study:
    given = {"methods": ["head_only"], "baselines": [], "seeds": [0], "device": "cpu", "plan": "off", **values}
    return Study.model_validate({"data": {"source": str(data)}, **given})


def rows_of(chosen: Study) -> dict[str, dict[str, Any]]:
    check_names(chosen)
    return {str(entry.label): merged_settings(chosen, entry, own) for entry, own in entries(chosen)}


def test_two_lines_of_one_method_are_two_rows_or_an_error(data: Path) -> None:
    lines = [{"method": "lora", "lora_rank": 4}, {"method": "lora", "lora_rank": 8}]
    with pytest.raises(SettingError, match="The label 'lora, epochs=1' is used twice"):
        rows_of(study(data, methods=lines, factors={"epochs": [1, 2]}))
    named = [{**line, "label": f"rank {line['lora_rank']}"} for line in lines]
    rows = rows_of(study(data, methods=named, factors={"epochs": [1, 2]}))
    assert list(rows) == ["rank 4, epochs=1", "rank 4, epochs=2", "rank 8, epochs=1", "rank 8, epochs=2"]
    with pytest.raises(SettingError, match="used twice"):
        rows_of(study(data, factors={"epochs": [1, 1]}))


def test_a_factor_of_some_methods_crosses_with_these_alone(data: Path) -> None:
    both = study(data, methods=["head_only", "lora"], factors={"lora_rank": [2, 4], "epochs": [1, 2]})
    assert len(rows_of(both)) == 2 + 4


def test_a_factor_may_be_one_methods(data: Path) -> None:
    rows = rows_of(
        study(
            data,
            methods=["full", "head_only"],
            settings={"learning_rate": 0.5},
            factors={"full.learning_rate": [0.1, 0.2], "epochs": [1, 2]},
        )
    )
    assert len(rows) == 4 + 2
    assert {settings["learning_rate"] for label, settings in rows.items() if label.startswith("full")} == {0.1, 0.2}
    assert {settings["learning_rate"] for label, settings in rows.items() if label.startswith("head")} == {0.5}
    assert "full, epochs=1, learning_rate=0.1" in rows


@pytest.mark.parametrize("task", ["classification", "text_to_text"])
def test_a_batch_that_is_never_full_is_refused(data: Path, task: str) -> None:
    chosen = study(data, task=task, settings={"drop_last": True, "batch_size": 400})
    with pytest.raises(SettingError, match="21 training texts make no batch of 400"):
        prepare(chosen)
    assert len(prepare(study(data, task=task, settings={"drop_last": True, "batch_size": 21}))[0].specs) == 1


def test_texts_that_an_ignored_label_leaves_count_for_a_full_batch(data: Path) -> None:
    text = data.read_text("utf-8").splitlines()
    data.write_text("\n".join([*text, *(f"odd thing {i},2,c" for i in range(30))]), encoding="utf-8")
    settings = {"drop_last": True, "batch_size": 30}
    assert prepare(study(data, settings=settings))[0].specs
    with pytest.raises(SettingError, match="make no batch of 30"):
        prepare(study(data, settings={**settings, "ignore_index": 2}))


def test_a_text_of_which_nothing_is_left_needs_a_template_with_words(data: Path) -> None:
    data.write_text(data.read_text("utf-8").replace("bad thing number 4,", "?!,"), encoding="utf-8")
    bare = {"template": "{document}", "remove_punctuation": True}
    with pytest.raises(SettingError, match=r"nothing is left of the \w+ text 4 as it is read"):
        prepare(study(data, task="text_to_text", settings=bare))
    for settings in ({"template": "{document}"}, {"remove_punctuation": True}):
        assert prepare(study(data, task="text_to_text", settings=settings))[0].specs
    encoder = PairEncoder(load_tokenizer(model_path()), "{document}", False, True)
    with pytest.raises(DataError, match="put words into the template"):
        encoder.prompt(encoder.sources(["?!"])[0], 20)


def test_a_models_own_code_is_allowed_on_the_command_line() -> None:
    assert with_assignments({}, ["remote_code=true"], "The command")["remote_code"] is True


def test_a_dry_run_tells_of_a_row_that_would_fail(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(HeadOnly):
        """A method that cannot be attached, as some are to a model of another kind."""

        name = "odd"

        def attach(self, *_: object) -> None:
            raise AttributeError("'OddConfig' object has no attribute 'n_head'")

    monkeypatch.setattr(METHODS, "_items", {**dict(METHODS.items()), "odd": Odd()})
    words = ["compare", "--data", str(data), "--methods", "head_only,odd", "--seeds", "0", "--dry-run"]
    said = inside(*words, cwd=data.parent)
    assert "'odd' cannot be estimated, and would fail: AttributeError: 'OddConfig' object has no" in said.stdout
    assert "head_only" in said.stdout
