"""Whether the study can decide what it asks: noise from seed to seed, the margin, the ranges that were searched."""

from __future__ import annotations

from statistics import median

from whichtune.evidence.checks.base import Finding, Material, not_applicable, passed, register, warned
from whichtune.evidence.sentences import points
from whichtune.evidence.tuning_sentences import CENTRE, edge_warning
from whichtune.evidence.warnings import margin_warning
from whichtune.metrics import METRICS
from whichtune.stats.results import in_text
from whichtune.wording import number, plural

LEAST_SEEDS = 3
FLOOR = 0.5  # points: seed noise below is as good as none
WIDELY = 4.0  # times the median of the other rows


@register("unequal_seed_noise", "Seed noise unequal")
def unequal_seed_noise(material: Material) -> Finding:
    """Does one row's figure vary from seed to seed four times as much as the others' (half a point counts as least)?"""
    if METRICS[material.metric].unit != "points":
        return not_applicable("The primary metric is not counted in points.")
    noise = {
        figures.label: 100 * figures.seed_sd
        for figures in material.evidence.per_method
        if figures.seed_sd is not None and len(figures.seeds) >= LEAST_SEEDS
    }
    if len(noise) < 2:
        return not_applicable(f"Fewer than two rows have {LEAST_SEEDS} seeds.")
    wide = {}
    for label, sd in noise.items():
        others = median(each for other, each in noise.items() if other != label)
        if sd >= WIDELY * max(FLOOR, others):
            wide[label] = others
    if not wide:
        least, most = min(noise.values()), max(noise.values())
        return passed(f"Standard deviations over seeds lie between {number(least, 2)} and {number(most, 2)} points.")
    label = max(wide, key=lambda each: noise[each])
    return warned(
        f"{in_text(label)} varies from seed to seed by {number(noise[label], 2)} points (standard deviation), the "
        f"other rows by {number(wide[label], 2)} at the median: where seed noise differs so widely, the error rates of "
        "tests hold less well.",
        list(wide),
    )


@register("margin_out_of_reach", "Margin out of reach")
def margin_out_of_reach(material: Material) -> Finding:
    """Could no pair be shown to be equivalent within the margin with these seeds and test texts?"""
    tested = [c for c in material.evidence.comparisons if c.interval_90 is not None and c.unit == "points"]
    if material.test is None or not tested:
        return not_applicable("No pair was tested by a metric that is counted in points.")
    found = margin_warning(material.evidence.comparisons, material.test.n, material.study.margin)
    if found is None:
        return passed(f"Equivalence within {points(material.study.margin)} can be shown with these seeds and texts.")
    return warned(found)


@register("edge_of_range", "At the edge of the searched range")
def edge_of_range(material: Material) -> Finding:
    """Does a learning rate that a search selected lie in the outer tenth of its range?"""
    tuning = material.evidence.tuning
    lines = [line for line in tuning.lines if line.selected is not None and CENTRE in line.spaces] if tuning else []
    if not lines:
        return not_applicable("No learning rate was searched.")
    found = {line.label: sentence for line in lines if (sentence := edge_warning(line)) is not None}
    if not found:
        return passed(f"The learning rates selected for {plural(len(lines), 'row')} lie inside their ranges.")
    return warned(" ".join(found.values()), list(found))
