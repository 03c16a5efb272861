"""The cache of lower blocks' hidden states: on disk, memory-mapped, shared by runs and processes.

An entry holds, for every text, the states of its tokens, one text after another without padding. Its
name is a hash of everything the states depend on, so an entry is never wrong, only present or not:

- it is written in a folder of another name, forced to disk and then renamed, so a crash leaves nothing
  that can be read;
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
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from whichtune.data.named import user_cache

FORMAT = 1
_STATES, _LENGTHS, _ENTRY = "states.bin", "lengths.npy", "entry.json"
_NUMPY: dict[torch.dtype, type[np.generic]] = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.bfloat16: np.int16,  # the same bits: numpy has no bfloat16
}


class CacheUnavailable(Exception):  # noqa: N818 - it is an answer, not a mistake
    """The cache cannot hold these states; the message says why. Compute without it."""


@dataclass(frozen=True)
class Description:
    """What `whichtune cache` shows of an entry, and what making it alone takes."""

    model: str
    depth: int
    texts: str
    seconds: float = 0.0
    flops: int = 0


@dataclass(frozen=True)
class Entry:
    """One entry on disk. `last_used` is in seconds since 1970."""

    key: str
    bytes: int
    last_used: float
    description: Description


class States:
    """States of N texts: of each, `lengths[n]` rows of `width` numbers, read from a memory-mapped file."""

    def __init__(self, folder: Path) -> None:
        with open(folder / _ENTRY, encoding="utf-8") as file:
            entry = json.load(file)
        self.width: int = entry["width"]
        self.dtype: torch.dtype = getattr(torch, entry["dtype"])
        self.description = Description(**entry["description"])
        self.lengths = torch.from_numpy(np.load(folder / _LENGTHS))
        self._offsets = np.concatenate([[0], np.cumsum(self.lengths.numpy())])
        shape = (int(self._offsets[-1]), self.width)
        self._flat = np.memmap(folder / _STATES, dtype=_NUMPY[self.dtype], mode="r", shape=shape)

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, texts: Sequence[int] | Tensor, tokens: int | None = None) -> Tensor:
        """States (B, T, D) of `texts`, zero beyond each one's end; T is `tokens` or the longest's length."""
        numbers = [int(text) for text in texts]
        longest = max(int(self.lengths[number]) for number in numbers)
        out = self._empty(len(numbers), longest if tokens is None else tokens)
        raw = self._raw(out)
        for row, number in enumerate(numbers):
            begin, end = self._offsets[number], self._offsets[number + 1]
            raw[row, : end - begin] = self._flat[begin:end]
        return out

    def packed(self, texts: Sequence[int] | Tensor, row: Tensor, start: Tensor, shape: tuple[int, int]) -> Tensor:
        """States (R, W, D) of `texts` in packed rows of `shape` (see `packing.Packing`)."""
        out = self._empty(*shape)
        raw = self._raw(out)
        for text, r, s in zip(texts, row.tolist(), start.tolist(), strict=True):
            begin, end = self._offsets[int(text)], self._offsets[int(text) + 1]
            raw[r, s : s + end - begin] = self._flat[begin:end]
        return out

    def single(self, texts: Sequence[int] | Tensor) -> Tensor:
        """The first row (B, D) of each of `texts`: all there is where an entry holds one row a text."""
        begin = self._offsets[np.asarray(texts)]
        raw = torch.from_numpy(self._flat[begin])
        return raw.view(torch.bfloat16) if self.dtype == torch.bfloat16 else raw

    def _empty(self, *shape: int) -> Tensor:
        return torch.zeros(*shape, self.width, dtype=self.dtype)

    def _raw(self, tensor: Tensor) -> np.ndarray:
        return (tensor.view(torch.int16) if self.dtype == torch.bfloat16 else tensor).numpy()


class Writer:
    """Takes the states of one entry, text by text in any order; `finish` makes it complete on disk."""

    def __init__(self, folder: Path, lengths: Tensor, width: int, dtype: torch.dtype) -> None:
        self.folder, self.lengths, self.width, self.dtype = folder, lengths, width, dtype
        self._row_bytes = width * torch.empty(0, dtype=dtype).element_size()
        self._offsets = torch.cumsum(lengths, 0) - lengths
        self._written = torch.zeros(len(lengths), dtype=torch.bool)
        folder.mkdir(parents=True)
        self._file = open(folder / _STATES, "wb")
        try:
            np.save(folder / _LENGTHS, lengths.numpy())
            self._ask_for_room()
        except BaseException:
            self.abandon()
            raise

    def _ask_for_room(self) -> None:
        """Take the whole room at once: a full disk shows before anything is computed."""
        if not (hasattr(os, "posix_fallocate") and self.bytes):
            return
        try:
            os.posix_fallocate(self._file.fileno(), 0, self.bytes)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # this file system cannot reserve
                raise

    @property
    def bytes(self) -> int:
        return int(self.lengths.sum()) * self._row_bytes

    def put(self, text: int, states: Tensor) -> None:
        """States (length, D) of one text."""
        expected = (int(self.lengths[text]), self.width)
        if tuple(states.shape) != expected:
            raise ValueError(f"text {text} has states of shape {tuple(states.shape)}, not {expected}")
        flat = states.detach().to(device="cpu", dtype=self.dtype).contiguous()
        raw = (flat.view(torch.int16) if self.dtype == torch.bfloat16 else flat).numpy()
        self._file.seek(int(self._offsets[text]) * self._row_bytes)
        self._file.write(raw.tobytes())
        self._written[text] = True

    def finish(self, description: Description) -> None:
        """Force everything to disk and write the entry's description last."""
        if not bool(self._written.all()):
            raise RuntimeError(f"{int((~self._written).sum())} texts have no states")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        entry = {
            "format": FORMAT,
            "width": self.width,
            "dtype": str(self.dtype).removeprefix("torch."),
            "bytes": self.bytes,
            "description": asdict(description),
        }
        with open(self.folder / _ENTRY, "w", encoding="utf-8") as file:
            json.dump(entry, file)
            file.flush()
            os.fsync(file.fileno())

    def abandon(self) -> None:
        self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class ActivationCache:
    """Entries under `root`, at most `limit` bytes of them (default: a quarter of the disk left free)."""

    def __init__(self, root: Path, limit: int | None = None) -> None:
        self.root = root
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
        for file in self.root.glob(f"*/{_ENTRY}"):
            try:
                data = json.loads(file.read_text(encoding="utf-8"))
                size, used = int(data["bytes"]), file.stat().st_mtime
                found.append(Entry(file.parent.name, size, used, Description(**data["description"])))
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
        folder = self.root / key
        try:
            states = States(folder)
            os.utime(folder / _ENTRY)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # not there, or removed meanwhile, or cut short by something else than this program
        return states

    def get_or_make(
        self,
        wanted: Mapping[str, tuple[Tensor, int, torch.dtype]],
        make: Callable[[Mapping[str, Writer]], Mapping[str, Description]],
    ) -> tuple[dict[str, States], set[str]]:
        """States of all `wanted` (key: lengths (N,), width, dtype), and which keys were made now.

        `make` is given a writer for each entry that is missing, fills them and describes them. While one
        process makes an entry, others that want it wait here. Raises `CacheUnavailable`; what `make`
        raises goes through, and nothing of an unfinished entry stays.
        """
        found = {key: self.get(key) for key in wanted}
        if all(found.values()):
            return {key: states for key, states in found.items() if states is not None}, set()
        with self._disk_errors(), ExitStack() as stack:
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            for key in sorted(wanted):  # one order for all processes, so that none wait for each other
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

    def _make(
        self,
        missing: Sequence[str],
        wanted: Mapping[str, tuple[Tensor, int, torch.dtype]],
        make: Callable[[Mapping[str, Writer]], Mapping[str, Description]],
    ) -> None:
        need = sum(stored_bytes(*wanted[key]) for key in missing)
        self._make_room(need, keep=set(wanted))
        writers: dict[str, Writer] = {}
        try:
            for key in missing:
                self._remove_unfinished(key, locked=True)
                folder = self.root / f"{key}.part-{uuid.uuid4().hex[:8]}"
                writers[key] = Writer(folder, *wanted[key])
            descriptions = make(writers)
            for key in missing:
                writers[key].finish(descriptions[key])
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


def stored_bytes(lengths: Tensor, width: int, dtype: torch.dtype) -> int:
    """Bytes that states of these lengths take on disk."""
    return int(lengths.sum()) * width * torch.empty(0, dtype=dtype).element_size()


def default_root() -> Path:
    """`states` in the folder where caches go."""
    return user_cache() / "states"


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
