"""Conversations: rows with a list of messages, of which the last is the answer and the others are what comes before it.

The messages before an answer are one text here, as all texts are: each with MESSAGE before its role and its content
after a colon. Where they become tokens (`data.pair_encoding`) they are taken apart again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from whichtune.data.columns import is_missing, what_is
from whichtune.data.given import row_of
from whichtune.data.json_rows import CONVERSATIONS
from whichtune.data.shown import shown
from whichtune.data.sources import SOURCE_NAMES, TARGET_NAMES, Usual
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings
from whichtune.study.fields import FIELD_END

if TYPE_CHECKING:
    import pandas as pd

MESSAGE = FIELD_END
COLUMNS = CONVERSATIONS
ANSWER = "the last message"  # the column that gets the answers
SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
ROLES = {SYSTEM: SYSTEM, USER: USER, ASSISTANT: ASSISTANT, "human": USER, "gpt": ASSISTANT}
Message = dict[str, str]
Where = Callable[[int], str]


@dataclass(frozen=True)
class ChatColumns(Usual):
    """Texts with target texts, or conversations in one column."""

    def text_columns(self, settings: DataSettings, columns: list[str], place: str) -> tuple[str, ...]:
        if ANSWER in columns:
            return (next(name for name in _named(settings) if name in columns),)
        return super().text_columns(settings, columns, place)

    def chosen_answer(self, settings: DataSettings, columns: list[str], place: str) -> str:
        return ANSWER if ANSWER in columns else super().chosen_answer(settings, columns, place)

    def gathered(
        self, tables: dict[str, pd.DataFrame], settings: DataSettings, places: dict[str, str]
    ) -> dict[str, pd.DataFrame]:
        """The tables with conversations taken apart: what comes before the answer in their own column, the answer in
        one beside it. Where the usual columns of text and target stand there too, these are read."""
        first = next(iter(tables.values()))
        column = self._column(settings, [str(name) for name in first.columns])
        if column is None:
            return tables
        found = {}
        for table, frame in tables.items():
            if column not in frame.columns:
                found[table] = frame  # told with the other columns that are missing
                continue
            place = partial(row_of, frame, places.get(table, table))
            apart = [
                _apart(messages_of(cell, column, place(row)), place(row)) for row, cell in enumerate(frame[column])
            ]
            found[table] = frame.assign(**{column: [text for text, _ in apart], ANSWER: [said for _, said in apart]})
        return found

    def _column(self, settings: DataSettings, columns: list[str]) -> str | None:
        """The column of the conversations; None where texts and targets stand in columns of their own."""
        if settings.target_column is not None:
            return None
        usual = any(name in columns for name in SOURCE_NAMES) and any(name in columns for name in TARGET_NAMES)
        if settings.text_column is None and usual:
            return None
        return next((name for name in _named(settings) if name in columns), None)


def _named(settings: DataSettings) -> tuple[str, ...]:
    if settings.text_column is None:
        return COLUMNS
    return (settings.text_column,) if settings.text_column in COLUMNS else ()


CHATS = ChatColumns((*SOURCE_NAMES, *COLUMNS), TARGET_NAMES, "target")


def messages_of(cell: object, column: str, where: str) -> list[Message]:
    """The messages of a cell, each a role and a content. Raises DataError for what is no conversation."""
    if is_missing(cell) or isinstance(cell, (str, Mapping)) or not isinstance(cell, Iterable):
        kind = "nothing" if is_missing(cell) else what_is(cell) or "a text"
        raise DataError(f"{where} has {kind} for a conversation (column '{shown(column)}'): give a list of messages.")
    found = [_message(message, f"Message {place} of {where}") for place, message in enumerate(cell, start=1)]
    if not found:
        raise DataError(f"{where} has no message (column '{shown(column)}'): fill or remove it.")
    _refuse_order(found, where)
    return found


def _message(message: object, where: str) -> Message:
    if not isinstance(message, Mapping):
        raise DataError(f"{where} is no object: give each a role and a content.")
    role, content = message.get("role", message.get("from")), message.get("content", message.get("value"))
    if role not in ROLES:
        raise DataError(f"{where} has the role '{shown(role)}': there are {SYSTEM}, {USER} and {ASSISTANT}.")
    if isinstance(content, Sequence) and not isinstance(content, str):  # parts, as of texts and pictures
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        content = "".join(map(str, parts)) if None not in parts else None
    if not isinstance(content, str) or not content.strip():
        raise DataError(f"{where} has no text for its content: give one, or leave the conversation out.")
    if MESSAGE in content:
        raise DataError(f"{where} holds the sign U+001F, which stands between messages: remove it.")
    return {"role": ROLES[role], "content": content}


def _refuse_order(messages: Sequence[Message], where: str) -> None:
    """Raise DataError unless user and assistant take turns, the user first, after a system message at most."""
    turns = messages[1:] if messages[0]["role"] == SYSTEM else messages
    for place, message in enumerate(turns):
        expected = (USER, ASSISTANT)[place % 2]
        if message["role"] != expected:
            number = place + 1 + len(messages) - len(turns)
            raise DataError(
                f"Message {number} of {where} is of the {message['role']}, and the {expected}'s turn was due: after a "
                "system message, if there is one, user and assistant take turns, the user first."
            )


def _apart(messages: Sequence[Message], where: str) -> tuple[str, str]:
    """What comes before the answer, as one text, and the answer."""
    if messages[-1]["role"] != ASSISTANT:
        raise DataError(f"{where} does not end with a message of the assistant, which is the answer: add or remove it.")
    return as_text(messages[:-1]), messages[-1]["content"]


def as_text(messages: Iterable[Message]) -> str:
    """Messages as one text."""
    return "".join(f"{MESSAGE}{each['role']}: {each['content']}" for each in messages)


def as_messages(text: str) -> list[Message]:
    """The messages of a text; a text without any is what the user says."""
    if not text.startswith(MESSAGE):
        return [{"role": USER, "content": text}]
    parts = [part.partition(": ") for part in text.split(MESSAGE)[1:]]
    return [{"role": role, "content": content} for role, _, content in parts]


def is_chat_column(names: Sequence[str], usual: Sequence[str]) -> bool:
    """Whether the one column of texts holds conversations, for a task that reads such."""
    return len(names) == 1 and names[0] in COLUMNS and names[0] in usual


def prompts_of(cells: Iterable[object], column: str, place_of: Where) -> list[str]:
    """New conversations as texts to be answered: all their messages, but an answer that is there already."""
    found = []
    for row, cell in enumerate(cells):
        messages = messages_of(cell, column, place_of(row))
        found.append(as_text(messages[:-1] if messages[-1]["role"] == ASSISTANT else messages))
    return found


def plain_prompt(messages: Iterable[Message]) -> str:
    """A conversation where the model has no template of its own: a line for each message, after its role."""
    lines = [f"{each['role'].capitalize()}: {each['content']}" for each in messages]
    return "\n".join([*lines, f"{ASSISTANT.capitalize()}:"])
