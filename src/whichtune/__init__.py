"""Which way of fine-tuning this language model is best on my data, and what does it cost?"""

from __future__ import annotations

import sys

from whichtune.version import VERSION

TYPE_CHECKING = False  # typing's own: with `python -m` this is read while the working directory is still looked into

__version__ = VERSION
__all__ = [
    "Comparison",
    "Result",
    "Row",
    "RunRecord",
    "RunSpec",
    "Study",
    "WhichtuneError",
    "compare",
    "export_row",
    "load_study",
    "open_study",
    "parse_study",
]

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from whichtune.compare import compare
    from whichtune.errors import WhichtuneError
    from whichtune.handover.export import export_row
    from whichtune.records.record import RunRecord
    from whichtune.result import Result, Row, open_study
    from whichtune.study.load import load_study, parse_study
    from whichtune.study.spec import RunSpec, Study

    Comparison = Result
else:
    ModuleType = type(sys)  # types' own, for that reason, too

_HOMES = {
    "Comparison": "compare",
    "Result": "result",
    "Row": "result",
    "RunRecord": "records.record",
    "RunSpec": "study.spec",
    "Study": "study.spec",
    "WhichtuneError": "errors",
    "compare": "compare",
    "export_row": "handover.export",
    "load_study": "study.load",
    "open_study": "result",
    "parse_study": "study.load",
}


class _Package(ModuleType):
    """`whichtune.compare` is the function, also once the module of that name has been imported, which the import
    would else put in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        is_home = isinstance(value, ModuleType) and _HOMES.get(name) == name
        super().__setattr__(name, getattr(value, name) if is_home else value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `import whichtune` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'whichtune' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(f"whichtune.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
