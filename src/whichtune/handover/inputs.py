"""How the texts of an exported row become what its model is given: one text, a pair, or fields joined by a template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from whichtune.study.fields import fields_of

if TYPE_CHECKING:
    from whichtune.data.field_encoding import FieldEncoder
    from whichtune.handover.told import SelfTest


def numbered_template(fields: FieldEncoder | None) -> str | None:
    """A row's template with {0} for its first field, as `str.format` reads it; None where no template is used."""
    from whichtune.data.field_encoding import Templated

    if not isinstance(fields, Templated):
        return None
    return "".join(
        f"{{{fields.names.index(part)}}}" if place % 2 else part.replace("{", "{{").replace("}", "}}")
        for place, part in enumerate(fields.parts)
    )


def given_texts(told: SelfTest, texts: Sequence[str]) -> tuple[list[str], ...]:
    """What the folder's tokenizer is called with for texts: these, their fields joined, or both fields of each."""
    if not told.fields:
        return (list(texts),)
    if told.template is not None:
        return ([told.template.format(*fields_of(text)) for text in texts],)
    return tuple(list(column) for column in zip(*(fields_of(text) for text in texts), strict=True))


def batch_of(tokenizer: Any, told: SelfTest, texts: Sequence[str], tensors: str) -> dict[str, Any]:
    """The tensors (B, T) that the folder's model is given."""
    batch = tokenizer(
        *given_texts(told, texts), truncation=True, padding=tokenizer.pad_token is not None, return_tensors=tensors
    )
    return {name: batch[name] for name in told.inputs}
