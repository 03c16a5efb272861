"""Operations of a batch by the lengths of its texts, exact without counting every batch.

Matrix products are linear in the number of tokens, attention in tokens times the tokens of their row, and
what is computed at read positions alone in these positions and in positions times the tokens of their
row. A few small batches, counted by torch's counter, therefore give every other batch exactly. One more
checks that they do; where it does not, every shape is counted by itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from whichtune.measure.cost import count_flops

# What a batch's operations are a sum of: a constant, texts, tokens, tokens x tokens of their row,
# read positions, read positions x tokens of their row.
Cells = tuple[int, int, int, int, int, int]

# Texts of these lengths are packed into rows that hold unequal numbers of them, where packing is on.
UNEVEN = (9, 8, 2)
# Small batches of texts of these lengths; some pack into fewer rows, where packing is on. As many are
# counted as the cells of a route have independent parts, and one more to check.
_PACKED: tuple[tuple[int, ...], ...] = ((6, 1), (8, 1, 1), (7, 2, 1, 1), UNEVEN, (9, 9, 1, 1))
_SAMPLES: tuple[tuple[int, ...], ...] = ((3,), (2, 2), (5,), (2,), *_PACKED)
_CHECK = (7, 3, 1)
# And where every batch is counted text by text.
_ONE_TEXT: tuple[tuple[int, ...], ...] = ((2,), (3,), (4,))
_ONE_TEXT_CHECK = (8,)


def padded_cells(lengths: Sequence[int]) -> Cells:
    """Cells of texts padded to the longest, one a row, all positions computed."""
    return rows_cells(len(lengths), len(lengths), max(lengths), 1)


def rows_cells(texts: int, rows: int, width: int, read: int) -> Cells:
    """Cells of `texts` in `rows` of `width` tokens, `read` positions of each row read."""
    return (1, texts, rows * width, rows * width * width, rows * read, rows * read * width)


class FlopModel:
    """Operations of a batch of texts by their lengths. `count` runs and counts one batch.

    `samples` and `check` are the lengths of the batches counted; a text of more than `limit` tokens cannot be. Passes
    with and without gradients are counted apart. `kept` is a folder of what equal models were found to need: they count
    the one batch by which it is checked.
    """

    def __init__(
        self,
        count: Callable[[list[int]], int],
        cells: Callable[[Sequence[int]], Cells],
        limit: int | None = None,
        samples: Sequence[tuple[int, ...]] = _SAMPLES,
        check: tuple[int, ...] = _CHECK,
        kept: Path | None = None,
    ) -> None:
        self._count, self._cells, self._limit, self._kept = count, cells, limit, kept
        self._samples, self._check = samples, check
        self._weights: dict[bool, np.ndarray | None] = {}
        self._counted: dict[tuple[bool, Cells], int] = {}

    def __call__(self, lengths: Sequence[int]) -> int:
        gradients = torch.is_grad_enabled()
        if gradients not in self._weights:
            self._weights[gradients] = self._fit()
        cells, weights = self._cells(lengths), self._weights[gradients]
        if weights is not None:
            return round(float(np.dot(cells, weights)))
        if (gradients, cells) not in self._counted:
            self._counted[gradients, cells] = self._count(list(lengths))
        return self._counted[gradients, cells]

    def _fit(self) -> np.ndarray | None:
        """Weights of the cells from the samples; None where the check is not met to the last operation."""
        if self._limit is not None and self._limit < max(map(max, [*self._samples, self._check])):
            return None
        expected = self._count(list(self._check))
        known = self._known()
        if known is not None and self._meets(known, expected):
            return known
        weights = self._from_samples()
        if not self._meets(weights, expected):
            return None
        self._keep(weights)
        return weights

    def _meets(self, weights: np.ndarray, expected: int) -> bool:
        return round(float(np.dot(self._cells(self._check), weights))) == expected

    def _from_samples(self) -> np.ndarray:
        chosen: list[tuple[int, ...]] = []
        for sample in self._samples:
            if np.linalg.matrix_rank(self._matrix([*chosen, sample])) > len(chosen):
                chosen.append(sample)
        matrix = self._matrix(chosen)
        counted = np.array([self._count(list(sample)) for sample in chosen], dtype=float)
        scale = np.maximum(matrix.max(axis=0), 1.0)
        weights: np.ndarray = np.linalg.lstsq(matrix / scale, counted, rcond=1e-9)[0] / scale
        return weights

    # -- what equal models need --------------------------------------------------------------------

    @property
    def _file(self) -> Path | None:
        return None if self._kept is None else self._kept / f"{'steps' if torch.is_grad_enabled() else 'passes'}.json"

    def _known(self) -> np.ndarray | None:
        """The weights that an equal model was found to have; None where there are none that can be read."""
        if self._file is None or not self._file.is_file():
            return None
        try:
            found = np.array(json.loads(self._file.read_text(encoding="utf-8")), dtype=float)
        except (OSError, ValueError, TypeError):
            return None  # counted anew, and written again
        return found if found.shape == (len(self._cells(self._check)),) else None

    def _keep(self, weights: np.ndarray) -> None:
        if self._file is None:
            return
        partial = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(weights.tolist()), encoding="utf-8")
            partial.replace(self._file)
        except OSError:
            if partial.exists():
                partial.unlink()
            return  # the next run counts for itself

    def _matrix(self, samples: Sequence[tuple[int, ...]]) -> np.ndarray:
        return np.array([self._cells(sample) for sample in samples], dtype=float)


def flops_of_length(loss_of_length: Callable[[int], Tensor], limit: int) -> Callable[[int], int]:
    """Operations of one text by its length, up to `limit` tokens; `loss_of_length` runs one text."""
    model = FlopModel(
        lambda lengths: count_flops(lambda: loss_of_length(lengths[0])),
        padded_cells,
        limit,
        _ONE_TEXT,
        _ONE_TEXT_CHECK,
    )
    return lambda length: model([length])
