"""Prompts that ask a language model for a label in words: a template, as tokens.

What stands in the template before the last empty line ahead of the text is said once, before everything else; the
rest, the block, is repeated for each example. Beginning, blocks and words are made into tokens apart from one another,
so that what several texts share is the same tokens in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whichtune.data.field_encoding import NO_FIELD, Templated, default_template, places_of, rooms
from whichtune.data.truncation import Kept
from whichtune.errors import SettingError
from whichtune.registry import did_you_mean
from whichtune.study.fields import FIELD_END

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase as Tokenizer

EMPTY_LINE = "\n\n"
LABELS = "{labels}"
LEAST = 4  # tokens of an example's text
# Inputs that say nothing of a label, whose mean answer is what calibration takes out (Zhao et al. 2021).
CONTENT_FREE = ("N/A", "[MASK]", "")


def default_prompt(names: Sequence[str]) -> str:
    """The prompt where none is set, for text columns of these names."""
    text = "Text: {text}" if len(names) < 2 else default_template(names)
    return f"Classify the text as one of: {LABELS}.{EMPTY_LINE}{text}\nLabel:"


def check_prompt(template: str, names: Sequence[str], where: str) -> None:
    """Raise SettingError for a prompt without each text column once, and for one that asks for nothing after them."""
    given = places_of(names).findall(template)
    for name in names:
        if given.count(name) != 1:
            raise SettingError(f"{where}: prompt must have {{{name}}} once, where the text stands.")
    end = places_of(names).split(template)[-1]
    if not end.strip() or end != end.rstrip(" \t"):
        raise SettingError(
            f"{where}: prompt must end in what the label's words follow, without a blank, such as 'Label:'."
        )


def words_of(labels: Sequence[str], given: Mapping[str, str], ignored: str | None, where: str) -> list[str | None]:
    """The words of each label, None for the one that is never the answer. Raises SettingError for words of a label that
    the data do not have, and for labels with the same words."""
    for name in given:
        if name not in labels:
            raise SettingError(f"{where}: label_words: the data have no label '{name}': {did_you_mean(name, labels)}")
    found = [None if label == ignored else given.get(label, label).strip() for label in labels]
    seen: dict[str, str] = {}
    for label, words in zip(labels, found, strict=True):
        if words is None:
            continue
        if not words:
            raise SettingError(f"{where}: label_words of '{label}' are empty: give it words.")
        if words in seen:
            raise SettingError(
                f"{where}: the labels '{seen[words]}' and '{label}' have the same words ('{words}'): set label_words."
            )
        seen[words] = label
    return found


@dataclass(frozen=True)
class Shots:
    """Examples that stand before every text: the tokens of the beginning and theirs, their rows in the training split
    in the order in which they stand, and how many were cut to `longest` tokens."""

    before: list[int]
    rows: list[int]
    cut: int
    longest: int


class LabelPrompts(Templated):
    """Texts as blocks of a prompt. `words` are the words of each label, None for one that is never the answer."""

    special = False

    def __init__(self, tokenizer: Tokenizer, template: str, names: Sequence[str], words: Sequence[str | None]) -> None:
        said = ", ".join(each for each in words if each is not None)
        start = places_of(names).search(template)
        assert start is not None  # checked before
        line = template.rfind(EMPTY_LINE, 0, start.start())
        cut = 0 if line < 0 else line + len(EMPTY_LINE)
        super().__init__(tokenizer, template[cut:], names)
        self.parts = [part if number % 2 else part.replace(LABELS, said) for number, part in enumerate(self.parts)]
        end = self.parts[-1]
        between = "" if end.endswith("\n") else " "
        self.words = [[] if each is None else self._after(end, f"{between}{each}") for each in words]
        self._next = [[] if each is None else self._after(each, EMPTY_LINE) for each in words]
        self.before = [*self._first_special(), *self._ids(template[:cut].replace(LABELS, said))]

    @property
    def longest_words(self) -> int:
        return max(map(len, self.words))

    def content_free(self) -> list[list[int]]:
        """Blocks whose texts say nothing."""
        return self.whole([FIELD_END.join([each] * len(self.names)) for each in CONTENT_FREE])

    def shots(
        self, texts: Sequence[str], labels: np.ndarray, rows: Sequence[int], room: int | None, keep: Kept, where: str
    ) -> Shots:
        """The examples of these rows, in at most `room` tokens with what stands before them: longer texts are cut.
        Raises SettingError where that leaves a text fewer than four tokens."""
        owned = self.owned([texts[row] for row in rows])
        ends = [[*self.words[labels[row]], *self._next[labels[row]]] for row in rows]
        sizes = [len(each.ids) for each in owned]
        kept, cut = sizes, 0
        if room is not None:
            kept = rooms(sizes, max(0, room - len(self.before) - sum(map(len, ends))))
            fixed = max(each.owners.count(NO_FIELD) for each in owned)
            if any(left < min(size, fixed + LEAST * len(self.names)) for left, size in zip(kept, sizes, strict=True)):
                raise SettingError(
                    f"{where}: {len(rows)} examples do not go into {room} tokens, half of the model's: set fewer shots."
                )
        tokens = list(self.before)
        for row, each, end, left in zip(rows, owned, ends, kept, strict=True):
            ids = each.ids
            if len(ids) > left:
                (ids,), cut = self.cut([texts[row]], left, keep), cut + 1
            tokens += [*ids, *end]
        return Shots(tokens, list(rows), cut, max(kept))

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
        return found

    def _after(self, text: str, more: str) -> list[int]:
        """The tokens of `more` behind `text`. Raises SettingError where the two share one."""
        first, both = self._ids(text), self._ids(f"{text}{more}")
        if both[: len(first)] != first or len(both) == len(first):
            raise SettingError(
                f"prompt: the model's tokenizer joins the end of '{text.strip()}' with '{more.strip()}' in one token: "
                "end the prompt, or the label's words, otherwise."
            )
        return both[len(first) :]

    def _first_special(self) -> list[int]:
        """What the tokenizer puts before every text."""
        found = self.tokenizer("a", return_special_tokens_mask=True, verbose=False)
        mask = found["special_tokens_mask"]
        return list(found["input_ids"][: next((place for place, added in enumerate(mask) if not added), 0)])


def drawn_rows(labels: np.ndarray, classes: Sequence[int], shots: int, seed: int) -> list[int]:
    """Rows of `shots` texts of each class, or as many as it has, by the seed: round by round a text of every class, in
    an order of its own. More shots add rounds behind the same ones. `labels` (n,) are the training texts'."""
    import numpy as np
    import torch

    from whichtune.seeding import SHOTS, generator

    draw = generator(seed, SHOTS)
    places = [np.flatnonzero(labels == each) for each in classes]
    texts = [rows[torch.randperm(len(rows), generator=draw).numpy()] for rows in places]
    found: list[int] = []
    for number in range(shots):
        order = torch.randperm(len(texts), generator=draw).tolist()
        found += [int(texts[place][number]) for place in order if number < len(texts[place])]
    return found
