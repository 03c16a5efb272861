"""Tagged words as they are sent: the words, their tags, and the entities that these mark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from whichtune.data.iob import entities_of, spans_of
from whichtune.data.tag_cells import filled
from whichtune.handover.serve.limits import RequestError
from whichtune.handover.tagged import WORD

if TYPE_CHECKING:
    import pandas as pd

    from whichtune.handover.serve.schema import Prediction, SentEntity


class Tags(NamedTuple):
    """What a row says of a text's words: the tag of each, and how sure it is; NaN where it is beyond the context."""

    names: tuple[str, ...]
    probabilities: tuple[float, ...]


def tags_in(table: pd.DataFrame) -> list[Tags]:
    """Of the table of `Task.predict`."""
    pairs = zip(table["prediction"], table["probability"], strict=True)
    return [Tags(tuple(names.split()), tuple(map(float, sure.split()))) for names, sure in pairs]


def tags_as_sent(text: str, tags: Tags) -> Prediction:
    """With entities by where they stand in the text as it was given, end excluded; an entity is as sure as the least
    sure of its words."""
    words = list(WORD.finditer(text))
    entities: list[SentEntity] = []
    for first, last, kind in spans_of(tags.names):
        start, end = words[first].start(), words[last - 1].end()
        entities.append(
            {
                "type": kind,
                "text": text[start:end],
                "start": start,
                "end": end,
                "probability": min(tags.probabilities[first:last]),
            }
        )
    return {
        "words": [word.group() for word in words],
        "tags": list(tags.names),
        "probabilities": [None if math.isnan(share) else share for share in tags.probabilities],
        "entities": entities,
    }


def tag_columns(texts: Sequence[str], tags: Sequence[Tags], by: str) -> dict[str, list[str]]:
    """The columns of `predict` after the text."""
    entities = [entities_of(text.split(), one.names) for text, one in zip(texts, tags, strict=True)]
    return {
        f"prediction{by}": [" ".join(one.names) for one in tags],
        f"entities{by}": ["; ".join(f"{words} ({kind})" for words, kind in found) for found in entities],
        f"probability{by}": [" ".join(f"{share:.4f}" for share in one.probabilities) for one in tags],
    }


def joined_words(given: object, where: str) -> object:
    """A list of words as a text; whatever else it is, as it is. Raises RequestError for a list of something else."""
    if not isinstance(given, list):
        return given
    if not all(isinstance(word, str) and word.strip() for word in given):
        raise RequestError(422, "no_text", f"{where} is a list with something else than words: give texts, or words.")
    return " ".join(filled(word) for word in given)
