"""The first sentences of a document as its summary: what news and abstracts often put there.

A dateline of CNN's is left out, and so are lines too short for a sentence (bylines).
"""

from __future__ import annotations

import re
from typing import ClassVar

from whichtune.baselines.base import BaselineCard, Extract, register

# "By ." or "Daily Mail Reporter ." is no sentence: shorter ones are passed over.
LEAST_WORDS = 4
_WORD = re.compile(r"[^\W_]\S*")
# CNN's articles begin with a dateline: "(CNN)", "Catania, Italy (CNN)" or "LONDON, England (CNN) -- ".
_DATELINE = re.compile(r"^[^().!?\n]{0,60}\(CNN\)\s*(?:-{1,2}\s+)?")


class Lead(Extract):
    """The first `sentences` sentences, one a line."""

    sentences: ClassVar[int]

    def answer(self, text: str) -> str:
        from whichtune.metrics.sentences import split_sentences

        found = split_sentences(_DATELINE.sub("", text.lstrip()))
        whole = [sentence for sentence in found if len(_WORD.findall(sentence)) >= LEAST_WORDS] or found
        return "\n".join(whole[: self.sentences])


@register
class Lead1(Lead):
    name = "lead_1"
    sentences = 1
    card = BaselineCard(
        summary="The document's first sentence, of four words or more.",
        reference="Nenkova 2005 (leads as the baseline of news summarisation)",
    )


@register
class Lead3(Lead):
    name = "lead_3"
    sentences = 3
    card = BaselineCard(
        summary="The document's first three sentences of four words or more.",
        reference="Nallapati et al. 2017; See, Liu and Manning 2017 (lead-3 on CNN/DailyMail)",
    )
