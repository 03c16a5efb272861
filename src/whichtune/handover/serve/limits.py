"""What a server takes, and what it says of the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from whichtune.data.columns import what_is
from whichtune.study.fields import FIELD_END
from whichtune.wording import plural


class Limits(BaseModel):
    """What a request may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_characters: int = Field(100_000, description="of one text")
    texts: int = Field(256, description="of one request to /predict")
    body_bytes: int = Field(8 << 20, description="of one request to /predict")
    upload_bytes: int = Field(1 << 30, description="of one file sent to /batch")
    uploads: int = Field(2, description="files that are answered at a time")
    queued_texts: int = Field(2048, description="texts that may wait; more are refused with 503")


class RequestError(Exception):
    """A request that is not answered. `status` is HTTP's, `code` for programs, the text for people."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


def check_text(text: object, where: str, limits: Limits) -> str:
    """The text. Raises RequestError for what is none, is empty or too long; `where` begins its sentence."""
    if not isinstance(text, str):
        raise RequestError(422, "no_text", f"{where} is {what_is(text) or 'no text'}: give texts.")
    if not text.strip():
        raise RequestError(422, "empty_text", f"{where} is empty: leave it out.")
    check_length(text, where, limits)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            sentence = f"{where} has half a letter in it (a lone surrogate): remove it."
            raise RequestError(422, "no_text", sentence) from error
    return text


def check_length(text: str, where: str, limits: Limits) -> None:
    """Raise RequestError for a text that is too long."""
    if len(text) > limits.text_characters:
        raise RequestError(
            413, "text_too_long", f"{where} has {len(text):,} characters, more than {limits.text_characters:,}: cut it."
        )


def check_texts(given: object, limits: Limits, fields: Sequence[str] = ()) -> list[str]:
    """The texts of a request, each with the `fields` that there are. Raises RequestError for what is no list of texts,
    or one too long."""
    if not isinstance(given, list) or not given:
        raise RequestError(422, "no_texts", '"texts" must be a list of one text or more.')
    if len(given) > limits.texts:
        raise RequestError(
            413,
            "too_many_texts",
            f"{plural(len(given), 'text')} are more than {limits.texts:,} a request: send fewer, or a file to /batch.",
        )
    return [_check_fields(text, f"Text {number}", limits, fields) for number, text in enumerate(given, start=1)]


def _check_fields(text: object, where: str, limits: Limits, fields: Sequence[str]) -> str:
    if not fields:
        return check_text(text, where, limits)
    if not isinstance(text, dict) or set(text) != set(fields):
        wanted = json.dumps(dict.fromkeys(fields, "..."), ensure_ascii=False)
        raise RequestError(422, "no_text", f"{where} must be an object with these fields: {wanted}.")
    cells = [check_text(text[name], f"{where}, {name},", limits) for name in fields]
    if any(FIELD_END in cell for cell in cells):
        raise RequestError(422, "no_text", f"{where} holds the sign U+001F, which stands between fields: remove it.")
    return FIELD_END.join(cells)
