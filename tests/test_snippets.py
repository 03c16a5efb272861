"""Every block of Python in README and docs runs, page by page and in order, in a folder with a few small files.

A block that cannot run here says so above itself: `<!-- not run: needs the network -->`, or a GPU.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import typer
import yaml

from whichtune import compare
from whichtune.cli.app import app
from whichtune.registry import REGISTRIES
from whichtune.study.load import parse_study

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^(?:<!-- not run: (?P<why>.*?) -->\n)?```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
REASONS = ("needs the network", "needs a GPU")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    code: str
    why_not: str | None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("code")), found["code"], found["why"])
        for found in BLOCK.finditer(text)
    ]


PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if blocks_of(page)]


def run(blocks: list[Block]) -> dict[str, object]:
    """One after another, as one program; a fault names the page and its line."""
    names: dict[str, object] = {"__name__": "snippet"}
    for block in blocks:
        if block.why_not is None:
            place = f"{block.page.relative_to(ROOT) if block.page.is_relative_to(ROOT) else block.page.name}"
            exec(compile("\n" * block.line + block.code, place, "exec"), names)
    return names


@pytest.fixture
def folder(mail: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What the pages speak of: reviews, a model that `save_pretrained` wrote, a finished study."""
    monkeypatch.chdir(tmp_path)
    frame = pd.read_csv(mail)
    frame.rename(columns={"text": "review", "label": "stars"}).to_csv("reviews.csv", index=False)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "distilbert").symlink_to(tiny_bert)
    compare(name="demo", data=mail, methods=["majority", "tfidf_word"], threads=1)
    with ExitStack() as stack:
        for registry in REGISTRIES:
            stack.enter_context(registry.restored())
        yield tmp_path


@pytest.mark.parametrize(
    "page",
    [page if page.name == "README.md" else pytest.param(page, marks=pytest.mark.slow) for page in PAGES],
    ids=lambda page: page.name,
)
def test_the_python_of_a_page_runs(page: Path, folder: Path) -> None:
    run(blocks_of(page))


def test_what_does_not_run_says_why() -> None:
    found = [block for page in PAGES for block in blocks_of(page)]
    assert len(found) >= 12
    assert {block.why_not for block in found} <= {None, *REASONS}
    fences = sum(page.read_text(encoding="utf-8").count("```python") for page in PAGES)
    assert len(found) == fences  # none is overlooked


def test_a_broken_block_fails_at_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n```python\na = 1\n```\n\n<!-- not run: needs the network -->\n```python\n1 / 0\n```\n\n"
        "```python\nb = a + 1\nb / 0\n```\n",
        encoding="utf-8",
    )
    blocks = blocks_of(page)
    assert [block.why_not for block in blocks] == [None, "needs the network", None]
    assert run(blocks[:2])["a"] == 1
    with pytest.raises(ZeroDivisionError) as found:
        run(blocks)
    assert (str(found.traceback[-1].path), found.traceback[-1].lineno + 1) == ("page.md", 14)


FENCED = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
EVERY_PAGE = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fenced(kinds: tuple[str, ...]) -> list[tuple[str, str]]:
    """`(page, text)` of every fenced block of these kinds."""
    return [
        (page.name, found["text"])
        for page in EVERY_PAGE
        for found in FENCED.finditer(page.read_text(encoding="utf-8"))
        if found["kind"] in kinds
    ]


def commands_of(text: str) -> list[list[str]]:
    """The words of every command of ours in a block, without comments; `...` stands for words that are left out."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines if line.startswith("whichtune ")]
    return [[word for word in words if word != "..."] for words in found]


COMMANDS = [(page, words) for page, text in fenced(("", "sh", "bash")) for words in commands_of(text)]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda one: one if isinstance(one, str) else " ".join(one))
def test_every_command_of_a_page_is_one_that_is_understood(page: str, words: list[str]) -> None:
    group = typer.main.get_command(app)
    command = words[1]
    context = group.commands[command].make_context(command, list(words[2:]), resilient_parsing=False)  # type: ignore[attr-defined]
    assert not context.args, page


def test_every_study_of_a_page_is_one() -> None:
    studies = [(page, yaml.safe_load(text)) for page, text in fenced(("yaml",))]
    assert len(studies) >= 5
    for page, value in studies:
        if isinstance(value, dict):
            assert parse_study(value, page)
