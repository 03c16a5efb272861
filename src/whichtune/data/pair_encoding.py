"""Pairs of texts to tokens: the prompt, cut so that the target always has room, then the target and its end.

Shapes: B texts, T tokens of the longest, N tokens with a loss.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

from whichtune.data.chats import as_messages, plain_prompt
from whichtune.data.truncation import Kept, cut_tokens
from whichtune.errors import DataError, ModelError, SettingError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from whichtune.data.pairs import PairDataset

PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class PairBatch:
    """Right-padded prompts with their targets. Token `columns[n]` of text `rows[n]` predicts `labels[n]`."""

    input_ids: Tensor  # (B, T) int64
    attention_mask: Tensor | None  # (B, T) int64; None where nothing is padding
    rows: Tensor  # (N,) int64
    columns: Tensor  # (N,) int64
    labels: Tensor  # (N,) int64

    def to(self, device: torch.device | str) -> PairBatch:
        mask = None if self.attention_mask is None else self.attention_mask.to(device)
        rest = (part.to(device) for part in (self.rows, self.columns, self.labels))
        return PairBatch(self.input_ids.to(device), mask, *rest)


@dataclass(frozen=True)
class EncodedPairSplit:
    """One split in the data set's order. `tokens` are prompt and target; the prompt takes `prompt_lengths`."""

    ids: list[str]
    tokens: list[list[int]]
    prompt_lengths: list[int]
    references: list[str]  # the targets as they are learned, whole
    texts: list[str]  # the texts as they are read, whole
    duplicate_of_train: np.ndarray  # (n,) bool
    truncated: int  # texts cut to make room
    targets_cut: int

    def __len__(self) -> int:
        return len(self.tokens)

    def prompt(self, row: int) -> list[int]:
        """What the model reads before it writes."""
        return self.tokens[row][: self.prompt_lengths[row]]


@dataclass(frozen=True)
class EncodedPairs:
    """All splits with what is needed to batch them. `loss_on_all`: every token but the first has a loss."""

    splits: dict[str, EncodedPairSplit]
    room: Room
    pad_id: int
    end_id: int
    loss_on_all: bool
    padding: str = "dynamic"

    @property
    def context_length(self) -> int:
        return self.room.context

    def first_with_loss(self, split: str, row: int) -> int:
        """Place of the first token that has a loss."""
        return 1 if self.loss_on_all else self.splits[split].prompt_lengths[row]

    def tokens_with_loss(self, split: str, row: int) -> int:
        return len(self.splits[split].tokens[row]) - self.first_with_loss(split, row)

    def batch(self, split: str, rows: Sequence[int]) -> PairBatch:
        """These rows, padded to the longest of them."""
        import torch

        from whichtune.data.batch import padding_mask, right_padded

        input_ids, lengths = right_padded([self.splits[split].tokens[row] for row in rows], self.pad_id)
        width = input_ids.shape[1]
        positions = torch.arange(width)[None, :]
        first = torch.tensor([self.first_with_loss(split, row) for row in rows])
        predicted = (positions < lengths[:, None]) & (positions >= first[:, None])
        place_of_row, column = predicted.nonzero(as_tuple=True)
        labels = input_ids[place_of_row, column]
        return PairBatch(input_ids, padding_mask(lengths, width), place_of_row, column - 1, labels)


def clean_text(text: str, lower_case: bool, remove_punctuation: bool) -> str:
    """A text in lower case, or without ASCII punctuation, or both."""
    if remove_punctuation:
        text = text.translate(PUNCTUATION)
    return text.lower() if lower_case else text


