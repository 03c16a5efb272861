"""Checks of whole studies: stored, shown, drawn, kept where a plugin's breaks, and absent where none were stored."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from evidence.asked import checks_of
from stats.study_files import study_on_disk
from whichtune.cli.summary import print_summary
from whichtune.compare import Result, compare
from whichtune.errors import PluginError
from whichtune.evidence.checks import CHECKS, Material, register, warned
from whichtune.evidence.stored import read_summary
from whichtune.records.store import StudyFolder
from whichtune.report.write import write_report
from whichtune.study.load import parse_study

DOCS = Path(__file__).parents[2] / "docs" / "checks.md"


@pytest.fixture(scope="module")
def result(mail: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A tiny study whose head learns next to nothing at a rate of its own, and whose texts are cut."""
    study = parse_study(
        {
            "name": "checked",
            "data": str(mail),
            "model": "embedded",
            "methods": ["linear_probe", {"method": "head_only", "learning_rate": 1e-6}],
            "baselines": ["tfidf_word"],
            "seeds": [0],
            "primary_metric": "accuracy",
            "settings": {"context_length": 8, "epochs": 3},
        },
        "a test",
    )
    return compare(study, tmp_path_factory.mktemp("checked"), threads=1, save="none")


def test_every_check_is_asked_and_its_answer_stored(result: Result) -> None:
    stored = {check.code: check for check in read_summary(StudyFolder(result.folder)).summary.checks}
    assert list(stored) == list(CHECKS)
    assert stored["undertrained"].rows == ["head_only"]
    assert "linear_probe, solved on the same features, is" in stored["undertrained"].sentence
    assert stored["length_cut"].status == "warned"
    assert set(stored["length_cut"].rows) == {"linear_probe", "head_only"}
    assert stored["diverged"].status == stored["overfitted"].status == "passed"
    assert stored["edge_of_range"].status == stored["unequal_seed_noise"].status == "not_applicable"


def test_the_terminal_tells_what_is_warned_of_once(result: Result) -> None:
    screen = Console(record=True, width=200)
    print_summary(result.summary, screen)
    text = " ".join(screen.export_text().split())
    (line,) = re.findall(r"Checks that warn: [^.]*\.", text)
    assert "undertrained" in line
    assert "diverged" not in line
    for line in result.summary.verdict.warnings if result.summary.verdict else []:
        assert text.count(line) == 1


def test_the_page_shows_every_check(result: Result) -> None:
    page = write_report(StudyFolder(result.folder), figures=False).page.read_text(encoding="utf-8")
    section = page[page.index('<section id="checks"') :]
    section = section[: section.index("</section>")]
    for check in result.summary.checks:
        assert f"<small>{check.code}</small>" in section
    assert section.index("undertrained") < section.index("<details") < section.index("diverged")


def test_a_summary_of_before_has_no_checks(result: Result, tmp_path: Path) -> None:
    plain = json.loads((result.folder / "summary.json").read_text(encoding="utf-8"))
    del plain["checks"]
    folder = StudyFolder(tmp_path)
    folder.write_json("summary.json", {**plain, "checksum": None})
    assert read_summary(folder).summary.checks == []
    assert 'id="checks"' not in write_report(folder, figures=False).page.read_text(encoding="utf-8")


def test_every_check_is_documented_at_its_anchor() -> None:
    places = set(re.findall(r"^## (\S+)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert places == set(CHECKS)
    assert all(check.look.__doc__ for check in CHECKS.values())


def test_a_plugin_adds_a_check_and_one_that_breaks_says_so(tmp_path: Path) -> None:
    study = study_on_disk(tmp_path)
    study.add("one", [study.labels == study.labels])
    with CHECKS.restored():

        @register("mine", "Mine")
        def mine(material: Material):
            return warned(f"{len(material.rows)} row.", list(material.rows))

        @register("broken", "Broken")
        def broken(material: Material):
            raise KeyError("no such thing")

        found = checks_of(study)
        with pytest.raises(PluginError, match="cannot be added"):
            register("repeats", "Repeats")(mine)
    assert (found["mine"].status, found["mine"].rows, found["mine"].anchor) == ("warned", ["one"], "")
    assert found["broken"].status == "warned"
    assert "KeyError" in found["broken"].sentence
    assert found["repeats"].anchor == "checks.md#repeats"
    assert "mine" not in CHECKS
