"""Every command and setting is documented, pages match the code, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from whichtune.baselines import BASELINES
from whichtune.cli.app import app
from whichtune.methods import METHODS
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import Settings, Study

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_generated_pages_match_the_code() -> None:
    command = [sys.executable, "scripts/write_docs.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_every_command_and_option_is_described() -> None:
    page = read("docs/commands.md")
    for name, command in typer.main.get_command(app).commands.items():
        assert f"## {name}\n" in page
        assert command.help
        for parameter in command.params:
            if parameter.name != "help":
                assert parameter.help, f"{name} {parameter.name} has no help"


@pytest.mark.parametrize("model", [Settings, DataSettings])
def test_every_setting_says_what_it_means(model: type) -> None:
    page = read("docs/settings.md")
    for name, field in model.model_fields.items():
        assert field.description, name
        assert f"| `{name}` |" in page


def test_every_method_and_baseline_has_a_card() -> None:
    page = read("docs/methods.md")
    for name, method in METHODS.items():
        assert f"## {name}\n" in page
        assert all(field.description for field in method.Settings.model_fields.values())
    assert all(f"## {name}\n" in page for name in BASELINES)
    assert all(f"| `{name}` |" in read("docs/settings.md") for name in Study.model_fields)


def test_every_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads(read("pyproject.toml"))["project"]
    page = read("docs/dependencies.md")
    for requirement in project["dependencies"]:
        name = re.split(r"[><=\[]", requirement)[0]
        assert re.search(rf"^\| {re.escape(name)} \|", page, re.MULTILINE), name


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_file_tree_in_contributing_is_the_real_one() -> None:
    tree = read("CONTRIBUTING.md").split("```")[1].split("\n", 2)[2]
    named = re.findall(r"(?:^| {2,})([a-z_]+(?:\.py|/))", tree, re.MULTILINE)
    assert len(named) > 20
    for name in named:
        assert (ROOT / "src/whichtune" / name).exists(), name


def test_the_study_file_in_the_readme_is_a_study(tmp_path: Path) -> None:
    from whichtune.study.load import load_study

    text = read("README.md").split("```yaml")[1].split("```")[0]
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    assert load_study(tmp_path / "study.yaml").factors == {"token_position": ["first", "mean_nonpad"]}
