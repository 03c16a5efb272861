"""What pydantic says of a value, as a sentence about the key that a user wrote."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from pydantic import ValidationError

from whichtune.errors import SettingError
from whichtune.wording import listing, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# Where a setting may be one of several kinds, pydantic's place ends with the kind's name.
_KINDS = ("int", "float", "str", "bool", "literal", "list", "dict", "constrained", "function", "nullable", "json")
MOST_BITS = 1000  # of a whole number that is shown
_KIND_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "dict": "a mapping of names to values",
    "model": "a mapping of names to values",
    "mapping": "a mapping of names to values",
}
_OTHERS = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such key",
    "finite_number": "must be a finite number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "it is too large",
    "none_required": "must be null",
    "recursion_loop": "it holds itself",
}


def explain_validation(error: ValidationError, where: str) -> SettingError:
    """Turn the first of pydantic's errors into one sentence; of a value that may be of several kinds, name them all."""
    return SettingError(f"{where}: {wrong_value(error)}.")


def wrong_value(error: ValidationError) -> str:
    """What is wrong with the first value that is, without a full stop: `'a.b' is wrong (given: 5): must be a text`."""
    errors = error.errors()
    key = _key(errors[0])
    same = takewhile(lambda each: _key(each) == key, errors)  # those of a key are together, and there may be millions
    wanted = list(dict.fromkeys(words_of(each) for each in same))
    told = given_words(errors[0].get("input"))
    return (f"'{shown(key)}' is wrong{told}: " if key else "") + _joined(wanted)


def given_words(value: object) -> str:
    """The value as a study file has it, where it is one word or number."""
    if value is None or isinstance(value, bool):
        return f" (given: {str(value).lower() if value is not None else 'null'})"
    if isinstance(value, int) and value.bit_length() > MOST_BITS:  # Python refuses to write it out
        return ""
    if not isinstance(value, (str, int, float)):
        return ""
    return f" (given: {shown(repr(value) if isinstance(value, str) else value)})"


def _joined(wanted: list[str]) -> str:
    """Several kinds in one phrase: `must be a whole number, 'longest' or 'model'`."""
    kinds = [words.removeprefix("must be ") for words in wanted if words.startswith("must be ")]
    choices = [choice for words in kinds for choice in words.replace("' or '", "', '").split(", ")]
    return wanted[0] if len(kinds) < 2 else f"must be {listing(choices, last='or')}"


def _key(error: ErrorDetails) -> str:
    parts = [str(part) for part in error["loc"]]
    while len(parts) > 1 and _is_kind(parts[-1]):
        parts.pop()
    return ".".join(parts)


def _is_kind(part: str) -> bool:
    return part == "[key]" or part.startswith(tuple(f"{kind}[" for kind in _KINDS)) or part in _KINDS


def words_of(error: ErrorDetails) -> str:
    """What one value must be, without its key."""
    kind, context = error["type"], error.get("ctx") or {}
    if error["loc"] and error["loc"][-1] == "[key]":
        return "a name must be a text"
    if kind in _OTHERS:
        return _OTHERS[kind]
    if kind == "literal_error":
        return f"must be {context.get('expected', 'another value')}"
    if kind.endswith(("_type", "_parsing")) and (words := _KIND_WORDS.get(kind.rpartition("_")[0])):
        return f"must be {words}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    for theirs, ours in (("be ", "must be "), ("have ", "must have "), ("match ", "must match ")):
        if message.startswith(theirs):
            message = ours + message.removeprefix(theirs)
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    return f"{message[:1].lower()}{message[1:]}".rstrip(".")
