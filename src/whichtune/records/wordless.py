"""Which columns of a table hold no texts, told by their types: so it holds for tables of tasks of others, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

NAMES = ("split", "example_id")  # words, but none of an example's


def wordless(schema: pyarrow.Schema) -> list[str]:
    """The columns that hold neither texts nor bytes, nor lists of them; the split and the example's id with them."""
    return [field.name for field in schema if field.name in NAMES or not _has_words(field.type)]


def without_words(frame: pd.DataFrame) -> pd.DataFrame:
    """A table as it is kept where no texts are."""
    from pyarrow import Table

    return frame[wordless(Table.from_pandas(frame, preserve_index=False).schema)]


def _has_words(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _has_words(kind.value_type)
    if kind.num_fields:
        return any(_has_words(kind.field(place).type) for place in range(kind.num_fields))
    return not (types.is_primitive(kind) or types.is_null(kind))
