"""Small studies on disk for the tests of the evidence: real records and real prediction files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whichtune.evidence.judge import judge
from whichtune.records.record import Cost, Metrics, MetricsBySplit, RunRecord, RunStatus
from whichtune.stats.results import Comparison, Evidence
from whichtune.study.resolved import ResolvedStudy
from whichtune.study.roles import Role

SETTINGS: dict[str, Any] = {
    "model": "embedded",
    "token_position": "last",
    "padding": "right",
    "context_length": 120,
    "epochs": 5,
    "batch_size": 8,
    "accumulation_steps": 1,
    "learning_rate": 5e-5,
    "learning_rate_source": "card",
    "optimiser": "adamw",
    "precision": "float32",
    "method_settings": {},
}
N = 300


@dataclass
class StudyOnDisk:
    """Collects runs; `judge` arguments are `resolved`, `records` and `read`."""

    folder: Path
    labels: np.ndarray
    study: dict[str, Any] = field(default_factory=dict)
    records: list[RunRecord] = field(default_factory=list)
    duplicates: np.ndarray | None = None

    @property
    def resolved(self) -> ResolvedStudy:
        return ResolvedStudy.model_validate(self.study)

    @property
    def read(self) -> Callable[[str], pd.DataFrame]:
        return lambda run_id: pd.read_parquet(self.folder / "runs" / run_id / "predictions.parquet")

    def add(
        self,
        label: str,
        right: Sequence[np.ndarray],
        *,
        seeds: Sequence[int | None] | None = None,
        method: str = "last_blocks",
        role: Role = Role.RUN,
        validation: float = 0.95,
        cost: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """One run for each array of booleans (answered rightly)."""
        for position, answers in enumerate(right):
            seed = position if seeds is None else seeds[position]
            run_id = f"{len(self.records):016x}"
            classes = int(self.labels.max()) + 1
            predictions = np.where(answers, self.labels, (self.labels + 1) % classes)
            accuracy = float(np.mean(answers))
            folder = self.folder / "runs" / run_id
            folder.mkdir(parents=True)
            order = np.random.default_rng(len(self.records)).permutation(len(predictions))
            duplicates = np.zeros(len(order), dtype=bool) if self.duplicates is None else self.duplicates
            pd.DataFrame(
                {
                    "split": "test",
                    "example_id": [f"t{i}" for i in order],
                    "label": self.labels[order],
                    "prediction": predictions[order],
                    "loss": np.where(answers, 0.1, 2.0)[order],
                    "duplicate_of_train": duplicates[order],
                }
            ).to_parquet(folder / "predictions.parquet")
            self.records.append(
                RunRecord(
                    run_id=run_id,
                    label=label,
                    role=role,
                    status=RunStatus.COMPLETED,
                    seed=seed,
                    method=method,
                    spec={**SETTINGS, "method": method, **(settings or {})},
                    metrics=MetricsBySplit(
                        validation=Metrics(accuracy=validation, f1_macro=validation, loss=0.2, n=149),
                        test=Metrics(accuracy=accuracy, f1_macro=accuracy, loss=0.2, n=len(answers)),
                    ),
                    cost=Cost(**{"train_seconds": 10.0, "optimiser_steps": 655, **(cost or {})}),
                )
            )

    def add_failed(self, label: str, status: RunStatus, error: str, seeds: Sequence[int] = (0,)) -> None:
        for seed in seeds:
            self.records.append(
                RunRecord(
                    run_id=f"{len(self.records):016x}",
                    label=label,
                    status=status,
                    seed=seed,
                    method="full",
                    spec={**SETTINGS, "method": "full"},
                    error=error,
                )
            )


def study_on_disk(folder: Path, n: int = 300, seed: int = 0, **study: Any) -> StudyOnDisk:
    labels = np.random.default_rng(seed).integers(0, 2, n)
    base = {"name": "trial", "labels": ["ham", "spam"], "primary_metric": "accuracy", "margin": 1.0}
    return StudyOnDisk(folder, labels, {**base, **study})


def answers(n: int, wrong: Sequence[int]) -> np.ndarray:
    """Right everywhere but at these positions."""
    right = np.ones(n, dtype=bool)
    right[list(wrong)] = False
    return right


def seeds_of(rng: np.random.Generator, wrong: float, n_seeds: int = 3, n: int = N) -> list[np.ndarray]:
    """Answers of a method that is wrong on a fixed share of examples, with a few of its own each seed."""
    hard = rng.permutation(n)[: int(wrong * n)]
    return [answers(n, [*hard, *rng.integers(0, n, 2)]) for _ in range(n_seeds)]


def evidence(study: StudyOnDisk) -> Evidence:
    return judge(study.resolved, study.records, study.read)


def only(study: StudyOnDisk) -> Comparison:
    (comparison,) = evidence(study).comparisons
    return comparison