class PairEncoder:
    """Turns texts and targets into tokens, the same way for training, evaluation and new texts."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: str,
        lower_case: bool,
        remove_punctuation: bool,
        keep: Kept = "head",
        chat: bool = False,
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError("The tokenizer has no end-of-text token, by which a written text ends: give it one.")
        self.tokenizer, self.keep = tokenizer, keep
        self.lower_case, self.remove_punctuation, self.chat = lower_case, remove_punctuation, chat
        if chat:  # the model's own template has the words around each message, and the last words matter most
            self.before, self.after, self.keep = [], [], "tail"
            self.gap, self.end_id = "" if tokenizer.chat_template else " ", int(tokenizer.eos_token_id)
            return
        before, after = template.split("{document}")
        self.before = self._start() + self.ids([before])[0]
        self.after = self.ids([after])[0]
        # Words of GPT-2's kind of vocabulary begin with their space: without it the first would be another word.
        self.gap = "" if after[-1:].isspace() else " "
        self.end_id = int(tokenizer.eos_token_id)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts, nothing added."""
        if not any(texts):
            return [[] for _ in texts]
        found: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def _start(self) -> list[int]:
        """What the tokenizer puts before every text."""
        first = self.tokenizer("a")["input_ids"][:1]
        starts = self.tokenizer.bos_token_id is not None and first == [self.tokenizer.bos_token_id]
        return list(first) if starts else []

    def clean(self, text: str) -> str:
        """A text as the task's settings want it read."""
        return clean_text(text, self.lower_case, self.remove_punctuation)

    def sources(self, texts: Sequence[str]) -> list[list[int]]:
        if self.chat:
            rendered = self.ids([self._rendered(text) for text in texts])
            start = [] if self.tokenizer.chat_template else self._start()
            return [[*start, *ids] for ids in rendered]
        return self.ids([self.clean(text) for text in texts])

    def _rendered(self, text: str) -> str:
        """A conversation by the model's own template, up to where its answer begins; else by plain words."""
        messages = [{**each, "content": self.clean(each["content"])} for each in as_messages(text)]
        if not self.tokenizer.chat_template:
            return plain_prompt(messages)
        try:
            found = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # of whatever a template does not take, such as a system message
            reason = " ".join((str(error).strip() or type(error).__name__).split())[:200]
            raise ModelError(
                f"The model's chat template does not take a conversation: {reason.rstrip('.')}."
            ) from error
        return str(found)

    def targets(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of targets, their end-of-text included."""
        return [[*ids, self.end_id] for ids in self.ids([self.gap + self.clean(text) for text in texts])]

    def prompt(self, source: list[int], room: int) -> list[int]:
        """The template with as much of the text as fits into `room` tokens. Raises DataError where that is nothing."""
        found = [*self.before, *self.cut(source, room - len(self.before) - len(self.after)), *self.after]
        if not found:
            raise DataError(
                "A text of which nothing is left, read by a template without words of its own, gives the model nothing "
                "to begin with: put words into the template, or leave the text out."
            )
        return found

    def reads_nothing(self, text: str) -> bool:
        """Whether a text gives the model nothing to begin with."""
        return not (self.before or self.after or self.sources([text])[0])

    def cut(self, source: list[int], room: int | None) -> list[int]:
        """At most `room` tokens of a text."""
        if room is None or len(source) <= room:
            return source
        return cut_tokens(source, [0] * len(source), room, self.keep)


@dataclass(frozen=True)
class Room:
    """Tokens that there are in all, of a target, for writing one, and of a text."""

    context: int
    target: int
    writing: int
    source: int | None = None
    chat: bool = False  # texts are conversations

    @classmethod
    def of(cls, recorded: Mapping[str, int | None]) -> Room:
        """The room that a run's record has."""
        context, target, writing = (int(recorded[name] or 0) for name in ("context", "target", "writing"))
        return cls(context, target, writing, recorded.get("source"), bool(recorded.get("chat")))

    @property
    def prompt(self) -> int:
        """What is left for the prompt."""
        return self.context - max(self.target, self.writing)


class Limits(TypedDict):
    """What limits the context and a text: settings, and the positions that the model and the method leave."""

    context_length: int | str
    max_length: int | None
    reserved: int
    max_source: int | None
    max_new: int | None


def find_room(
    encoder: PairEncoder,
    sources: Sequence[list[int]],
    targets: Sequence[list[int]],
    max_target: int | None,
    **limits: Unpack[Limits],
) -> Room:
    """How the context is shared out, from the training split's lengths.

    `max_length` positions of the model, of which `reserved` are taken by virtual tokens. Raises SettingError where
    nothing is left for the text.
    """
    context_length, max_source = limits["context_length"], limits["max_source"]
    limit = None if limits["max_length"] is None else limits["max_length"] - limits["reserved"]
    if isinstance(context_length, int) and limit is not None and context_length > limit:
        raise SettingError(
            f"context_length: {context_length} tokens are more than the {limit} that there are: set fewer."
        )
    most = context_length if isinstance(context_length, int) else limit
    longest_target = max(map(len, targets))
    target = max_target or (longest_target if most is None else min(longest_target, most // 2))
    kept = max(target, limits["max_new"] or 0)
    longest = max(len(ids) if max_source is None else min(len(ids), max_source) for ids in sources)
    wanted = longest + len(encoder.before) + len(encoder.after) + kept
    if context_length == "model":
        if limit is None:
            raise SettingError("context_length: the model names no length of its own: give a number or 'longest'.")
        context = limit
    else:
        context = wanted if most is None else min(wanted, most)
    if context - kept - len(encoder.before) - len(encoder.after) < 1:
        raise SettingError(
            f"context_length: {context} tokens leave none for the text beside {kept} of the target and the "
            "template: set more, or a smaller max_target_tokens."
        )
    return Room(context, target, limits["max_new"] or target, max_source, encoder.chat)


def encode_pairs(
    dataset: PairDataset,
    encoder: PairEncoder,
    pad_id: int,
    loss_on_all: bool,
    max_target: int | None,
    **limits: Unpack[Limits],
) -> EncodedPairs:
    """Tokenise every split; `limits` are those of `find_room`. A target that is cut has no end-of-text."""
    train = dataset.splits["train"]
    known = {"train": (encoder.sources(train.texts), encoder.targets(train.targets))}
    room = find_room(encoder, *known["train"], max_target, **limits)
    splits = {}
    for name, split in dataset.splits.items():
        sources, targets = known.get(name) or (encoder.sources(split.texts), encoder.targets(split.targets))
        sources = [encoder.cut(ids, room.source) for ids in sources]
        prompts = [encoder.prompt(ids, room.prompt) for ids in sources]
        full = [len(ids) + len(encoder.before) + len(encoder.after) for ids in sources]
        splits[name] = EncodedPairSplit(
            ids=split.ids,
            tokens=[prompt + target[: room.target] for prompt, target in zip(prompts, targets, strict=True)],
            prompt_lengths=[len(prompt) for prompt in prompts],
            references=[encoder.clean(text) for text in split.targets],
            texts=[encoder.clean(text) for text in split.texts],
            duplicate_of_train=split.duplicate_of_train,
            truncated=sum(len(prompt) < length for prompt, length in zip(prompts, full, strict=True)),
            targets_cut=sum(len(target) > room.target for target in targets),
        )
    return EncodedPairs(splits, room, pad_id, encoder.end_id, loss_on_all)
