"""What reports of written texts have of their own: perplexity, lengths, and the texts themselves. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence

from whichtune.records.record import AnyMetrics
from whichtune.records.store import StudyFolder
from whichtune.report import words
from whichtune.report.columns import Column
from whichtune.report.drawing.kinds import Figure
from whichtune.report.samples import samples_section
from whichtune.report.sections import PAGES, TaskPage, duplicates_note
from whichtune.report.templates import Section
from whichtune.report.view import View


def test_notes(view: View, test: AnyMetrics) -> list[str]:
    """How large the test split is, and what the figures are."""
    return [
        f"The test split has {test.n} examples.",
        "ROUGE is the F-measure against the reference, with stemming. The loss is that of a target's token, in "
        "nats, and perplexity its exponential; extracted sentences have none.",
        *duplicates_note(test),
    ]


def sections(view: View, folder: StudyFolder, drawn: Sequence[Figure]) -> list[Section]:
    found = samples_section(view, folder)
    return [] if found is None else [found]


def _tokens(value: float | None) -> str:
    return words.number(value, 1)


PAGE = TaskPage(
    beside_loss=(Column("test perplexity", "perplexity", words.grouped, "test"),),
    uses=(Column("tokens written", "written_tokens", _tokens, "test"),),
    test_notes=test_notes,
    sections=sections,
)
for name in ("text_to_text", "summarisation"):
    PAGES.register(name)(PAGE)
