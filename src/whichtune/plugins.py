"""Plugins that a user names: modules, or files beside a study, that register methods, tasks, metrics and the like.

What installed packages bring by entry points needs nothing of this: every process finds it for itself. A plugin that is
named, or registered by the program that calls `compare`, is imported again by the processes that make runs: they are
told by `for_other_processes` what to import.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from whichtune.errors import PluginError
from whichtune.registry import PROGRAM, REGISTRIES, import_plugin, registering
from whichtune.wording import path_problem, shown_path

# What a program's own module is called where it is imported by a process that makes runs: its `if __name__ ==
# "__main__"` part does not run there.
MAIN_ELSEWHERE = "__whichtune_main__"


@dataclass(frozen=True)
class Import:
    """What another process is to import: a module by name from a folder, or a file under a name."""

    name: str
    folder: str | None = None
    file: str | None = None


_named: dict[str, Import] = {}
_in_run_process = False


def load_plugin(place: str, beside: Path | None = None) -> None:
    """Import a plugin once: a module by its name, or a .py file, relative to the folder `beside`.

    Raises PluginError where there is none, or for whatever it raises.
    """
    wanted = _import_of(place, beside)
    key = wanted.file or wanted.name
    if key not in _named:
        _import(wanted, place)
        _named[key] = wanted


def _import_of(place: str, beside: Path | None) -> Import:
    if not place.endswith(".py"):
        return Import(place)
    try:
        file = ((beside or Path()) / Path(os.path.expanduser(place))).resolve()
        there = file.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long; a null byte
        raise PluginError(f"The plugin file '{shown_path(place)}' cannot be read ({path_problem(error)}).") from error
    if not there:
        raise PluginError(f"There is no plugin file '{shown_path(place)}': check the path.")
    return Import(f"whichtune_plugin_{file.stem}", file=str(file))


def _import(wanted: Import, place: str) -> None:
    def load() -> ModuleType:
        if wanted.file is not None:
            return _load_file(wanted.name, wanted.file)
        if wanted.folder is not None and wanted.folder not in sys.path:
            sys.path.append(wanted.folder)  # behind all else, so that nothing of the library is hidden
        return importlib.import_module(wanted.name)

    with registering(wanted.file or wanted.name):
        import_plugin(load, f"'{place}'", "mend it, or leave it out")


def _load_file(name: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def for_other_processes() -> list[Import]:
    """What the processes that make runs must import: plugins that were named, and the calling program's modules that
    have registered something. Raises PluginError where that was done in no file."""
    found = [_with_folder(wanted) for wanted in _named.values()]
    for registry in REGISTRIES:
        for name, origin in registry.origins.items():
            if origin.source == PROGRAM and (wanted := _program(origin.module, registry.kind, name)) not in found:
                found.append(wanted)
    return found


def _program(module: str, kind: str, name: str) -> Import:
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        raise PluginError(
            f"The {kind} '{name}' was registered in an interactive session, which the processes that make runs cannot "
            "import: write it into a file and name that in the study's plugins."
        )
    if module == "__main__":
        return Import(MAIN_ELSEWHERE, file=str(Path(file).resolve()))
    return Import(module, folder=_folder_of(module, file))


def _with_folder(wanted: Import) -> Import:
    """A module that was named, with the folder that it was found in: other processes have not this one's path."""
    file = getattr(sys.modules.get(wanted.name), "__file__", None)
    return wanted if wanted.file is not None or file is None else Import(wanted.name, _folder_of(wanted.name, file))


def _folder_of(module: str, file: str) -> str:
    """The folder on the path from which a module was imported."""
    path = Path(file).resolve()
    return str(path.parents[module.count(".") + (path.name == "__init__.py")])


def load_for_runs(imports: list[Import]) -> None:
    """Import what the calling process has named, in a process that makes runs."""
    global _in_run_process
    _in_run_process = True
    for wanted in imports:
        _import(wanted, wanted.file or wanted.name)


def refuse_in_run_process() -> None:
    """Raise PluginError where a plugin begins a study while a run's process imports it."""
    if _in_run_process:
        raise PluginError(
            "A program that registers something is imported by the processes that make runs, and began a study there: "
            'put its call of compare under `if __name__ == "__main__":`.'
        )
