"""Whether a row is worth its costs."""

from __future__ import annotations

from whichtune.evidence.checks.base import Finding, Material, not_applicable, passed, register, warned
from whichtune.evidence.sentences import ABOUT_EQUAL, ratio
from whichtune.metrics import METRICS
from whichtune.stats.answers import Row
from whichtune.stats.costs import COSTS
from whichtune.stats.results import in_text
from whichtune.wording import listing, number, plural

ANSWERING = "inference_ms"
NAMED = 6  # rows: of more the rest is counted


@register("worse_than_baseline", "Slower and worse than a baseline")
def worse_than_baseline(material: Material) -> Finding:
    """Is a row behind one without a language model by the margin or more on test, slower to make and to ask?"""
    able = [row for row in material.tuned_rows if row.can(material.metric)]
    baselines = [row for row in material.baselines if row.can(material.metric)]
    if not able or not baselines or material.test is None:
        return not_applicable("No row can be compared with one without a language model.")
    found: dict[str, list[tuple[str, str]]] = {}
    baselines.sort(key=lambda row: _test_figure(material, row), reverse=True)  # the best one is told
    for row in able:
        for baseline in baselines:
            behind = _worse_and_slower(material, row, baseline)
            if behind is not None:
                found.setdefault(baseline.label, []).append((row.label, behind))
                break
    if not found:
        return passed(f"None of {plural(len(able), 'row')} is both slower and worse than a baseline.")
    sentences = [
        f"{in_text(baseline)} needs no language model and is better and faster than "
        f"{listing([f'{in_text(label)} ({behind})' for label, behind in rows], most=NAMED)}."
        for baseline, rows in found.items()
    ]
    return warned(" ".join(sentences), [label for rows in found.values() for label, _ in rows])


def _worse_and_slower(material: Material, row: Row, baseline: Row) -> str | None:
    """`24.1 points behind, 9.0 times the training time, 13 times the inference time`; None where it is not both."""
    metric, cost = METRICS[material.metric], material.study.selection_cost
    behind = _test_figure(material, baseline) - _test_figure(material, row)
    if metric.unit != "points" or behind < material.study.margin:
        return None
    ratios = [(_ratio(row, baseline, key), COSTS.get(key, key)) for key in (cost, ANSWERING)]
    if any(found is None or found <= 1 + ABOUT_EQUAL for found, _ in ratios):
        return None
    costs = ", ".join(f"{ratio(found)} the {words}" for found, words in ratios if found is not None)
    return f"{number(behind)} points behind, {costs}"


def _test_figure(material: Material, row: Row) -> float:
    """Mean over seeds in points, the sign turned where less is better."""
    assert material.test is not None
    metric = METRICS[material.metric]
    mean = 100 * float(row.scores(metric.name, material.test, row.seeds).per_seed.mean())
    return mean if metric.higher_is_better else -mean


def _ratio(row: Row, baseline: Row, cost: str) -> float | None:
    mine, its = row.costs.get(cost), baseline.costs.get(cost)
    return None if mine is None or its is None or its == 0 else mine / its
