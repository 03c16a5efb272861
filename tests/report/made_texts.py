"""A made-up study whose runs write texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from report.made_studies import ENVIRONMENT
from whichtune.evidence.judge import judge
from whichtune.evidence.summary import build_summary
from whichtune.metrics import metrics_of
from whichtune.records.record import Cost, MetricsBySplit, RunRecord, RunStatus, TextMetrics
from whichtune.records.store import StudyFolder
from whichtune.study.resolved import ResolvedStudy

WORDS = ("the", "small", "cat", "sat", "on", "a", "warm", "mat", "while", "rain", "fell", "over", "grey", "roofs")


def made_texts(folder: Path, primary_metric: str = "rougeL", n: int = 24) -> StudyFolder:
    """Two rows of three seeds: `lora` writes more of each reference than `full`."""
    place = StudyFolder(folder, create=True)
    random = np.random.default_rng(3)
    references = [" ".join(random.choice(WORDS, 8)) for _ in range(n)]
    ids = [f"t{i}" for i in range(n)]
    place.write_examples(pd.DataFrame({"split": "test", "example_id": ids, "text": references, "target": references}))
    records = []
    for label, kept in (("lora", 6), ("full", 3)):
        for seed in (0, 1, 2):
            written = [" ".join([*text.split()[: kept + int(random.integers(0, 2))], "zebra"]) for text in references]
            records.append(_run(place, f"{len(records):016x}", label, seed, ids, written, references))
    study = ResolvedStudy.model_validate(
        {"name": "texts", "task": "text_to_text", "primary_metric": primary_metric, "baselines": [], "pairs": []}
    )
    place.write_json("study.json", study.model_dump(mode="json"))
    evidence = judge(study, records, place.predictions)
    place.write_json("summary.json", build_summary(study, records, evidence).to_json())
    return place


def _run(
    place: StudyFolder,
    run_id: str,
    label: str,
    seed: int,
    ids: list[str],
    written: Sequence[str],
    references: Sequence[str],
) -> RunRecord:
    scores = {m.name: m.of_texts(written, references) for m in metrics_of("texts") if m.of_texts is not None}
    means = {name: float(values.mean()) for name, values in scores.items()}
    figures = TextMetrics(
        loss=2.0, perplexity=math.exp(2.0), tokens=99, written_tokens=7.0, ended=1.0, n=len(ids), **means
    )
    record = RunRecord(
        run_id=run_id,
        label=label,
        status=RunStatus.COMPLETED,
        seed=seed,
        method=label,
        spec={"method": label},
        metrics=MetricsBySplit(validation=figures, test=figures),
        cost=Cost(trainable_parameters=1000, train_seconds=5.0 if label == "lora" else 9.0, inference_ms=7.0),
        environment=ENVIRONMENT,
    )
    frame = pd.DataFrame(
        {
            "split": "test",
            "example_id": ids,
            "prediction": written,
            "reference": references,
            "loss": 2.0,
            "tokens": 4,
            **scores,
        }
    )
    place.write_run(record, [], frame)
    return record
