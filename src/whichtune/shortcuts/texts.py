"""The texts that a pass over frozen blocks computes, and what is wanted of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from whichtune.data.batch import Batch, padding_mask, right_padded

READ = "read"  # a position's name: every place that a text is read at
TextRule = Literal["first token", "unpadded", "padded"]


@dataclass(frozen=True)
class Texts:
    """How texts are computed: their tokens as they enter the model, and whether padding is masked.

    `tokens` are the study's texts, cut or padded by `rule`; `lengths` counts their real tokens. `read` are the places,
    from the first to before the second, at which each text is read, where there are several.
    """

    rule: TextRule
    tokens: list[list[int]]
    lengths: list[int]
    pad_id: int
    masked: bool
    read: list[tuple[int, int]] | None = None

    def batch(self, rows: Sequence[int]) -> Batch:
        """Right-padded batch of these texts, on the CPU."""
        input_ids, lengths = right_padded([self.tokens[row] for row in rows], self.pad_id)
        if self.rule == "padded":
            lengths = torch.tensor([self.lengths[row] for row in rows])
        return Batch(input_ids, lengths, padding_mask(lengths, input_ids.shape[1]) if self.masked else None)


@dataclass(frozen=True)
class TextIndex:
    """Distinct texts: `first` is a row of each, `number[row]` says which one a row is."""

    first: list[int]
    number: list[int]

    @classmethod
    def of(cls, texts: Texts) -> TextIndex:
        seen: dict[tuple[int, ...], int] = {}
        first: list[int] = []
        number: list[int] = []
        for row, (tokens, length) in enumerate(zip(texts.tokens, texts.lengths, strict=True)):
            own = () if texts.read is None else texts.read[len(number)]
            place = seen.setdefault((length, *own, *tokens), len(first))
            if place == len(first):
                first.append(row)
            number.append(place)
        return cls(first, number)


@dataclass(frozen=True)
class Want:
    """States at boundary `depth`, or, with `position`, the features that are read there at the model's end.

    The position `READ` stands for all places at which a text is read.
    """

    depth: int
    position: str | None = None
