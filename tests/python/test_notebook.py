"""The kept notebook in a real kernel: it compares, shows, opens and predicts; Ctrl-C leaves nothing behind."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import html5lib
import jupyter_client
import nbformat
import psutil
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebooks" / "first_study.ipynb"
XHTML = "{http://www.w3.org/1999/xhtml}"
LIMIT = 1800  # seconds for what hangs for good


@pytest.fixture
def in_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which kernels start, with this package on their path and settings of their own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    work = tmp_path / "work"
    work.mkdir()
    return work


def outputs(cell: nbformat.NotebookNode, kind: str) -> list[str]:
    return [output["data"][kind] for output in cell.outputs if kind in output.get("data", {})]


def test_the_kept_notebook_holds_no_outputs() -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in book.cells if cell.cell_type == "code")


def test_the_notebook_runs(in_kernel: Path) -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, timeout=LIMIT, kernel_name="python3", resources={"metadata": {"path": in_kernel}}).execute()
    cells = {cell.id: cell for cell in book.cells if cell.cell_type == "code"}
    (card,) = outputs(cells["show"], "text/html")
    document = html5lib.parseFragment(card)
    names = [head.text for head in document.iter(f"{XHTML}th") if head.attrib.get("scope") == "row"]
    assert sorted(names) == ["head_only", "last_block", "majority", "tfidf_char", "tfidf_word"]
    (picture,) = document.iter(f"{XHTML}img")
    assert picture.attrib["src"].startswith("data:image/svg+xml;base64,")
    (link,) = document.iter(f"{XHTML}a")
    assert (in_kernel / link.attrib["href"]).is_file()
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
compare(name="long", data=rows, methods=["tfidf_word", "full"], seeds=[0, 1], settings={"epochs": 5000}, progress=False)
"""


def test_interrupting_the_kernel_leaves_no_process(in_kernel: Path) -> None:
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3", cwd=str(in_kernel))
    try:
        kernel = psutil.Process(manager.provisioner.process.pid)
        asked = client.execute(LONG_STUDY)
        records = in_kernel / "whichtune-long" / "runs"
        while not (list(records.glob("*/run.json")) and training(kernel)):  # one run is complete, another under way
            assert client.is_alive()
            time.sleep(0.1)
        family = kernel.children(recursive=True)
        manager.interrupt_kernel()
        reply = answer_to(client, asked)
        assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
        psutil.wait_procs(family, timeout=LIMIT)
        assert not [process for process in family if process.is_running()]
        assert not list(records.glob(".*"))
        client.execute(
            "from whichtune import open_study; result = open_study('whichtune-long')\n"
            "assert result.row('tfidf_word').status == 'completed', result\n"
            "assert result.row('full').status == 'interrupted', result",
            reply=True,
            timeout=LIMIT,
        )
        told = client.execute("sorted(result.table['status'])", reply=True, timeout=LIMIT)
        assert told["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def training(kernel: psutil.Process) -> list[psutil.Process]:
    """Processes that make a run: children of a run server."""
    servers = [child for child in kernel.children() if "whichtune.executors.worker" in " ".join(child.cmdline())]
    return [run for server in servers for run in server.children()]


def answer_to(client: jupyter_client.BlockingKernelClient, asked: str) -> dict:
    while True:
        message = client.get_shell_msg(timeout=LIMIT)
        if message["parent_header"].get("msg_id") == asked:
            return message["content"]


def test_a_method_registered_in_a_notebook_is_refused_in_one_sentence(in_kernel: Path) -> None:
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3", cwd=str(in_kernel))
    try:
        code = (
            "from whichtune import compare\nfrom whichtune.methods.base import register\n"
            "from whichtune.methods.full import Full\n"
            "register(type('Mine', (Full,), {'name': 'mine', '__module__': '__main__'}))\n"
            "compare(data=[('a', 'x'), ('b', 'y')] * 30, methods=['mine'], seeds=[0])"
        )
        reply = client.execute(code, reply=True, timeout=LIMIT)["content"]
        assert reply["ename"] == "PluginError"
        assert "registered in an interactive session" in reply["evalue"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_nothing_of_a_notebook_is_imported_elsewhere() -> None:
    from whichtune.interactive.notebook import in_notebook

    before = set(sys.modules)
    assert not in_notebook()
    assert set(sys.modules) == before
