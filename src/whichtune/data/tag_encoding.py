"""Sentences to tokens, and where each word is read among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from whichtune.data.encoding import Padding, make_batch, pad_id_of, resolve_context
from whichtune.data.tag_cells import words_of
from whichtune.data.truncation import Kept, cut_tokens
from whichtune.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from whichtune.data.batch import Batch
    from whichtune.data.tagged import TaggedDataset

Token = Literal["first", "last"]
NOWHERE = -1  # the place of a word that the context does not hold


@dataclass(frozen=True)
class EncodedTags:
    """Token ids of one split, unpadded, in the data set's order.

    `places` are the token (W,) at which each word of a sentence is read, NOWHERE for one that the context does not
    hold, and `tags` its true tag (W,).
    """

    ids: list[str]
    tokens: list[list[int]]
    places: list[np.ndarray]
    tags: list[np.ndarray]
    duplicate_of_train: np.ndarray  # (n,) bool
    truncated: int  # sentences cut to the context length

    def __len__(self) -> int:
        return len(self.tokens)

    def read(self, row: int) -> np.ndarray:
        """The tokens at which a sentence's words are read, of those that the context holds."""
        found: np.ndarray = self.places[row][self.places[row] != NOWHERE]
        return found

    def known_tags(self, row: int) -> np.ndarray:
        """The true tags of the same words."""
        found: np.ndarray = self.tags[row][self.places[row] != NOWHERE]
        return found

    @property
    def words_cut(self) -> int:
        """Words that the context does not hold."""
        return sum(int((places == NOWHERE).sum()) for places in self.places)


@dataclass(frozen=True)
class EncodedSentences:
    """All splits with what is needed to batch them."""

    splits: dict[str, EncodedTags]
    context_length: int
    pad_id: int
    padding: Padding
    long_texts_keep: Kept

    def batch(self, split: str, rows: Sequence[int], padding: Padding | None = None) -> Batch:
        """The given rows of a split as one right-padded batch."""
        part = self.splits[split]
        width = self.context_length if (padding or self.padding) == "right" else None
        return make_batch([part.tokens[row] for row in rows], pad_id=self.pad_id, width=width)


def encode_sentences(
    dataset: TaggedDataset,
    tokenizer: Tokenizer,
    *,
    context_length: int | Literal["longest", "model"],
    max_length: int | None,
    padding: Padding,
    long_texts_keep: Kept,
    token: Token,
    reserved: int = 0,
) -> EncodedSentences:
    """Tokenise every split and cut sentences to the context length, the tokenizer's special tokens kept.

    Raises SettingError for a context that the model does not have, ModelError for a tokenizer without padding, or one
    that does not tell where its tokens stand, and for a training sentence that is left without a word.
    """
    if tokenizer.pad_token_id is None and padding != "none":
        raise ModelError(
            "The tokenizer has neither a padding nor an end-of-text token: give it one, or use --set padding=none."
        )
    whole = {name: placed(part.texts, tokenizer, token) for name, part in dataset.splits.items()}
    longest = max(len(sentence.tokens) for sentence in whole["train"])
    limit = resolve_context(context_length, longest, max_length, reserved)
    splits = {}
    for name, part in dataset.splits.items():
        cut = [sentence.cut(limit, long_texts_keep) for sentence in whole[name]]
        splits[name] = EncodedTags(
            part.ids,
            [sentence.tokens for sentence in cut],
            [sentence.places for sentence in cut],
            part.tags,
            part.duplicate_of_train,
            sum(len(sentence.tokens) > limit for sentence in whole[name]),
        )
    refuse_wordless(splits["train"], limit)
    return EncodedSentences(splits, limit, pad_id_of(tokenizer), padding, long_texts_keep)


def refuse_wordless(train: EncodedTags, limit: int) -> None:
    """Raise ModelError for the first training sentence none of whose words has a token within the context."""
    for row, places in enumerate(train.places):
        if (places == NOWHERE).all():
            raise ModelError(
                f"No word of the train sentence {train.ids[row]} has a token within the context of {limit} tokens: "
                "raise context_length, or remove the sentence."
            )


@dataclass(frozen=True)
class Placed:
    """A sentence's tokens, which of them the tokenizer has added, and the token at which each word is read (W,)."""

    tokens: list[int]
    added: list[int]
    places: np.ndarray

    def cut(self, limit: int, keep: Kept) -> Placed:
        """The same with at most `limit` tokens. Raises SettingError where the added ones alone fill them."""
        import numpy as np

        if len(self.tokens) <= limit:
            return self
        kept = cut_tokens(range(len(self.tokens)), self.added, limit, keep)
        moved = np.full(len(self.tokens) + 1, NOWHERE)  # the last is that of NOWHERE itself
        moved[kept] = np.arange(len(kept))
        return Placed([self.tokens[at] for at in kept], [self.added[at] for at in kept], moved[self.places])


def placed(texts: Sequence[str], tokenizer: Tokenizer, token: Token) -> list[Placed]:
    """Whole sentences as tokens. Words are found among them by where the tokens stand in the text, so that a sentence
    is read as the same words are in a running text.

    Raises ModelError for a tokenizer that does not tell where.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            "The tokenizer does not tell where its tokens stand in a text, by which words are found: tagging needs a "
            "model whose files have a tokenizer.json."
        )
    found = tokenizer(list(texts), return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    return [
        Placed(list(ids), list(added), _places(text, spans, added, token))
        for text, ids, added, spans in zip(
            texts, found["input_ids"], found["special_tokens_mask"], found["offset_mapping"], strict=True
        )
    ]


def _places(text: str, spans: Sequence[tuple[int, int]], added: Sequence[int], token: Token) -> np.ndarray:
    """The first or last token of each word; NOWHERE for one of which the tokenizer makes none."""
    import numpy as np

    words = words_of(text)
    owner: list[int] = []  # the word of each sign; NOWHERE for blanks between
    for number, word in enumerate(words):
        start = text.index(word, len(owner))
        owner += [NOWHERE] * (start - len(owner)) + [number] * len(word)
    places = [NOWHERE] * len(words)
    for place, ((start, end), is_added) in enumerate(zip(spans, added, strict=True)):
        for number in set() if is_added else {*owner[start:end]} - {NOWHERE}:
            if token == "last" or places[number] == NOWHERE:
                places[number] = place
    return np.array(places, dtype=np.int64)
