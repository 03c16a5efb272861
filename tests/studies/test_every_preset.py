"""What holds for each study of the package, whichever it is: it is shown, expands, and compares what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from command import inside
from studies.conftest import small_copy
from whichtune.compare import prepare
from whichtune.expansion.expand import baselines_of, check_names, entries
from whichtune.published.presets import load_preset, only_rows, preset_names, rows_of
from whichtune.published.reproduce import reproduction_study

DOCS = Path(__file__).parents[2] / "docs"
every_preset = pytest.mark.parametrize("name", preset_names())


@every_preset
def test_every_row_is_shown_in_full(name: str) -> None:
    """Its own settings among the defaults, and no claim where nothing was claimed."""
    study = load_preset(name)
    assert study.runs
    assert not study.methods
    for number, entry in rows_of(study).items():
        shown = yaml.safe_load(inside("studies", name, "--row", str(number)).stdout)
        assert (shown["label"], shown["method"]) == (entry.label, entry.method)
        assert shown["model"] == entry.settings.get("model", study.model)
        settings = {**shown["settings"], **shown["method_settings"], **shown.get("task_settings", {})}
        for key, value in entry.settings.items():
            assert key == "model" or settings[key] == value, (number, key)
        assert shown["settings"]["learning_rate"] is not None or entry.method in ("linear_probe", "untuned")
        claims = [pair.claim for pair in study.pairs if pair.claim and entry.label in (pair.a, pair.b)]
        assert [line.endswith(claim) for line, claim in zip(shown.get("claims", []), claims, strict=True)] == [
            True for _ in claims
        ]


@every_preset
def test_a_row_that_is_not_there_names_the_option_that_asked_for_it(name: str) -> None:
    count = len(rows_of(load_preset(name)))
    for option, words in (("--row", ("studies", name)), ("--rows", ("reproduce", name, "--dry-run"))):
        said = inside(*words, option, "99", code=2).stderr
        assert said == f"Error: {option} 99: '{name}' has the rows 1 to {count}.\n"


@every_preset
def test_the_study_is_shown_without_blanks_for_what_was_not_said(name: str) -> None:
    study = load_preset(name)
    text = inside("studies", name).stdout
    assert "None" not in text.replace("=None", "")
    for pair in study.pairs:
        line = next(line for line in text.splitlines() if line.startswith(f"{pair.a} against {pair.b}"))
        assert line.strip() == line
    printed = study.published and any(set(row) - {"row"} for row in study.published["rows"].values())
    assert ("minutes" in text.splitlines()[1]) == bool(printed)


@every_preset
def test_every_line_that_is_compared_is_a_line(name: str) -> None:
    study = load_preset(name)
    labels = {entry.label for entry, _ in entries(study)} | set(baselines_of(study))
    for pair in study.pairs:
        assert {pair.a, pair.b} <= labels
        assert pair.a != pair.b
        assert pair.factor
    assert study.baseline in {None, *labels}


@every_preset
def test_every_claim_has_a_direction_or_says_that_it_has_none(name: str) -> None:
    """Anything else would be called open whatever is measured."""
    for pair in load_preset(name).pairs:
        if pair.claim is None:
            assert not pair.published
            continue
        assert pair.published is not None, pair.claim
        assert pair.published.direction is not None or pair.published.no_direction, pair.claim


@every_preset
def test_every_row_can_be_asked_for_alone(name: str) -> None:
    """Without the settings and ranges of the methods that are left out; what the command names itself is refused."""
    study = load_preset(name)
    for number, entry in rows_of(study).items():
        alone = only_rows(study, [number])
        check_names(alone)
        assert [line.label for line in alone.runs] == [entry.label]
        owners = {key.rpartition(".")[0] for key in alone.settings if "." in key}
        assert owners <= {entry.method}


def test_a_setting_for_a_row_that_is_left_out_is_refused(tmp_path: Path) -> None:
    words = ("reproduce", "demo", "--rows", "1", "--set", "lora.lora_rank=2", "--dry-run", "--out", str(tmp_path / "o"))
    said = inside(*words, code=2).stderr
    assert said == "Error: The setting 'lora.lora_rank' is for lora, which this study does not run.\n"


@every_preset
def test_it_expands_on_the_embedded_model(name: str, collection: Path, tmp_path: Path) -> None:
    """All rows, on a small copy of the data, each with its model."""
    data = small_copy(load_preset(name).data.source, collection, tmp_path)
    study = reproduction_study(name, data=data and str(data), model="embedded", device="cpu")
    expansion, _ = prepare(study, lenient=True)
    assert expansion.missing == {}
    wanted = {(entry.label, seed) for entry in study.runs for seed in study.seeds}
    assert wanted <= {(spec.label, spec.seed) for spec in expansion.specs}
    assert {spec.model for spec in expansion.specs} <= {"embedded", ""}


@pytest.mark.parametrize("name, row", [("cnn-dailymail-tuned", 4), ("imdb-tuned", 6)])
def test_a_dry_run_on_the_embedded_model(name: str, row: int, collection: Path, tmp_path: Path) -> None:
    """The rows whose layers are named: the model has them."""
    study = load_preset(name)
    data = small_copy(study.data.source, collection, tmp_path)
    words = ["reproduce", name, "--dry-run", "--model", "embedded", "--device", "cpu", "--data", str(data)]
    out = inside(*words, "--rows", str(row), "--seeds", "0", "--out", str(tmp_path / "out")).stdout
    assert "Nothing was run." in out
    assert f" {rows_of(study)[row].label} " in out
    assert not (tmp_path / "out").exists()


@every_preset
def test_it_is_in_the_documentation(name: str) -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    assert f"`{name}`" in pages or f"reproduce {name}" in pages or name == "demo"
