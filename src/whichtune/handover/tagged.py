"""Words and their tags among the tokens of an exported tagger.

Words have blanks between; each is read at the first or the last of the tokens that stand in it.

Shapes: T tokens, W words, C tags.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from whichtune.handover.told import SelfTest

WORD = re.compile(r"\S+")


def batch_of_words(
    tokenizer: Any, told: SelfTest, texts: Sequence[str], tensors: str
) -> tuple[dict[str, Any], list[list[list[int]]]]:
    """The tensors (B, T) that the folder's model is given, and for each word of each text its tokens."""
    batch = tokenizer(
        list(texts),
        truncation=True,
        padding=tokenizer.pad_token is not None,
        return_offsets_mapping=True,
        return_tensors=tensors,
    )
    spans = batch["offset_mapping"].tolist()
    found = [_tokens_of(text, own) for text, own in zip(texts, spans, strict=True)]
    return {name: batch[name] for name in told.inputs}, found


def _tokens_of(text: str, spans: Sequence[Sequence[int]]) -> list[list[int]]:
    return [
        [place for place, (start, end) in enumerate(spans) if start < word.end() and word.start() < end]
        for word in WORD.finditer(text)
    ]


def words_of_tokens(logits: np.ndarray, words: list[list[list[int]]], told: SelfTest) -> np.ndarray:
    """The logits (sum of W, C) of all words, of those of the texts' tokens (B, V + T, C); NaN for a word without a
    token."""
    import numpy as np

    at = 0 if told.tag_token == "first" else -1
    nothing = np.full(logits.shape[2], np.nan)
    own = logits[:, told.virtual_tokens :]
    return np.stack([row[word[at]] if word else nothing for row, of in zip(own, words, strict=True) for word in of])


def one_blank_between(texts: Sequence[str]) -> list[str]:
    """Texts as a tagger reads them."""
    return [" ".join(text.split()) for text in texts]


def by_text(logits: np.ndarray, texts: Sequence[str]) -> list[np.ndarray]:
    """The logits (W, C) of each text's words, of those of all words."""
    import numpy as np

    ends = np.cumsum([len(text.split()) for text in texts])
    return list(np.split(logits, ends[:-1]))
