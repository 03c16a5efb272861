"""summary.json as a typed value: what a study was, its runs, and what they show. Everything drawn is drawn from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from whichtune.evidence.checked import Check
from whichtune.records.record import RunRecord
from whichtune.stats.growth import LearningFigures
from whichtune.stats.results import Comparison, Evidence, MethodFigures, Question, RunFigures, Verdict
from whichtune.stats.tuning import TuningFigures
from whichtune.study.frozen import Listed
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.roles import SCHEMA_VERSION


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Intervals(_Stored):
    """Figures with intervals: of each run, and of each row over its seeds."""

    runs: Listed[RunFigures] = []
    methods: Listed[MethodFigures] = []


class Summary(_Stored):
    """The content of summary.json, which is a contract: within one `schema_version` fields are added, and none is
    renamed or removed."""

    schema_version: int = SCHEMA_VERSION
    study: ResolvedStudy
    runs: Listed[RunRecord]
    comparisons: Listed[Comparison] = []
    questions: Listed[Question] = Field(
        [], description="declared pairs, else those that rows ask by how they differ; empty in earlier versions"
    )
    verdict: Verdict | None = None
    intervals: Intervals = Intervals()
    tuning: TuningFigures | None = None
    learning: LearningFigures | None = Field(None, description="learning curves; null: no sizes were varied")
    checks: Listed[Check] = Field(
        [], description="what is asked of every study; empty where an earlier version wrote it"
    )
    examples_checksum: str | None = Field(None, description="sha256 of examples.parquet")
    checksum: str | None = Field(
        None, description="sha256 of the summary without this, as JSON with sorted keys and without spaces"
    )

    def to_json(self) -> dict[str, Any]:
        """Plain values as they are written; a study without a search has no key for one."""
        plain = self.model_dump(mode="json", exclude=set() if self.tuning is not None else {"tuning"})
        return {**plain, "checksum": checksum_of(plain)}


def checksum_of(summary: Mapping[str, object]) -> str:
    """What `checksum` must be for a summary's plain values."""
    plain = {key: value for key, value in summary.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def build_summary(
    study: ResolvedStudy, records: Iterable[RunRecord], evidence: Evidence, checks: Iterable[Check] = ()
) -> Summary:
    """The study, its runs, and what they show."""
    return Summary(
        study=study,
        runs=list(records),
        comparisons=evidence.comparisons,
        questions=evidence.questions,
        verdict=evidence.verdict,
        intervals=Intervals(runs=evidence.runs, methods=evidence.per_method),
        tuning=evidence.tuning,
        learning=evidence.learning,
        checks=list(checks),
    )
