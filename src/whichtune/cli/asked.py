"""What was typed, checked before anything is read: sizes, the study's folder, and what the parser itself refuses."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, TypeGuard

from whichtune.errors import SettingError, StoreError
from whichtune.wording import path_problem, shown, shown_path

if TYPE_CHECKING:
    from whichtune.study.spec import Study

LARGEST_SIZE = 1 << 60  # bytes, more than any disk
LONGEST_NAME = 255  # bytes of a file's name
UNITS = " kmgt"


class ParserError(Protocol):
    """What the parser raises for words that it cannot take."""

    exit_code: int

    def format_message(self) -> str: ...

    def show(self, file: IO[str] | None = None) -> None: ...


def is_parser_error(error: Exception) -> TypeGuard[ParserError]:
    return hasattr(error, "show") and hasattr(error, "format_message")


def parser_sentence(error: ParserError, words: list[str]) -> str | None:
    """One sentence for words that the parser cannot take; None where it shows its help instead."""
    text = error.format_message()
    if "\n" in text:
        return None
    for theirs, ours in _THEIRS:
        text = re.sub(theirs, ours, text)
    command = next((word for word in words if re.fullmatch("[a-z]+", word)), "")
    known = command if "command" not in text.lower() else ""
    place = " ".join(["whichtune", *filter(None, [known]), "--help"])
    return f"Error: {shown(text.rstrip('.'), 300)}: see {place}."


_THEIRS = (
    (r"^Invalid value for '?([^']+)'?: ", r"\1: "),
    (r"Input should be a valid integer.*", "write a whole number"),
    (r"Input should be a valid number.*", "write a number"),
    (r"Input should be (greater|less) than or equal to (\d+)", r"write a number \1 than or equal to \2"),
    (r"Value error, embedded null byte", "it holds a character that no path can have"),
    (r"Input should be ", "it must be "),
    (r" \(Possible options: ([^)]*)\)", r" (there is \1)"),
)


def parse_bytes(option: str, text: str | None) -> int | None:
    """`20GB`, `500 MB` or a number of bytes; raises SettingError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(rf"\s*(\d{{1,30}}(?:\.\d{{1,30}})?)\s*([{UNITS.strip()}]?)b?\s*", text.lower(), re.ASCII)
    if found is None:
        raise SettingError(f"{option} {shown(text)} is no size: write a number with kB, MB, GB or TB.")
    size = int(float(found[1]) * 1000 ** UNITS.index(found[2] or " "))
    if size > LARGEST_SIZE:
        raise SettingError(f"{option} {shown(text)} is more than any disk holds: write fewer kB, MB, GB or TB.")
    return size


def check_folder(study: Study, out: Path | None) -> Path:
    """The folder that a study will lie in. Raises StoreError, before anything is read, where it cannot be one."""
    from whichtune.expansion.places import place_of

    remedy = "choose another with --out" if out is not None else "name one with --out"
    folder = out if out is not None else place_of(study)
    place = shown_path(folder)
    try:
        folder = folder.expanduser()
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in folder.parts):
            raise StoreError(f"The folder '{place}' cannot be made (its name is too long): {remedy}.")
        there = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each))
        is_folder = there.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"The folder '{place}' cannot be made ({path_problem(error)}): {remedy}.") from error
    if not is_folder:
        raise StoreError(f"'{shown_path(there)}' is no folder: {remedy}.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise StoreError(f"The folder '{place}' cannot be written (no permission): {remedy}.")
    return folder
