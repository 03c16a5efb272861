"""What a table shows, computed from records alone."""

from __future__ import annotations

from statistics import mean, median
from typing import TYPE_CHECKING, Any

from whichtune.records.record import Role, RunStatus

if TYPE_CHECKING:
    pass


ROUGE_NAMES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"}
METRIC_NAMES = {"accuracy": "accuracy", "f1_macro": "macro F1", "loss": "loss", **ROUGE_NAMES}
# Figures of a split that a table may show; a task has some of them.
FIGURES = ("accuracy", "f1_macro", "loss", "accuracy_without_duplicates", "perplexity", *ROUGE_NAMES, "written_tokens")


def writes_texts(summary: dict[str, Any]) -> bool:
    """Whether the study's runs write texts; else they name classes."""
    return summary["study"].get("task", "classification") != "classification"


def group_by_label(runs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Runs under their label, in the order of the study; draws of a search are no rows of a table."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        if run["role"] != Role.DRAW:
            groups.setdefault(run["label"], []).append(run)
    return groups


def table_rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a label: means of the scores over seeds, medians of the costs, and what did not complete.

    Accuracies and F1 are shares of 1. A figure that no completed run has is None.
    """
    return [_row(label, runs) for label, runs in group_by_label(summary["runs"]).items()]


def _row(label: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    done = [run for run in runs if run["status"] == RunStatus.COMPLETED]
    failed = [run for run in runs if run["status"] != RunStatus.COMPLETED]
    row: dict[str, Any] = {
        "label": label,
        "method": runs[0]["method"],
        "role": runs[0]["role"],
        "seeds": [run["seed"] for run in done],
        "runs": len(runs),
        "completed": len(done),
        "errors": sorted({run["error"] for run in failed if run["error"]}),
        "statuses": sorted({run["status"] for run in failed}),
    }
    for split in ("train", "validation", "test"):
        for figure in FIGURES:
            values = [run["metrics"][split].get(figure) for run in done if run["metrics"][split] is not None]
            values = [value for value in values if value is not None]
            row[f"{split}_{figure}"] = mean(values) if values else None
            row[f"{split}_{figure}_range"] = (min(values), max(values)) if values else None
    costs = {key for run in done for key in run["cost"]}
    for key in costs:
        values = [run["cost"][key] for run in done if run["cost"][key] is not None]
        row[key] = median(values) if values else None
    return row
