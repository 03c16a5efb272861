"""What a number may be where a setting is one: finite, no larger than anything could need, not true or false."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, get_args, get_origin

from pydantic import AfterValidator, BaseModel

from whichtune.errors import SettingError
from whichtune.study.explain import given_words

LARGEST = 2**32 - 1  # a seed of every library that draws, and more than anything is counted here
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
MOST_JOBS = 256
MOST_THREADS = 1024
MOST_RUNS_A_GPU = 64
MOST_SEEDS = 1000  # of a row that are added without being asked for one by one


def number_of(text: str) -> float | str:
    """The number that a text is; any other text as it is. YAML 1.1 takes 5e-4 for text, because it has no point."""
    return float(text) if NUMBER.fullmatch(text) else text


@dataclass(frozen=True)
class Jobs:
    """How many runs are made at a time: a number, or (None) as many as there are GPUs, `per_gpu` on each."""

    number: int | None
    per_gpu: int = 1


def jobs_of(value: int | str) -> Jobs:
    """What `--jobs` says: a number, `auto`, or `auto:2` for two runs a GPU. Raises SettingError for anything else."""
    try:
        return _parsed_jobs(value)
    except ValueError as error:
        raise SettingError(f"--jobs: {error}.") from error


def _parsed_jobs(value: int | str) -> Jobs:
    """The same; raises ValueError, in words."""
    text = str(value).strip().lower()
    name, sign, count = text.partition(":")
    digits = count if name == "auto" and sign else text
    if name == "auto" and not sign:
        return Jobs(None)
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("write a whole number, auto (a run a GPU), or auto:2 (two runs a GPU)")
    number, most = int(digits[:12]), MOST_RUNS_A_GPU if sign else MOST_JOBS
    if not 1 <= number <= most:
        side = f"less than or equal to {most}" if number > most else "greater than or equal to 1"
        raise ValueError(f"write a number {side}")
    return Jobs(None, number) if sign else Jobs(number)


def _readable_jobs(value: int | str) -> int | str:
    jobs = _parsed_jobs(value)
    return str(value).strip().lower() if jobs.number is None else jobs.number


# As a study holds it.
WrittenJobs = Annotated[int | str, AfterValidator(_readable_jobs)]


def check_number(annotation: object, value: object) -> object:
    """The value as it is. Raises ValueError, with words that follow `must`, where a setting of this kind wants a number
    and the value is none that can be meant."""
    kinds = _kinds(annotation)
    for each in value if isinstance(value, list) and list in kinds else [value]:
        _check(kinds, each)
    return value


def _check(kinds: set[object], value: object) -> None:
    if not kinds & {int, float}:
        return
    if isinstance(value, bool) and bool not in kinds:
        raise ValueError("must be a number, not true or false")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"must be at most {LARGEST}")


def check_numbers(model: type[BaseModel], values: Mapping[str, object], where: str) -> None:
    """The same of all values of a settings class, whoever wrote it. Raises SettingError that names the key."""
    for name, value in values.items():
        if (field := model.model_fields.get(name)) is None:
            continue
        try:
            check_number(field.annotation, value)
        except ValueError as error:
            raise SettingError(f"{where}: '{name}' is wrong{given_words(value)}: {error}.") from error


def _kinds(annotation: object) -> set[object]:
    """The types that an annotation is made of: of `list[int] | None` list, int and None."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is None:
        return {annotation}
    if origin is Annotated:
        return _kinds(parts[0])
    inner = [_kinds(part) for part in parts]
    return {origin}.union(*inner) if origin in (list, dict) else set().union(*inner)
