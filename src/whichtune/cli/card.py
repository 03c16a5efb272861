"""The decision of a study on a card: which row to use, what it costs, what stands beside it, how sure that is."""

from __future__ import annotations

from whichtune.cli import brief
from whichtune.evidence.decision_sentences import amount, is_far_ahead, limit_of
from whichtune.metrics import METRICS, metric_title
from whichtune.report.view import View
from whichtune.stats.results import CandidateFigures, Verdict
from whichtune.study.roles import Role
from whichtune.wording import number

Entry = tuple[str, str]  # what it is about, and the sentence
SURE, NEXT, WORDS = "sure", "surer", "words"  # questions that a verdict answers in sentences


def card_of(view: View) -> list[Entry]:
    """The card's lines from what is stored. Of a study without a recommendation there is its headline alone."""
    verdict = view.verdict
    if verdict is None:
        return [("Verdict", "None is stored with this study.")]
    rows = {row.label: row for row in verdict.candidates}
    chosen = rows.get(verdict.recommended or "")
    if chosen is None or not verdict.answers:  # nothing to recommend, or as an earlier version told it
        return [("Verdict", verdict.headline), *(("Why", line) for line in verdict.reasons)]
    said: dict[str, str] = {answer.question: answer.sentence for answer in verdict.answers}
    entries = [
        ("Use", f"{chosen.label}{_why(verdict, chosen)}: {_score(view, verdict, chosen)}."),
        ("Costs", f"{_costs(view, chosen.label)}."),
        ("Fine-tuned", _fine_tuned(view, verdict, rows, chosen)),
        ("Cheapest", _cheapest(verdict, chosen)),
        ("No model", _without_model(view, verdict, chosen, said.get(WORDS, ""))),
        ("How sure", said.get(SURE, "")),
        ("Next", " ".join(filter(None, [said.get(NEXT), verdict.stopped]))),
    ]
    return [(name, text) for name, text in entries if text]


def _why(verdict: Verdict, chosen: CandidateFigures) -> str:
    if not verdict.margin_reached:
        return ", the best bet so far"
    if is_far_ahead(verdict.metric, chosen):
        return ", far ahead of every other row"
    return ", the best row" if chosen.label == verdict.leader else ", the cheapest row that is good enough"


def _score(view: View, verdict: Verdict, row: CandidateFigures) -> str:
    """`test accuracy 97.3 % (95 % interval 94.6 to 98.8)`."""
    value = "–" if row.test is None else number(row.test, brief.digits_of(verdict.metric))
    interval = interval_of(view, verdict.metric, row.label)
    beside = "" if interval is None else f" (95 % interval {interval})"
    return f"test {metric_title(verdict.metric)} {value}{brief.unit_of(verdict.metric)}{beside}"


def interval_of(view: View, metric: str, label: str) -> str | None:
    """`94.6 to 98.8`; None where the statistics give none."""
    for figures in view.method_figures:
        if figures.label == label and figures.metric == metric and figures.interval is not None:
            low, high = (brief.figure(metric, end) for end in figures.interval)
            return f"{low} to {high}"
    return None


def _costs(view: View, label: str) -> str:
    """What a row costs alone, as far as it was measured."""
    row = next((row for row in view.rows if row.label == label), None)
    if row is None:
        return "not known"
    found = [
        (row.cost("training_seconds"), brief.duration, "to train"),
        (row.cost("peak_memory_bytes"), brief.memory, "of memory"),
        (row.cost("trainable_parameters"), brief.count, "trained parameters"),
        (row.cost("inference_ms"), brief.milliseconds, "a text"),
    ]
    return ", ".join(f"{show(value)} {what}" for value, show, what in found if value is not None) or "not known"


def _fine_tuned(view: View, verdict: Verdict, rows: dict[str, CandidateFigures], chosen: CandidateFigures) -> str:
    best = rows.get(verdict.best_fine_tuned or "")
    if best is None:
        return "No row with a language model completed."
    if best.label == chosen.label:
        return f"{best.label}: the best fine-tuned row is the one to use."
    return f"{best.label} is the best: {_score(view, verdict, best)}; {_costs(view, best.label)}."


def _cheapest(verdict: Verdict, chosen: CandidateFigures) -> str:
    if not verdict.margin_reached:
        return f"None is good enough yet: each may cost more than {amount(verdict.metric, limit_of(verdict))}."
    return f"{chosen.label} is the cheapest that is good enough."


def _without_model(view: View, verdict: Verdict, chosen: CandidateFigures, said: str) -> str:
    """The best row without a language model with its score, and whether fine-tuning beats it."""
    free = {row.label for row in view.rows if row.role is Role.BASELINE}
    able = [row for row in verdict.candidates if row.label in free and row.expected_regret is not None]
    best = min(able, key=lambda row: (row.expected_regret or 0.0, row.label), default=None)
    if best is None or best.label == chosen.label:
        return said
    return f"{best.label}: {_score(view, verdict, best)}. {said}".strip()


def main_metric(view: View) -> str:
    """The metric that the study is judged by, or that of its table where it names none that is known."""
    named = view.verdict.metric if view.verdict is not None else view.study.primary_metric
    return named if named in METRICS else view.metric
