"""The kept notebook in a real kernel: it compares, shows, opens and predicts; Ctrl-C leaves nothing behind."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import html5lib
import jupyter_client
import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from test_executor import wait_for_the_end_of

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebooks" / "first_study.ipynb"
XHTML = "{http://www.w3.org/1999/xhtml}"
LIMIT = 1800  # seconds for what hangs for good


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels have this package on their path and settings of their own."""
    place = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "src"))
        patch.setenv("IPYTHONDIR", str(place / "ipython"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(place / "runtime"))
        yield


@dataclass(frozen=True)
class Kernel:
    """A real kernel in a folder of its own."""

    manager: jupyter_client.KernelManager
    client: jupyter_client.BlockingKernelClient
    folder: Path

    def answer(self, code: str) -> dict:
        """What the kernel answers once it has run this."""
        return self.answer_to(self.client.execute(code))

    def answer_to(self, asked: str) -> dict:
        while True:
            message = self.client.get_shell_msg(timeout=LIMIT)
            if message["parent_header"].get("msg_id") == asked:
                return message["content"]


@pytest.fixture(scope="module")
def kernel(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3", cwd=str(folder))
    yield Kernel(manager, client, folder)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def outputs(cell: nbformat.NotebookNode, kind: str) -> list[str]:
    return [output["data"][kind] for output in cell.outputs if kind in output.get("data", {})]


def test_the_kept_notebook_holds_no_outputs() -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in book.cells if cell.cell_type == "code")


@pytest.mark.usefixtures("environment")
@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, timeout=LIMIT, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    cells = {cell.id: cell for cell in book.cells if cell.cell_type == "code"}
    (card,) = outputs(cells["show"], "text/html")
    document = html5lib.parseFragment(card)
    names = [head.text for head in document.iter(f"{XHTML}th") if head.attrib.get("scope") == "row"]
    assert sorted(names) == ["head_only", "last_block", "majority", "tfidf_char", "tfidf_word"]
    (picture,) = document.iter(f"{XHTML}img")
    assert picture.attrib["src"].startswith("data:image/svg+xml;base64,")
    (link,) = document.iter(f"{XHTML}a")
    assert (tmp_path / link.attrib["href"]).is_file()
    (table,) = outputs(cells["table"], "text/html")
    assert "test_accuracy" in table
    assert "training_seconds" in table
    assert outputs(cells["figure"], "image/svg+xml")
    assert outputs(cells["figure"], "image/png")
    (page,) = outputs(cells["page"], "text/html")
    assert page.startswith("<iframe srcdoc=")
    (answers,) = outputs(cells["predict"], "text/html")
    assert "probability of spam" in answers
    shown = "".join(output.text for output in cells["compare"].outputs if output.output_type == "stream")
    assert "first-study: 100%" in shown
    assert "Warning" not in shown
    assert not [output for cell in cells.values() for output in cell.outputs if output.output_type == "error"]


LONG_STUDY = """
from whichtune import compare
rows = [(f"win {i} pounds now", "spam") for i in range(60)] + [(f"see you at {i}", "ham") for i in range(60)]
compare(name="long", data=rows, methods=["tfidf_word"])
compare(name="long", data=rows, methods=["tfidf_word", "full"], seeds=[0, 1], settings={"epochs": 5000})
"""


@pytest.mark.slow
def test_interrupting_the_kernel_leaves_no_process(kernel: Kernel) -> None:
    process = psutil.Process(kernel.manager.provisioner.process.pid)
    asked = kernel.client.execute(LONG_STUDY)
    study = kernel.folder / "whichtune-long"
    records = study / "runs"
    # One run is complete, and one of the second study is under way.
    while not ((study / "study.json").is_file() and '"full"' in (study / "study.json").read_text()):
        assert kernel.client.is_alive()
        time.sleep(0.1)
    while not training(process):
        assert kernel.client.is_alive()
        time.sleep(0.1)
    family = process.children(recursive=True)
    kernel.manager.interrupt_kernel()
    reply = kernel.answer_to(asked)
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    wait_for_the_end_of(family)
    assert not list(records.glob(".*"))
    seen = kernel.answer(
        "from whichtune import open_study; result = open_study('whichtune-long')\n"
        "assert result.row('tfidf_word').status == 'completed', result\n"
        "assert result.row('full').status == 'interrupted', result"
    )
    assert seen["status"] == "ok", seen


def training(kernel: psutil.Process) -> list[psutil.Process]:
    """Processes that make a run: children of a run server."""
    servers = [child for child in kernel.children() if "whichtune.executors.worker" in " ".join(child.cmdline())]
    return [run for server in servers for run in server.children()]


@pytest.mark.slow  # a kernel of its own
def test_a_method_registered_in_a_notebook_is_refused_in_one_sentence(kernel: Kernel) -> None:
    reply = kernel.answer(
        "from whichtune import compare\nfrom whichtune.methods.base import register\n"
        "from whichtune.methods.full import Full\n"
        "register(type('Mine', (Full,), {'name': 'mine', '__module__': '__main__'}))\n"
        "compare(data=[('a', 'x'), ('b', 'y')] * 30, methods=['mine'], seeds=[0])"
    )
    assert reply["ename"] == "PluginError"
    assert "registered in an interactive session" in reply["evalue"]


def test_nothing_of_a_notebook_is_imported_elsewhere() -> None:
    from whichtune.interactive.notebook import in_notebook

    before = set(sys.modules)
    assert not in_notebook()
    assert set(sys.modules) == before
