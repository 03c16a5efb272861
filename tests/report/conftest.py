"""Made-up studies, each written once a session, and a parser as strict as a browser's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from report import made_studies
from whichtune.records.store import StudyFolder
from whichtune.report.write import write_report


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], StudyFolder]:
    """A made-up study by its name, with its report (figures apart) already written."""
    there: dict[str, StudyFolder] = {}

    def get(name: str) -> StudyFolder:
        if name not in there:
            there[name] = made_studies.ALL[name](tmp_path_factory.mktemp(name))
            write_report(there[name], figures=False)
        return there[name]

    return get


@pytest.fixture(scope="session")
def parsed(made: Callable[[str], StudyFolder]) -> Callable[[str], Any]:
    """The report page of a made-up study as an element tree; anything malformed is an error."""
    import html5lib

    trees: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in trees:
            parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
            trees[name] = parser.parse(page(made(name)))
            for element in trees[name].iter():  # SVG keeps its namespace: off with it, so that tags are plain words
                if isinstance(element.tag, str):
                    element.tag = element.tag.rpartition("}")[2]
        return trees[name]

    return get


def page(folder: StudyFolder) -> str:
    return (folder.path / "report.html").read_text(encoding="utf-8")


def text_of(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def by_id(tree: Any, name: str) -> Any:
    found = tree.find(f".//*[@id='{name}']")
    assert found is not None, f"no element with id {name}"
    return found


def places(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
