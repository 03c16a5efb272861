"""One entry of the cache on disk: a memory-mapped file of states, the texts' lengths, and what they are.

Shapes: N texts, T tokens of the longest of a batch of B, D hidden size.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from whichtune.shortcuts.kept import ENTRY

FORMAT = 4  # 2: with checksums; 3: with the conditions that the pass was measured under; 4: with marks of its texts
# Words of 64 bits that are summed into one of a checksum.
CHECKED_TOGETHER = 8192
MARK_BYTES = 16  # of the hash of a text
_STATES, _LENGTHS, _MARKS = "states.bin", "lengths.npy", "marks.npy"
_NO_BYTES = np.zeros(0, dtype=np.uint8)
_NUMPY: dict[torch.dtype, type[np.generic]] = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.bfloat16: np.int16,  # the same bits: numpy has no bfloat16
}


class Damaged(Exception):  # noqa: N818 - it is an answer, not a mistake
    """An entry whose checksum does not fit what it holds."""


@dataclass(frozen=True)
class Description:
    """What `whichtune cache` shows of an entry, and what making it alone takes.

    `peak_memory` in bytes is that of the pass which made it, `runs_at_once` the runs that shared the machine then,
    `joules` its energy where that could be measured.
    """

    model: str
    depth: int
    texts: str
    seconds: float = 0.0
    flops: int = 0
    peak_memory: int = 0
    runs_at_once: int = 1
    joules: float | None = None


class Layout(NamedTuple):
    """What an entry will hold: of each text `lengths[n]` rows of `width` numbers.

    `family` names everything that the states depend on beside the texts, `marks` (N, MARK_BYTES) the texts.
    """

    lengths: Tensor
    width: int
    dtype: torch.dtype
    family: str = ""
    marks: np.ndarray | None = None

    @property
    def bytes(self) -> int:
        """What the states take on disk."""
        return stored_bytes(self.lengths, self.width, self.dtype)


class States:
    """States of N texts: of each, `lengths[n]` rows of `width` numbers, read from a memory-mapped file.

    Raises Damaged where they are not what was written."""

    def __init__(self, folder: Path) -> None:
        with open(folder / ENTRY, encoding="utf-8") as file:
            entry = json.load(file)
        said = entry.pop("checksum")
        if checksum_of(folder, entry) != said:
            raise Damaged(folder.name)
        self.width: int = entry["width"]
        self.dtype: torch.dtype = getattr(torch, entry["dtype"])
        self.description = Description(**entry["description"])
        self.lengths = torch.from_numpy(np.load(folder / _LENGTHS))
        self.marks: np.ndarray = np.load(folder / _MARKS)  # (N, MARK_BYTES); (0, MARK_BYTES) where texts have none
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths.numpy())])  # of each text's first row, and the end
        shape = (int(self.offsets[-1]), self.width)
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
            begin, end = self.offsets[number], self.offsets[number + 1]
            raw[row, : end - begin] = self._flat[begin:end]
        return out

    @property
    def bytes(self) -> int:
        """What the states take."""
        return self._flat.nbytes

    def all(self) -> Tensor:
        """The states (L, D) of all texts, one after another."""
        return self._tensor(np.array(self._flat))

    def of(self, text: int) -> Tensor:
        """States (length, D) of one text."""
        return self.padded([text])[0]

    def packed(self, texts: Sequence[int] | Tensor, row: Tensor, start: Tensor, shape: tuple[int, int]) -> Tensor:
        """States (R, W, D) of `texts` in packed rows of `shape` (see `packing.Packing`)."""
        out = self._empty(*shape)
        raw = self._raw(out)
        for text, r, s in zip(texts, row.tolist(), start.tolist(), strict=True):
            begin, end = self.offsets[int(text)], self.offsets[int(text) + 1]
            raw[r, s : s + end - begin] = self._flat[begin:end]
        return out

    def single(self, texts: Sequence[int] | Tensor) -> Tensor:
        """The first row (B, D) of each of `texts`: all there is where an entry holds one row a text."""
        begin = self.offsets[np.asarray(texts)]
        return self._tensor(self._flat[begin])

    def _tensor(self, raw: np.ndarray) -> Tensor:
        found = torch.from_numpy(raw)
        return found.view(torch.bfloat16) if self.dtype == torch.bfloat16 else found

    def _empty(self, *shape: int) -> Tensor:
        return torch.zeros(*shape, self.width, dtype=self.dtype)

    def _raw(self, tensor: Tensor) -> np.ndarray:
        return (tensor.view(torch.int16) if self.dtype == torch.bfloat16 else tensor).numpy()


class Writer:
    """Takes the states of one entry, text by text in any order; `finish` makes it complete on disk."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        lengths, width, dtype = layout.lengths, layout.width, layout.dtype
        self.folder, self.lengths, self.width, self.dtype = folder, lengths, width, dtype
        self.family = layout.family
        self._row_bytes = width * torch.empty(0, dtype=dtype).element_size()
        self._offsets = torch.cumsum(lengths, 0) - lengths
        self._written = torch.zeros(len(lengths), dtype=torch.bool)
        folder.mkdir(parents=True)
        self._file = open(folder / _STATES, "wb")
        try:
            np.save(folder / _LENGTHS, lengths.numpy())
            marks = np.zeros((0, MARK_BYTES), np.uint8) if layout.marks is None else layout.marks
            np.save(folder / _MARKS, marks)
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

    def finish(self, description: Description, shared: str = "") -> None:
        """Force everything to disk and write the entry's description last; `shared` as in `ActivationCache`."""
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
            "family": self.family,
            "description": asdict(description),
            "shared": shared,
        }
        entry["checksum"] = checksum_of(self.folder, entry)
        with open(self.folder / ENTRY, "w", encoding="utf-8") as file:
            json.dump(entry, file)
            file.flush()
            os.fsync(file.fileno())

    def abandon(self) -> None:
        self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def checksum_of(folder: Path, entry: Mapping[str, object]) -> str:
    """Of an entry's states, lengths, marks and description.

    Sums of 64-bit words, each over 64 KiB, are hashed, and not the states themselves: at the speed of memory, so that
    opening an entry costs nothing beside making it. Any change within one word, and any page that is lost or another's,
    changes it.
    """
    states = np.memmap(folder / _STATES, dtype=np.uint8, mode="r") if (folder / _STATES).stat().st_size else _NO_BYTES
    whole = len(states) - len(states) % (8 * CHECKED_TOGETHER)
    sums = states[:whole].view(np.uint64).reshape(-1, CHECKED_TOGETHER).sum(axis=1, dtype=np.uint64)
    check = hashlib.blake2b(json.dumps(entry, sort_keys=True).encode(), digest_size=16)
    check.update(sums.tobytes())
    check.update(states[whole:].tobytes())
    check.update((folder / _LENGTHS).read_bytes())
    check.update((folder / _MARKS).read_bytes())
    return check.hexdigest()


def stored_bytes(lengths: Tensor, width: int, dtype: torch.dtype) -> int:
    """Bytes that states of these lengths take on disk."""
    return int(lengths.sum()) * width * torch.empty(0, dtype=dtype).element_size()
