"""A study as it is stored: every default filled in, with its runs, its classes and what a search has tried."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from whichtune.study.frozen import Frozen, Listed
from whichtune.study.plain import Plain
from whichtune.study.spaces import Space, Tuning
from whichtune.study.spec import Study


class ResolvedRun(Frozen):
    """A run of the study by its id."""

    run_id: str
    label: str
    seed: int | None


class SearchedDraw(Frozen):
    """One draw of a search: the settings that it tried, and the run that tried them."""

    number: int
    run_id: str
    settings: dict[str, Plain]


class SearchedRow(Frozen):
    """A row's search: its ranges as they are written in a study file, its draws, the number of the selected one."""

    spaces: dict[str, Space]
    draws: Listed[SearchedDraw]
    selected: int | None = None


class ResolvedTuning(Tuning):
    """The search with what it drew, by label."""

    lines: dict[str, SearchedRow] = {}


class ResolvedStudy(Study):
    """What study.json holds. Keys of later versions are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    tuning: ResolvedTuning | None = None
    defaults: Literal[1, 2, 3, 4] = Field(1, description="edition of the defaults; what names none had the first")
    first_seeds: list[int] | None = Field(
        None, description="the seeds that the study had when its figures were first seen; null: those of today"
    )
    labels: Listed[str] = Field([], description="class names in the order of the confusion matrices")
    runs_resolved: Listed[ResolvedRun] = Field([], description="every run by its id")
    notes: Listed[str] = Field([], description="what a reader must know of the data")
    command: str | None = Field(None, description="the command as it was typed")
