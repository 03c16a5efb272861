"""What a page carries for its script, read as the script reads it."""

from __future__ import annotations

import base64
import json
import re
import zlib

import numpy as np


def carried(page: str) -> list[bytes]:
    """Every section's data, inflated."""
    found = re.findall(r'<template class="browse-data">(.*?)</template>', page)
    return [zlib.decompress(base64.b64decode(data)) for data in found]


class Carried:
    """The data of a page's one section of examples."""

    def __init__(self, page: str) -> None:
        (raw,) = carried(page)
        end = 4 + int.from_bytes(raw[:4], "little")
        self.meta = json.loads(raw[4:end])
        self.n = len(self.meta["ids"])
        self.cells = np.frombuffer(raw[end:], dtype=np.uint8)

    def _part(self, number: int, run: int) -> np.ndarray:
        return self.cells.reshape(4, -1, self.n)[number, run].astype(int)

    def _number(self, run: int) -> np.ndarray:
        return self._part(2, run) + 256 * self._part(3, run)

    def answers(self, run: int) -> np.ndarray:
        number = self._number(run)
        return np.where(number == 0, self.meta["truth"], number - 1)

    def confidence(self, run: int) -> np.ndarray:
        return self._part(0, run)

    def of_truth(self, run: int) -> np.ndarray:
        unknown = self._part(0, run) == 255
        return np.where(self._number(run) == 0, self._part(0, run), np.where(unknown, 255, self._part(1, run)))
