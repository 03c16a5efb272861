"""Sentences about a search for settings: what was tried, what it bought, and what to be careful about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from whichtune.metrics import METRICS, metric_title
from whichtune.stats.results import in_text
from whichtune.stats.tuning import Crossing, LineFigures, TuningFigures
from whichtune.study.spaces import Choice
from whichtune.wording import listing, number, plural

CENTRE = "learning_rate"
ENDED_ALONE = (
    "The expected best counts the draws that were trained to their end alone. They were chosen on the way, so that it "
    "does not tell what as many new draws would reach; each of them pays its share of those that were dropped."
)


def score_text(metric: str, value: float) -> str:
    """`93.25 %`, or `0.412` for a loss."""
    known = METRICS[metric]
    text = number(known.scale * value, known.digits)
    return f"{text} %" if known.unit == "points" else text


def setting_text(value: JsonValue) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_text(settings: Mapping[str, JsonValue]) -> str:
    """`learning rate 0.0012, weight decay 0.01`."""
    return ", ".join(f"{name.replace('_', ' ')} {setting_text(value)}" for name, value in settings.items())


def amount_text(axis: str, amount: float) -> str:
    """`5 draws`, `1.2e+12 operations`, `90 seconds of training`."""
    if axis == "draws":
        return plural(int(amount), "draw")
    if axis == "flops":
        return f"{amount:.2g} operations"
    return f"{amount:,.0f} seconds of training" if amount >= 10 else f"{amount:.2g} seconds of training"


def tuning_sentences(figures: TuningFigures) -> list[str]:
    """What the search was, then what it bought each line."""
    bought = [_bought(line, figures.metric) for line in figures.lines if line.curve]
    only = [ENDED_ALONE] if any(line.rungs and line.curve for line in figures.lines) else []
    return [_what_was_done(figures), *bought, *only]


def _what_was_done(figures: TuningFigures) -> str:
    searched = [line for line in figures.lines if line.spaces]
    draws = sum(len(line.draws) for line in searched)
    text = f"Before the study, settings of {plural(len(searched), 'line')} were searched with "
    if halved := [line for line in searched if line.rungs]:
        text = text.removesuffix("with ") + _how_halved(figures, halved, len(searched))
    elif figures.unit == "draws":
        each = f"{plural(int(figures.amount or 0), 'draw')} each" if len(searched) > 1 else plural(draws, "draw")
        text += each
    else:
        budget = amount_text(figures.unit, figures.amount or 0.0)
        text += f"{plural(draws, 'draw')}, each line's taken in order until {budget} were spent"
    text += (
        f", trained with seed {figures.run_seed} and judged by validation {metric_title(figures.metric)}; no draw "
        "saw the test split."
    )
    rest = [in_text(line.label) for line in figures.lines if not line.spaces]
    return f"{text} Nothing was searched for {listing(rest)}." if rest else text


def _how_halved(figures: TuningFigures, halved: Sequence[LineFigures], searched: int) -> str:
    begun, ended = sum(len(line.draws) for line in halved), sum(len(line.ended) for line in halved)
    cost = amount_text(figures.unit, figures.amount or 0.0)
    whole = "" if len(halved) == searched else ", where a line has steps and draws enough,"
    return (
        f"by successive halving{whole} at the cost of {cost}{' each' if searched > 1 else ''}: {plural(begun, 'draw')} "
        f"were begun, the worse ones dropped after a quarter and after a half of their steps, and {ended:,} went on to "
        "their end"
    )


def _bought(line: LineFigures, metric: str) -> str:
    first, last = line.curve[0], line.curve[-1]
    if line.rungs:
        return (
            f"{in_text(line.label)}: of {plural(len(line.draws), 'draw')} {len(line.ended)} were trained to their end, "
            f"the best of them to a validation {metric_title(metric)} of {score_text(metric, last.best)}; selected is "
            f"draw {line.selected}: {settings_text(line.settings)}."
        )
    text = f"{in_text(line.label)}: the expected best validation {metric_title(metric)} is "
    text += f"{score_text(metric, first.best)} with 1 draw"
    if len(line.curve) > 1:
        text += f" and {score_text(metric, last.best)} with {last.draws}"
        if last.low is not None and last.high is not None:
            text += f" (95 % interval {score_text(metric, last.low)} to {score_text(metric, last.high)})"
    return f"{text}; selected is draw {line.selected}: {settings_text(line.settings)}."


def crossing_sentence(crossing: Crossing, metric: str) -> str:
    """`full up to 3 draws, lora beyond`."""
    few, many = in_text(crossing.few), in_text(crossing.many)
    share = f"{100 * crossing.share:.0f} % of resamples" if crossing.share < 1 else "every resample"
    return (
        f"Which is better depends on how much is searched: {few} up to {amount_text(crossing.axis, crossing.at)}, "
        f"{many} beyond (expected best validation {metric_title(metric)}, in {share} of the draws)."
    )


def tuning_warnings(figures: TuningFigures) -> list[str]:
    """What a reader must know of the search before the verdict."""
    found = []
    for line in figures.lines:
        if line.failed and line.error is None:
            reason = next((draw.error for draw in line.draws if draw.error), None)
            why = f" ({reason.rstrip('.')})" if reason else ""
            found.append(f"{line.failed} of {plural(len(line.draws), 'draw')} for {in_text(line.label)} failed{why}.")
        edge = edge_warning(line)
        if edge is not None:
            found.append(edge)
        if figures.unit != "draws" and line.in_full >= figures.limit and not _spent(figures, line):
            found.append(
                f"The search for {in_text(line.label)} ended at its limit of {plural(line.in_full, 'draw')} before "
                "its budget was spent."
            )
    return found


def edge_warning(line: LineFigures) -> str | None:
    """That a selected learning rate lies at an end of its range; None where it does not."""
    space = line.spaces.get(CENTRE)
    if line.selected is None or CENTRE not in line.at_edge or space is None or isinstance(space, Choice):
        return None
    return (
        f"The learning rate selected for {in_text(line.label)} ({setting_text(line.settings[CENTRE])}) lies at "
        f"the {line.at_edge[CENTRE]} end of its range ({space.low:g} to {space.high:g}): a wider range "
        "may hold a better one."
    )


def _spent(figures: TuningFigures, line: LineFigures) -> bool:
    """Whether the line's budget is used up. Operations were predicted, so a tenth less is as good as all."""
    used = line.spent_flops if figures.unit == "flops" else line.spent_seconds
    return used is None or figures.amount is None or used >= 0.9 * figures.amount


def tuning_limits(figures: TuningFigures) -> list[str]:
    """What a searched study does not show."""
    able = [line for line in figures.lines if line.selected is not None]
    if not able:
        return []
    most = max(len(line.draws) for line in able)
    return [
        f"Settings are the best of at most {plural(most, 'draw')} on validation: more draws, other ranges or another "
        "validation split may select others."
    ]
