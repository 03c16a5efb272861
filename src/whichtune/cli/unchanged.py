"""A command that is given again when nothing has changed since: what the folder holds is told, and nothing looked at
anew.

A study that ended with every run complete leaves a stamp in its folder. It is a hash of the study as it was asked for,
of the names, sizes and times of every file that it read and of every file in its folder, of the versions of what
decides figures, and of the machine. Where a command has the same stamp, it would read, check and judge all this to
make no run; the stored summary is verified and told instead. Data and models that lie on no disk here have no stamp.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whichtune.evidence.summary import Summary
    from whichtune.study.spec import Study

STAMP = "unchanged.txt"
PASSED_OVER = {STAMP, "locks"}
GPUS = "/dev/nvidiactl"


def as_it_was(study: Study, folder: Path, how: object) -> Summary | None:
    """The stored summary, where the same command has nothing to do; None where something must be looked at."""
    from whichtune.errors import StoreError
    from whichtune.evidence.stored import doubts, read_summary
    from whichtune.records.store import StudyFolder

    file = folder / STAMP
    if not file.is_file() or file.read_text(encoding="utf-8") != stamp_of(study, folder, how):
        return None
    place = StudyFolder(folder)
    try:
        stored = read_summary(place)
    except StoreError:
        return None  # the whole command says what is wrong, or mends it
    return None if doubts(place, stored) else stored.summary


def leave_stamp(study: Study, folder: Path, how: object) -> None:
    """Note that the study has ended with every run complete."""
    if (stamp := stamp_of(study, folder, how)) is not None:
        (folder / STAMP).write_text(stamp, encoding="utf-8")


def stamp_of(study: Study, folder: Path, how: object) -> str | None:
    """The stamp of a command as things are now; None where what it reads is not on this disk, or may be a plugin's."""
    from whichtune.measure.environment import package_versions

    inputs = None if _has_plugins(study) else _inputs(study)
    if inputs is None:
        return None
    facts = {
        "study": study.model_dump(mode="json"),
        "how": str(how),
        "files": [_told(path) for place in inputs for path in _files(place)],
        "folder": [_told(path) for path in _files(folder)],
        "versions": {**package_versions(), "python": platform.python_version()},
        "machine": [platform.node(), platform.machine(), os.environ.get("CUDA_VISIBLE_DEVICES"), os.path.exists(GPUS)],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _has_plugins(study: Study) -> bool:
    """Whether code that is not the package's own may have a part in the study."""
    from importlib.metadata import entry_points

    from whichtune.plugins import for_other_processes

    installed = any(group.startswith("whichtune.") for group in entry_points().groups)
    return installed or bool(study.plugins or for_other_processes())


def _inputs(study: Study) -> list[Path] | None:
    """The files and folders that a study names anywhere; None where data or a model lie elsewhere."""
    from whichtune.data.named import NAMED_SETS, Embedded
    from whichtune.expansion.expand import model_keys
    from whichtune.study.spec import EMBEDDED

    source = study.data.source
    if not os.path.exists(os.path.expanduser(source)) and not (
        source in NAMED_SETS and isinstance(NAMED_SETS[source], Embedded)
    ):
        return None
    models = [Path(key.model).expanduser() for key in model_keys(study) if key.model != EMBEDDED]
    if not all(folder.is_dir() for folder in models):
        return None
    named = [Path(text).expanduser() for text in _texts_in(study.model_dump(mode="json")) if _is_file(text)]
    return [Path(source).expanduser(), *models, *named]


def _texts_in(value: object) -> Iterator[str]:
    """Every text of nested mappings and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts_in(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _texts_in(each)


def _is_file(text: str) -> bool:
    """Whether a text names a file here; one that no file can be called does not."""
    try:
        return os.path.isfile(os.path.expanduser(text))
    except ValueError:
        return False


def _files(place: Path) -> Iterator[Path]:
    """A file, or every file of a folder, in one order."""
    if place.is_file():
        yield place
        return
    for folder, inner, names in os.walk(place):
        inner[:] = sorted(name for name in inner if name not in PASSED_OVER)
        yield from (Path(folder, name) for name in sorted(names) if name not in PASSED_OVER)


def _told(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns
