"""What the page says beside its figures: the record of how it was made, failed runs, published figures."""

from __future__ import annotations

from typing import Any

from whichtune.metrics import metric_title
from whichtune.records.record import Role
from whichtune.report import tables
from whichtune.report.view import View
from whichtune.study.published import Published

NOT_SHOWN = ("label", "role", "seed", "fingerprints", "learning_rate_source", "tuned")
STATUS_NAMES = {
    "failed": "failed",
    "out_of_memory": "out of memory",
    "interrupted": "interrupted",
    "completed": "completed",
}
LONGEST_REASON = 2_000
# Published figures by the name they have in a study: where the measured one stands, and its divisor.
PUBLISHED_FIGURES = {
    "test_accuracy": ("test accuracy %", "test_accuracy", 0.01),
    "validation_accuracy": ("validation accuracy %", "validation_accuracy", 0.01),
    "train_accuracy": ("train accuracy %", "train_accuracy", 0.01),
    "test_f1_macro": ("test macro F1 %", "test_f1_macro", 0.01),
    "test_loss": ("test loss", "test_loss", 1),
    "train_minutes": ("training minutes", "train_seconds", 60),
    "optimiser_steps": ("optimiser steps", "optimiser_steps", 1),
}
SHORT_NAMES = {
    "test": "test_accuracy",
    "validation": "validation_accuracy",
    "train": "train_accuracy",
    "minutes": "train_minutes",
    "f1_macro": "test_f1_macro",
    "steps": "optimiser_steps",
}


def failed_runs(view: View) -> list[dict[str, str]]:
    """Every run that did not complete, with its reason."""
    return [
        {
            "label": run["label"],
            "seed": tables.seed(run["seed"]),
            "status": STATUS_NAMES.get(run["status"], run["status"]),
            "reason": (run["error"] or "No reason was recorded.")[:LONGEST_REASON],
        }
        for run in view.failed
    ]


def flat(value: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings as one level, `data.split_seed`."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        name = key if key == "method_settings" or not before else f"{before}{key}"
        if isinstance(inner, dict):
            found |= flat(inner, "" if key == "method_settings" else f"{name}.")
        else:
            found[name] = inner
    return found


def said(value: Any) -> str:
    """A setting as a study file has it."""
    if value is None:
        return tables.NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(said(item) for item in value)
    return str(value)


def settings_tables(view: View) -> dict[str, Any]:
    """Settings that all trained rows share, and those in which they differ."""
    specs: dict[str, dict[str, Any]] = {}
    for label, runs in view.groups.items():
        if runs[0]["role"] != Role.BASELINE:
            specs[label] = {k: v for k, v in flat(runs[0]["spec"]).items() if k not in NOT_SHOWN}
    keys = list(dict.fromkeys(key for spec in specs.values() for key in spec))
    values = {key: [said(spec.get(key)) for spec in specs.values()] for key in keys}
    shared = {key: found[0] for key, found in values.items() if len(set(found)) == 1}
    differing = [key for key in keys if key not in shared]
    return {
        "shared": list(shared.items()),
        "header": ["run", *differing],
        "rows": [[label, *(said(spec.get(key)) for key in differing)] for label, spec in specs.items()],
    }


def machine_tables(view: View) -> list[dict[str, Any]]:
    """Where runs were made and with what; more than one where the study's runs were spread over machines."""
    found: dict[str, dict[str, Any]] = {}
    for run in (run for runs in view.groups.values() for run in runs):
        environment = run["environment"]
        if environment is None:
            continue
        packages = environment["packages"]
        rows = [
            ("whichtune", environment["whichtune"]),
            ("Python", environment["python"]),
            ("system", environment["platform"]),
            ("processor", f"{environment['processor']}, {environment['cores']} cores, {environment['threads']} used"),
            ("runs at a time", str(environment.get("jobs", 1))),
            ("memory", f"{environment['memory_bytes'] / 2**30:,.1f} GiB"),
            ("device", environment["device"]),
            *packages.items(),
        ]
        place = found.setdefault(repr(rows), {"rows": rows, "runs": 0})
        place["runs"] += 1
    return list(found.values())


def fingerprints(view: View) -> list[tuple[str, str]]:
    """What was hashed, each value once."""
    runs = [run for runs in view.groups.values() for run in runs]
    return sorted({(name, value) for run in runs for name, value in run["fingerprints"].items() if value})


def data_facts(view: View) -> list[tuple[str, str]]:
    """Where the examples come from and how many each split has."""
    data = view.study.get("data") or {}
    facts = [("source", said(data.get("source")))] if data.get("source") else []
    sizes: dict[str, int] = {}
    for run in view.done:
        for split in ("train", "validation", "test"):
            if (metrics := run["metrics"][split]) is not None:
                sizes[split] = max(sizes.get(split, 0), metrics["n"])  # a published script judges whole batches only
    if "train" not in sizes:  # written texts are not judged on train
        seen = [run["cost"]["examples_seen"] for run in view.done if run["role"] == "baseline"]
        sizes = ({"train": max(seen)} if any(seen) else {}) | sizes
    facts += [(f"{split} examples", f"{n:,}") for split, n in sizes.items()]
    tests = [run["metrics"]["test"] for run in view.done if run["metrics"]["test"]]
    if tests:
        facts.append(("test examples that stand verbatim in train", f"{tests[0]['duplicates_of_train']:,}"))
        facts.append(("test texts cut to the context length", f"{max(test['truncated'] for test in tests):,}"))
    if view.class_names:
        facts.append(("classes", f"{len(view.class_names):,}: {tables.few(view.class_names, 40)}"))
    return facts


def published_rows(view: View) -> list[dict[str, Any]]:
    """Rows of `study.published` as a mapping of figures under a `label`, however they were written down."""
    published = view.study.get("published")
    if not isinstance(published, dict):
        return []
    rows = published.get("rows")
    if isinstance(rows, list):
        return [row for row in rows if isinstance(row, dict) and "label" in row]
    if isinstance(rows, dict):  # as presets hold them: label to figures under short names
        return [
            {"label": label, **{SHORT_NAMES.get(str(key), str(key)): value for key, value in row.items()}}
            for label, row in rows.items()
            if isinstance(row, dict)
        ]
    return [{"label": label, **row} for label, row in published.items() if isinstance(row, dict)]


def published_table(view: View) -> dict[str, Any] | None:
    """Measured beside published, a line a figure; rows that were not run are named alone.

    None where the study has no published figures.
    """
    rows = {row["label"]: row for row in view.rows}
    lines, left_out = [], []
    for published in published_rows(view):
        label = str(published["label"])
        if label not in rows:
            left_out.append(label)
            continue
        for key, (name, measured_key, divisor) in PUBLISHED_FIGURES.items():
            value = published.get(key)
            if not isinstance(value, (int, float)):
                continue
            line = _published_line(view, rows[label], name, measured_key, divisor, float(value))
            lines.append([*line, _reproduced(published)])
    if not lines and not left_out:
        return None
    source = view.study["published"].get("source")
    return {
        "source": str(source) if isinstance(source, str) else "",
        "header": ["run", "figure", "published", "measured", "difference", "measured 95 % interval", "reproduction"],
        "rows": lines,
        "left_out": "; ".join(left_out),
    }


def _reproduced(published: dict[str, Any]) -> str:
    """Whether the row was run as it was published, and if not why."""
    if published.get("reproduced") is None:
        return tables.NOTHING
    return "yes" if published["reproduced"] else f"no: {published.get('why_not') or 'it differs'}"


def _published_line(view: View, row: dict[str, Any], name: str, key: str, divisor: float, value: float) -> list[str]:
    measured = None if row.get(key) is None else row[key] / divisor
    primary = key == f"test_{view.metric}"
    interval = view.intervals.get(row["label"]) if primary else None
    inside = ""
    if interval is not None:
        inside = " (published inside)" if interval[0] <= value <= interval[1] else " (published outside)"
    return [
        row["label"],
        name,
        f"{value:.2f}",
        tables.NOTHING if measured is None else f"{measured:.2f}",
        tables.NOTHING if measured is None else f"{measured - value:+.2f}".replace("-", "−"),
        tables.NOTHING if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}{inside}",
    ]


def _other_metric(view: View, pair: dict[str, Any]) -> str:
    metric = pair.get("metric") or view.metric
    return "" if metric == view.metric else f", {metric_title(metric)}"


def claims(view: View) -> list[list[str]]:
    """Declared pairs with a published claim, and whether the measured figures agree."""
    agreement: dict[Any, str] = {True: "agrees", False: "does not agree"}
    lines = []
    for pair in view.comparisons:
        if not pair.get("claim") and not pair.get("published"):
            continue
        figures = pair.get("published") or {}
        both = [figures.get("a"), figures.get("b")]
        published = (
            " against ".join(f"{x:.2f} %" for x in both) if all(isinstance(x, (int, float)) for x in both) else ""
        )
        difference = pair.get("difference")
        undecided = "not judged" if Published(figures).direction is None else "left open"
        lines.append(
            [
                f"{pair['a']} against {pair['b']}{_other_metric(view, pair)}",
                pair.get("claim") or tables.NOTHING,
                published or tables.NOTHING,
                tables.NOTHING
                if difference is None
                else f"{difference:+.2f} {pair.get('unit') or 'points'}".replace("-", "−"),
                str(pair.get("verdict", "")).replace("_", " "),
                agreement.get(pair.get("agrees_with_published"), undecided),
            ]
        )
    return lines
