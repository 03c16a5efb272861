"""What is kept of tables and records where no text of an example may be.

Which columns hold texts is told by their types, and which messages could quote one by whose they are: so it holds for
tasks, methods and libraries of others, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import JsonValue

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

NAMES = ("split", "example_id")  # words, but none of an example's
GIVEN = ("spec", "study")  # what the user has written; runs have their ids by it
# How the error of a library stands in a sentence of ours. Whatever follows may be its own words.
MESSAGE = re.compile(r"\b([A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit|Iteration)): .*", re.DOTALL)
LEFT_OUT = "whose message could quote a text and is left out"


def wordless(schema: pyarrow.Schema) -> list[str]:
    """The columns that hold neither texts nor bytes, nor lists of them; the split and the example's id with them."""
    return [field.name for field in schema if field.name in NAMES or not _has_words(field.type)]


def without_words(frame: pd.DataFrame) -> pd.DataFrame:
    """A table as it is kept where no texts are."""
    from pyarrow import Table

    return frame[wordless(Table.from_pandas(frame, preserve_index=False).schema)]


def without_messages(value: JsonValue) -> JsonValue:
    """A record or a summary, as plain values, without the messages of libraries. Applied again it changes nothing."""
    if isinstance(value, dict):
        return {name: part if name in GIVEN else without_messages(part) for name, part in value.items()}
    if isinstance(value, list):
        return [without_messages(part) for part in value]
    return _without_message(value) if isinstance(value, str) else value


def _without_message(sentence: str) -> str:
    found = MESSAGE.search(sentence)
    if found is None:
        return sentence
    before = sentence[: found.start()]
    return f"{before}{found.group(1)}, {LEFT_OUT}{')' * (before.count('(') - before.count(')'))}."


def _has_words(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _has_words(kind.value_type)
    if kind.num_fields:
        return any(_has_words(kind.field(place).type) for place in range(kind.num_fields))
    return not (types.is_primitive(kind) or types.is_null(kind))
