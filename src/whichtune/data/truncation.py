"""Which part of a text is kept where it is longer than the context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from whichtune.errors import SettingError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

Kept = Literal["head", "tail", "both"]
KEPT_WORDS: dict[str, str] = {"head": "their beginning", "tail": "their end", "both": "half of each end"}


def cut_texts(texts: Sequence[str], tokenizer: Tokenizer, limit: int, keep: Kept) -> list[list[int]]:
    """Token ids of texts that have more than `limit`, cut to it.

    What the tokenizer puts before and after every text ([CLS], [SEP]) stays; of the tokens between, the first
    (`head`), the last (`tail`), or as many of each end (`both`; of an odd number the first has one more) are kept.
    Raises SettingError where the special tokens alone fill the limit.
    """
    found = tokenizer(list(texts), return_special_tokens_mask=True, verbose=False)
    return [
        cut_tokens(ids, mask, limit, keep)
        for ids, mask in zip(found["input_ids"], found["special_tokens_mask"], strict=True)
    ]


def cut_tokens(ids: Sequence[int], special: Sequence[int], limit: int, keep: Kept) -> list[int]:
    """One text's ids cut to `limit`; `special` is 1 for tokens that the tokenizer has added."""
    before = next((place for place, added in enumerate(special) if not added), len(ids))
    after = next((place for place, added in enumerate(reversed(special)) if not added), 0)
    first, body, last = ids[:before], ids[before : len(ids) - after], ids[len(ids) - after :]
    room = limit - len(first) - len(last)
    if room < 1:
        raise SettingError(
            f"context_length: {limit} tokens leave no room for the text beside the tokenizer's "
            f"{len(first) + len(last)} special tokens: set more."
        )
    ends = {"head": room, "tail": 0, "both": room - room // 2}[keep]
    start = len(body) - (room - ends)
    return [*first, *body[:ends], *body[start:], *last]
