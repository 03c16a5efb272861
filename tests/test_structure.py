"""The shape of the house: no module in two minds about who stands below whom, and no long way down.

Imports inside functions count, and so do those for type checkers: either is knowledge of another module.
"""

from __future__ import annotations

from pathlib import Path

import grimp
import networkx
import pytest

SOURCE = Path(__file__).parents[1] / "src" / "whichtune"
LONGEST_CHAIN = 15
MOST_TOP_FILES = 12


@pytest.fixture(scope="module")
def modules() -> networkx.DiGraph:
    """Every module of the package with an arrow to each that it imports."""
    found = grimp.build_graph("whichtune", cache_dir=None)
    graph = networkx.DiGraph()
    for module in found.modules:
        graph.add_node(module)
        graph.add_edges_from((module, other) for other in found.find_modules_directly_imported_by(module))
    return graph


def room_of(module: str) -> str:
    """The folder that a module lies in; a module at the top of the package stands for itself."""
    path = SOURCE.parent.joinpath(*module.split("."))
    if path.is_dir():
        return module
    folder, _, _ = module.rpartition(".")
    return module if folder == "whichtune" else folder


@pytest.fixture(scope="module")
def rooms(modules: networkx.DiGraph) -> networkx.DiGraph:
    graph = networkx.DiGraph()
    graph.add_edges_from((room_of(a), room_of(b)) for a, b in modules.edges if room_of(a) != room_of(b))
    return graph


def circles(graph: networkx.DiGraph) -> list[list[str]]:
    return [sorted(each) for each in networkx.strongly_connected_components(graph) if len(each) > 1]


def test_no_circles_of_modules(modules: networkx.DiGraph) -> None:
    assert circles(modules) == []


def test_no_circles_of_folders(rooms: networkx.DiGraph) -> None:
    assert circles(rooms) == []


def test_no_long_chain(rooms: networkx.DiGraph) -> None:
    chain = networkx.dag_longest_path(rooms)
    assert len(chain) <= LONGEST_CHAIN, " -> ".join(chain)


def test_few_files_at_the_top() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= MOST_TOP_FILES


def test_files_stay_short() -> None:
    lengths = {
        str(file.relative_to(SOURCE)): len(file.read_text("utf-8").splitlines()) for file in SOURCE.rglob("*.py")
    }
    assert {name: n for name, n in lengths.items() if n > 400} == {}
