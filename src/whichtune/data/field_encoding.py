"""Texts of several fields as tokens: as the model's family pairs texts, or by a template.

Too long a text loses tokens of its longest field first, as `longest_first` of transformers does, from the end that
`long_texts_keep` does not keep. Shapes: a text is a list of token ids.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whichtune.data.truncation import Kept
from whichtune.errors import ModelError, SettingError
from whichtune.study.fields import fields_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from whichtune.study.spec import RunSpec

NO_FIELD = -1  # what a special token, or a token of the template, belongs to


@dataclass(frozen=True)
class Owned:
    """A text's tokens, and the field that each belongs to."""

    ids: list[int]
    owners: list[int]


class FieldEncoder(ABC):
    """Texts of several fields as tokens.

    `rows` is how many token ids the model has a vector for, where it tells segments apart: a token of the second and of
    later fields is then its id plus `rows` (`models.segments`).
    """

    rows: int | None = None

    @abstractmethod
    def owned(self, texts: Sequence[str]) -> list[Owned]:
        """The tokens of whole texts."""

    def whole(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of whole texts."""
        return [text.ids for text in self.owned(texts)]

    def cut(self, texts: Sequence[str], limit: int, keep: Kept) -> list[list[int]]:
        """The ids of texts that have more than `limit`, cut to it. Raises SettingError where it leaves no room."""
        return [_cut(text, limit, keep) for text in self.owned(texts)]


def _cut(text: Owned, limit: int, keep: Kept) -> list[int]:
    fields = max(text.owners) + 1
    sizes = [text.owners.count(field) for field in range(fields)]
    fixed = len(text.ids) - sum(sizes)
    if limit - fixed < fields:
        raise SettingError(
            f"context_length: {limit} tokens leave no room for {fields} texts beside the {fixed} tokens between and "
            "around them: set more."
        )
    room = rooms(sizes, limit - fixed)
    kept: set[int] = set()
    for field in range(fields):
        places = [place for place, owner in enumerate(text.owners) if owner == field]
        ends = {"head": room[field], "tail": 0, "both": room[field] - room[field] // 2}[keep]
        kept.update(places[:ends], places[len(places) - (room[field] - ends) :])
    return [token for place, token in enumerate(text.ids) if text.owners[place] == NO_FIELD or place in kept]


def rooms(sizes: Sequence[int], total: int) -> list[int]:
    """How many tokens of each field stay where `total` may: the longest lose first, until they are as long as the next.

    What cannot be shared out evenly goes to the longest, of equal ones to the last, as transformers' `longest_first`
    has it.
    """
    found = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda field: (sizes[field], field))
    left = total
    for done, field in enumerate(order):
        found[field] = min(sizes[field], left // (len(sizes) - done))
        left -= found[field]
    return found


class Paired(FieldEncoder):
    """As the family pairs texts: its special tokens around and between, and its segments where the model has them."""

    def __init__(self, tokenizer: Tokenizer, frame: Frame, rows: int | None) -> None:
        self.tokenizer, self.frame = tokenizer, frame
        self.rows = rows if frame.segments else None

    def owned(self, texts: Sequence[str]) -> list[Owned]:
        split = [fields_of(text) for text in texts]
        flat = [field for fields in split for field in fields]
        ids = iter(self.tokenizer(flat, add_special_tokens=False, verbose=False)["input_ids"]) if flat else iter([])
        return [self._framed([next(ids) for _ in fields]) for fields in split]

    def _framed(self, fields: list[list[int]]) -> Owned:
        frame = self.frame
        ids, owners = [*frame.before, *fields[0]], [NO_FIELD] * len(frame.before) + [0] * len(fields[0])
        for number, field in enumerate(fields[1:], start=1):
            between = frame.between if number == 1 else self._second(frame.between)
            ids += [*between, *self._second(field)]
            owners += [NO_FIELD] * len(frame.between) + [number] * len(field)
        return Owned([*ids, *self._second(frame.after)], owners + [NO_FIELD] * len(frame.after))

    def _second(self, tokens: Sequence[int]) -> list[int]:
        if self.rows is None:
            return list(tokens)
        beyond = max(tokens, default=0)
        if beyond >= self.rows:
            raise ModelError(
                f"The tokenizer makes the token {beyond}, and the model's embeddings have {self.rows:,} rows: give "
                "them one for each of its tokens (resize_token_embeddings) and save the model."
            )
        return [token + self.rows for token in tokens]


@dataclass(frozen=True)
class Frame:
    """What a tokenizer puts around and between a pair of texts. `segments`: it tells the second from the first."""

    before: list[int]
    between: list[int]
    after: list[int]
    segments: bool

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Frame:
        """Found by pairing two short texts. All is empty where the tokenizer puts nothing."""
        first, second = tokenizer(["a", "b"], add_special_tokens=False, verbose=False)["input_ids"]
        found = tokenizer("a", "b", return_special_tokens_mask=True, return_token_type_ids=True, verbose=False)
        ids, special = list(found["input_ids"]), list(found["special_tokens_mask"])
        before = next((place for place, added in enumerate(special) if not added), 0)
        end = before + len(first)
        after = next((place for place, added in enumerate(reversed(special)) if not added), 0)
        last = len(ids) - after
        between = ids[end : last - len(second)]
        plain = [*ids[:before], *first, *between, *second, *ids[last:]]
        if ids != plain:
            raise ModelError("The tokenizer changes a text when it is paired with another: set fields_template.")
        types = found.get("token_type_ids") or [0] * len(ids)
        segments = "token_type_ids" in tokenizer.model_input_names and max(types) > 0
        return cls(ids[:before], between, ids[last:], segments)


class Templated(FieldEncoder):
    """By a template: `{name}` stands for the field of that name. `special`: with the tokenizer's special tokens."""

    special = True

    def __init__(self, tokenizer: Tokenizer, template: str, names: Sequence[str]) -> None:
        if not tokenizer.is_fast:
            raise ModelError(
                "The model's tokenizer cannot tell where its tokens stand, which several text columns need: choose "
                "another model, or join the columns in the data."
            )
        self.tokenizer, self.names = tokenizer, list(names)
        self.parts = places_of(names).split(template)  # words and names in turn

    def owned(self, texts: Sequence[str]) -> list[Owned]:
        if not texts:
            return []
        filled = [self._filled(text) for text in texts]
        found = self.tokenizer(
            [text for text, _ in filled],
            add_special_tokens=self.special,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,
        )
        return [
            Owned(list(ids), [NO_FIELD if added else _owner(span, places) for span, added in zip(at, own, strict=True)])
            for ids, at, own, (_, places) in zip(
                found["input_ids"], found["offset_mapping"], found["special_tokens_mask"], filled, strict=True
            )
        ]

    def _filled(self, text: str) -> tuple[str, list[tuple[int, int, int]]]:
        """The whole text, and where each field stands in it: from, to before, number."""
        cells, whole = fields_of(text), ""
        places = []
        for number, part in enumerate(self.parts):
            if number % 2:
                field = self.names.index(part)
                places.append((len(whole), len(whole) + len(cells[field]), field))
                whole += cells[field]
            else:
                whole += part
        return whole, places


def _owner(span: tuple[int, int], places: Sequence[tuple[int, int, int]]) -> int:
    """The field in which a token ends: one that begins with a blank of the template belongs to the field's word."""
    last = max(span[0], span[1] - 1)
    return next((field for start, end, field in places if start <= last < end), NO_FIELD)


def places_of(names: Sequence[str]) -> re.Pattern[str]:
    """`{name}` for each of the names."""
    return re.compile(r"\{(" + "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) + r")\}")


def default_template(names: Sequence[str]) -> str:
    """Each field behind its column's name, a line each."""
    return "\n".join(f"{name}: {{{name}}}" for name in names)


def check_fields(spec: RunSpec, where: str) -> None:
    """Raise SettingError for a template of one column, and for one without each of the columns once."""
    names, template = spec.data.text_columns, spec.fields_template
    if template is None:
        return
    if len(names) < 2:
        raise SettingError(f"{where}: fields_template joins several text columns, and there is one: leave it out.")
    given = places_of(names).findall(template)
    for name in names:
        if given.count(name) != 1:
            raise SettingError(
                f"{where}: fields_template must have {{{name}}} once, as it must each of the text columns: "
                f"{', '.join(names)}."
            )
