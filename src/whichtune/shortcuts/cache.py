"""The cache of lower blocks' hidden states: on disk, memory-mapped, shared by runs and processes.

An entry holds, for every text, the states of its tokens, one text after another without padding. Its
name is a hash of everything the states depend on, and a checksum of what was written is kept with it, so an entry is
never wrong, only present or not:

- it is written in a folder of another name, forced to disk and then renamed, so a crash leaves nothing
  that can be read;
- the checksum is compared when the entry is opened; one that does not fit is as good as none, and is made anew;
- a file lock for each name lets one process write while others wait for it;
- the least recently used entries go when the size limit is reached, and what does not fit is not written.

Where the disk is full or cannot be written, `CacheUnavailable` says why and the run computes without it.

Shapes: N texts, T tokens of the longest of a batch of B, D hidden size.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from whichtune.shortcuts.entry import FORMAT, Damaged, Description, Layout, States, Writer
from whichtune.shortcuts.kept import ENTRY

# What opening an entry raises that something else than this program has changed or cut short.
UNREADABLE = (Damaged, OSError, ValueError, KeyError, TypeError, AttributeError)


class CacheUnavailable(Exception):  # noqa: N818 - it is an answer, not a mistake
    """The cache cannot hold these states; the message says why. Compute without it."""


@dataclass(frozen=True)
class Entry:
    """One entry on disk. `last_used` is in seconds since 1970."""

    key: str
    bytes: int
    last_used: float
    description: Description
    family: str = ""


class ActivationCache:
    """Entries under `root`, at most `limit` bytes of them (default: a quarter of the disk left free).

    `shared`: what the runs call it that share what is made here, see `kept.shared_passes`.
    """

    def __init__(self, root: Path, limit: int | None = None, shared: str = "") -> None:
        self.root, self.shared = root, shared
        self.damaged: set[str] = set()  # keys of entries that were not what had been written
        self._limit = limit

    @property
    def limit(self) -> int:
        """Bytes all entries together may take."""
        if self._limit is not None:
            return self._limit
        folder = next(parent for parent in [self.root, *self.root.parents] if parent.exists())
        return (shutil.disk_usage(folder).free + sum(entry.bytes for entry in self.entries())) // 4

    def entries(self) -> list[Entry]:
        """What is there, most recently used first."""
        found = []
        for file in self.root.glob(f"*/{ENTRY}"):
            try:
                data = json.loads(file.read_text(encoding="utf-8"))
                size, used = int(data["bytes"]), file.stat().st_mtime
                found.append(
                    Entry(file.parent.name, size, used, Description(**data["description"]), data.get("family", ""))
                )
            except (OSError, ValueError, KeyError, TypeError):
                continue  # being removed, or not an entry
        finished = [entry for entry in found if ".part-" not in entry.key]
        return sorted(finished, key=lambda entry: -entry.last_used)

    def clear(self) -> int:
        """Remove all entries that no process is writing; gives the bytes freed."""
        freed = sum(entry.bytes for entry in self.entries() if self._remove(entry.key))
        for folder in self.root.glob("*.part-*"):
            self._remove_unfinished(folder.name.split(".part-")[0])
        return freed

    def get(self, key: str) -> States | None:
        """The states of `key`, or None. Marks them as used now."""
        if not (self.root / key / ENTRY).is_file():
            return None
        try:
            return self._opened(key)
        except UNREADABLE:
            self.damaged.add(key)
            return None

    def _opened(self, key: str) -> States:
        states = States(self.root / key)
        with suppress(OSError):  # of a cache that can be read and not written
            os.utime(self.root / key / ENTRY)
        return states

    def get_or_make(
        self,
        wanted: Mapping[str, Layout],
        make: Callable[[Mapping[str, Writer]], Mapping[str, Description]],
        kind: str = "",
    ) -> tuple[dict[str, States], set[str]]:
        """States of all `wanted`, and which keys were made now.

        `make` is given a writer for each entry that is missing, fills them and describes them. While one
        process makes an entry, others that want it wait here; with a `kind`, so do those that want entries of this kind
        and the same family, whose texts may be lent to them. Raises `CacheUnavailable`; what `make`
        raises goes through, and nothing of an unfinished entry stays.
        """
        found = {key: self.get(key) for key in wanted}
        if all(found.values()):
            return {key: states for key, states in found.items() if states is not None}, set()
        with self._disk_errors(), ExitStack() as stack:
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            families = {f"{layout.family}-{kind}" for layout in wanted.values()} if kind else set()
            for key in [*sorted(families), *sorted(wanted)]:  # one order for all, so that none wait for each other
                stack.enter_context(self._lock(key))
            found = {key: self.get(key) for key in wanted}
            missing = [key for key in sorted(wanted) if found[key] is None]
            if missing:
                self._make(missing, wanted, make)
            for key in missing:
                found[key] = self.get(key)
        if not all(found.values()):
            raise CacheUnavailable("an entry vanished as soon as it was written")
        return {key: states for key, states in found.items() if states is not None}, set(missing)

    def lenders(self, family: str) -> Iterator[States]:
        """The entries of a family, most recently used first.

        One that is damaged lends nothing: who wants it says so.
        """
        for entry in self.entries():
            if entry.family == family:
                with suppress(*UNREADABLE):
                    yield self._opened(entry.key)

    def _make(
        self,
        missing: Sequence[str],
        wanted: Mapping[str, Layout],
        make: Callable[[Mapping[str, Writer]], Mapping[str, Description]],
    ) -> None:
        need = sum(wanted[key].bytes for key in missing)
        self._make_room(need, keep=set(wanted))
        writers: dict[str, Writer] = {}
        try:
            for key in missing:
                self._remove_unfinished(key, locked=True)
                folder = self.root / f"{key}.part-{uuid.uuid4().hex[:8]}"
                writers[key] = Writer(folder, wanted[key])
            descriptions = make(writers)
            for key in missing:
                writers[key].finish(descriptions[key], self.shared)
                shutil.rmtree(self.root / key, ignore_errors=True)  # unreadable remains of an older one
                os.replace(writers[key].folder, self.root / key)
            _sync_folder(self.root)
        except BaseException:
            for writer in writers.values():
                writer.abandon()
            raise

    def _make_room(self, need: int, keep: set[str]) -> None:
        limit = self.limit
        if need > limit:
            raise CacheUnavailable(f"the states take {_size(need)}, the limit is {_size(limit)}")
        with FileLock(self.root / "locks" / "room.lock"):
            for folder in self.root.glob("*.part-*"):
                self._remove_unfinished(folder.name.split(".part-")[0])
            entries = self.entries()
            used = sum(entry.bytes for entry in entries)
            for entry in reversed(entries):
                if used + need <= limit:
                    return
                if entry.key not in keep and self._remove(entry.key):
                    used -= entry.bytes
        if used + need > limit:
            raise CacheUnavailable(f"the states take {_size(need)}, and {_size(limit)} hold what is in use")

    def _remove(self, key: str) -> bool:
        """Remove an entry unless someone is writing it. Who reads it keeps the mapped file."""
        try:
            with self._lock(key, timeout=0):
                gone = self.root / f"{key}.part-{uuid.uuid4().hex[:8]}"
                os.replace(self.root / key, gone)
                shutil.rmtree(gone, ignore_errors=True)
        except (Timeout, OSError):
            return False
        return True

    def _remove_unfinished(self, key: str, locked: bool = False) -> None:
        """Remove what a killed process left of `key`: whoever holds the lock knows that nobody writes it."""
        try:
            with ExitStack() as stack:
                if not locked:
                    stack.enter_context(self._lock(key, timeout=0))
                for folder in self.root.glob(f"{key}.part-*"):
                    shutil.rmtree(folder, ignore_errors=True)
        except (Timeout, OSError):
            pass  # someone is writing it now

    def _lock(self, key: str, timeout: float = -1) -> FileLock:
        return FileLock(self.root / "locks" / f"{key}.lock", timeout=timeout)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise CacheUnavailable("the disk is full") from error
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
                raise CacheUnavailable(f"its folder cannot be written ({error.strerror})") from error
            raise


def key_of(**parts: object) -> str:
    """Name of an entry: a hash of everything its states depend on, and of this module's format."""
    canonical = json.dumps({"format": FORMAT, **parts}, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def digest(named_tensors: Iterator[tuple[str, Tensor]]) -> str:
    """sha256 of tensors with their names, types and shapes."""
    sha = hashlib.sha256()
    for name, tensor in named_tensors:
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        if flat.numel():
            sha.update(flat.view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _sync_folder(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
