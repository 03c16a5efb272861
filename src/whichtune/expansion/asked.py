"""Lists that a command names in a word: seeds, numbers of training texts, models."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from pydantic import JsonValue

from whichtune.errors import SettingError
from whichtune.study.numbers import MOST_SEEDS
from whichtune.wording import shown

Values = dict[str, JsonValue]  # a study as its file has it

WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
RANGE = re.compile(r"(\d{1,18})\s*-\s*(\d{1,18})", re.ASCII)


def with_axes_of(value: Values, model: str | None, train_sizes: str | None) -> Values:
    """`--model`, of which there may be several, and `--train-sizes`. Pairs that a file or the demo declares are of rows
    on one model and all texts, so they go."""
    value = dict(value)
    if model is not None:
        named = [name.strip() for name in model.split(",")] if not Path(model).exists() else [model]
        if not all(named):
            raise SettingError(f"--model {shown(model)}: name models, separated by commas.")
        value["model"] = named[0]
        value["models"] = [*named] if len(named) > 1 else []
    if train_sizes is not None:
        value["train_sizes"] = [*parse_sizes(train_sizes)]
    if value.get("models") or value.get("train_sizes"):
        value.pop("pairs", None)
    return value


def parse_sizes(text: str) -> list[int | str]:
    """`50,100,all` as numbers and `all`."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part == "all" or WHOLE.fullmatch(part) for part in parts):
        raise SettingError(f"--train-sizes {shown(text)}: write numbers of texts, or all, such as 50,100,200,all.")
    return [part if part == "all" else int(part) for part in parts]


def parse_seeds(text: str) -> list[int]:
    """`0,1,2` or `0-4,7` as numbers."""
    return whole_numbers("--seeds", text, "0,1,2 or 0-4")


def whole_numbers(option: str, text: str, example: str) -> list[int]:
    """Whole numbers between commas, and ranges of them such as `0-4`. Raises SettingError for anything else, and for a
    number that stands twice."""
    numbers: list[int] = []
    for part in (part.strip() for part in text.split(",")):
        ends = RANGE.fullmatch(part)
        if ends is None and not WHOLE.fullmatch(part):
            raise SettingError(f"{option} {shown(text)}: write whole numbers separated by commas, such as {example}.")
        first, last = (int(part), int(part)) if ends is None else (int(ends[1]), int(ends[2]))
        if last < first:
            raise SettingError(f"{option} {shown(part)}: a range begins with its smaller number: write {last}-{first}.")
        if last - first >= MOST_SEEDS:
            raise SettingError(f"{option} {shown(part)}: a range has at most {MOST_SEEDS:,} numbers.")
        numbers += range(first, last + 1)
    twice = next((each for each, times in Counter(numbers).items() if times > 1), None)
    if twice is not None:
        raise SettingError(f"{option} names {twice} twice: remove one.")
    return numbers
