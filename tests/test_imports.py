"""What may be loaded when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "peft", "sklearn", "scipy", "pandas", "matplotlib", "datasets", "pyarrow")


def loaded_after(code: str) -> set[str]:
    check = f"{code}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return set(result.stdout.split()) & set(HEAVY)


@pytest.mark.parametrize(
    "code", ["import whichtune", "import whichtune.cli.app", "import whichtune.methods", "import whichtune.baselines"]
)
def test_light_imports(code: str) -> None:
    assert loaded_after(code) == set()


@pytest.mark.parametrize(
    "module", ["whichtune.report", "whichtune.stats", "whichtune.evidence.judge", "whichtune.report.rows"]
)
def test_a_report_needs_no_torch(module: str) -> None:
    assert not loaded_after(f"import {module}") & {"torch", "transformers", "peft"}


def test_public_names() -> None:
    import whichtune

    for name in whichtune.__all__:
        assert getattr(whichtune, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        whichtune.nothing  # noqa: B018


def test_no_test_needs_the_repository_to_be_installed_elsewhere() -> None:
    import whichtune

    assert Path(whichtune.__file__).parents[2] == Path(__file__).parents[1]


@pytest.mark.parametrize("before", ["", "import whichtune.compare; ", "from whichtune.compare import prepare; "])
def test_compare_is_the_function_whatever_was_imported_before(before: str) -> None:
    code = f"{before}from whichtune import compare; import whichtune; assert compare is whichtune.compare"
    subprocess.run([sys.executable, "-c", f"{code}; assert compare.__name__ == 'compare'"], check=True)
