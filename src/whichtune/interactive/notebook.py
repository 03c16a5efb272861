"""Whether this runs in a notebook, and how something is shown there. Imports nothing of a notebook elsewhere."""

from __future__ import annotations

import sys


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this: one that shows HTML, not IPython's terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def show_html(text: str) -> None:
    """Show HTML below the running cell. Only where `in_notebook`."""
    from IPython.display import HTML, display

    display(HTML(text))
