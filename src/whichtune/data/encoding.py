"""Texts to tokens, tokens to padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from whichtune.data.truncation import Kept, cut_texts
from whichtune.errors import ModelError, SettingError

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from whichtune.data.batch import Batch
    from whichtune.data.field_encoding import FieldEncoder
    from whichtune.data.splits import Dataset

Padding = Literal["dynamic", "right", "none"]


@dataclass(frozen=True)
class EncodedSplit:
    """Token ids of one split, unpadded, in the data set's order."""

    ids: list[str]
    tokens: list[list[int]]
    labels: np.ndarray  # (n,) int64
    duplicate_of_train: np.ndarray  # (n,) bool
    truncated: int  # texts cut to the context length

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: Sequence[int]) -> EncodedSplit:
        """Only the given rows, in the given order; `truncated` still counts the whole split."""
        if len(rows) == len(self):
            return self
        chosen = list(rows)
        return EncodedSplit(
            [self.ids[row] for row in chosen],
            [self.tokens[row] for row in chosen],
            self.labels[chosen],
            self.duplicate_of_train[chosen],
            self.truncated,
        )


@dataclass(frozen=True)
class Encoded:
    """All splits with what is needed to batch them."""

    splits: dict[str, EncodedSplit]
    context_length: int
    pad_id: int
    padding: Padding
    attend_to_padding: bool
    long_texts_keep: Kept = "head"
    classes: tuple[str, ...] = ()  # names of the labels, where they are known
    before: tuple[int, ...] = ()  # tokens of a prompt that stand before every text, beside the context length
    told: tuple[str, ...] = ()  # what a reader must know of them

    def batch(self, split: str, rows: Sequence[int], padding: Padding | None = None) -> Batch:
        """The given rows of a split as one right-padded batch."""
        part = self.splits[split]
        return make_batch(
            [part.tokens[row] for row in rows],
            pad_id=self.pad_id,
            width=self.context_length if (padding or self.padding) == "right" else None,
            attend_to_padding=self.attend_to_padding,
        )


def make_batch(
    tokens: Sequence[Sequence[int]],
    *,
    pad_id: int,
    width: int | None = None,
    attend_to_padding: bool = False,
) -> Batch:
    """Right-pad to `width`, or to the longest text. No mask where nothing is padding or it is attended to."""
    from whichtune.data.batch import Batch, padding_mask, right_padded

    input_ids, lengths = right_padded(tokens, pad_id, width)
    mask = None if attend_to_padding else padding_mask(lengths, input_ids.shape[1])
    return Batch(input_ids, lengths, mask)


def encode(
    dataset: Dataset,
    tokenizer: Tokenizer,
    *,
    context_length: int | Literal["longest", "model"],
    max_length: int | None,
    padding: Padding,
    attend_to_padding: bool,
    long_texts_keep: Kept = "head",
    reserved: int = 0,
    fields: FieldEncoder | None = None,
) -> Encoded:
    """Tokenise every split and cut texts to the context length, the tokenizer's special tokens kept.

    `reserved` of the model's `max_length` positions are taken by virtual tokens and not there for texts. `fields` reads
    texts of several fields.
    Raises SettingError for a context the model does not have, ModelError for a tokenizer without padding.
    """
    if tokenizer.pad_token_id is None and padding != "none":
        raise ModelError(
            "The tokenizer has neither a padding nor an end-of-text token: give it one, or use --set padding=none."
        )
    train = _whole(dataset.splits["train"].texts, tokenizer, fields)
    limit = resolve_context(context_length, max(len(ids) for ids in train), max_length, reserved)
    splits = {}
    for name, split in dataset.splits.items():
        whole = train if name == "train" else None
        tokens, cut = tokenise(split.texts, tokenizer, limit, long_texts_keep, f"{name} text", split.ids, whole, fields)
        splits[name] = EncodedSplit(split.ids, tokens, split.labels, split.duplicate_of_train, cut)
    pad_id = pad_id_of(tokenizer)
    return Encoded(splits, limit, pad_id, padding, attend_to_padding, long_texts_keep, tuple(dataset.labels))


def refuse_tokens_beyond(rows: int | None, tokens: Sequence[Sequence[int]], kind: str, ids: Sequence[str]) -> None:
    """Raise ModelError for the first text with a token that embeddings of so many rows have none for: it was added to
    the tokenizer alone."""
    for place, text in zip(ids, tokens, strict=True):
        if rows is not None and (token := max(text, default=0)) >= rows:
            raise ModelError(
                f"The tokenizer makes the token {token} of the {kind} {place}, and the model's embeddings have "
                f"{rows:,} rows: give them one for each of its tokens (resize_token_embeddings) and save the model."
            )


def pad_id_of(tokenizer: Tokenizer) -> int:
    """What texts are padded with; without a padding token 0, which nothing reads."""
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0


def tokenise(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    limit: int,
    keep: Kept,
    kind: str,
    ids: Sequence[str],
    whole: list[list[int]] | None = None,
    fields: FieldEncoder | None = None,
) -> tuple[list[list[int]], int]:
    """Token ids of texts, cut to `limit`, and how many of them were longer.

    `whole` are the ids before the cut, where they are known. Messages name a text by its `kind` and its place in
    `ids`. Raises ModelError for a text without a token.
    """
    tokens = list(_whole(texts, tokenizer, fields) if whole is None else whole)
    long = [row for row, text in enumerate(tokens) if len(text) > limit]
    if long:
        chosen = [texts[row] for row in long]
        cut = fields.cut(chosen, limit, keep) if fields else cut_texts(chosen, tokenizer, limit, keep)
        for row, text in zip(long, cut, strict=True):
            tokens[row] = text
    for row, text in enumerate(tokens):
        if not text:
            raise ModelError(f"The tokenizer makes no token of the {kind} {ids[row]}: remove it.")
    return tokens, len(long)


def _whole(texts: Sequence[str], tokenizer: Tokenizer, fields: FieldEncoder | None) -> list[list[int]]:
    """The ids of whole texts."""
    if fields is not None:
        return fields.whole(texts)
    found: list[list[int]] = tokenizer(list(texts), verbose=False)["input_ids"]
    return found


def resolve_context(wanted: int | str, longest: int, max_length: int | None, reserved: int = 0) -> int:
    """The context length in tokens. `longest` is cut to what the model has; a number above it is an error."""
    if max_length is not None and reserved:
        if reserved >= max_length:
            raise SettingError(
                f"virtual_tokens: {reserved} leave no room for a text in the model's {max_length} positions: set fewer."
            )
        max_length -= reserved
    if wanted == "model":
        if max_length is None:
            raise SettingError("context_length: the model names no length of its own: give a number or 'longest'.")
        return max_length
    if wanted == "longest":
        return min(longest, max_length) if max_length else longest
    if max_length is not None and int(wanted) > max_length:
        less = f", less {reserved} for virtual tokens" if reserved else ""
        raise SettingError(
            f"context_length: {wanted} tokens are more than the model's {max_length + reserved}{less}: set fewer."
        )
    return int(wanted)
