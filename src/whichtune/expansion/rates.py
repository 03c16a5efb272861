"""The learning rate of a method where a study sets none.

A rate that serves most models and data is on the method's card. Two things change it: a head that was pretrained, as
where texts are written, and the embedded model, which is so small that it wants larger ones. Defaults come in editions,
so that one can be mended without making anyone's finished runs again: a study's folder keeps the edition that it was
begun with.
"""

from __future__ import annotations

from whichtune.embedded import RATES
from whichtune.methods import METHODS
from whichtune.study.spec import EMBEDDED, Study
from whichtune.tasks import task_of

# Edition 1, where it was another than the card's of today. The embedded model had none of its own.
FIRST = {"head_only": 5e-4, "last_block": 2e-4}


def default_rate(study: Study, method: str, model: str) -> float | None:
    """The rate at which a study's rows of a method train where nothing is set; None for what learns by no steps."""
    card = METHODS[method].card
    if study.defaults == 1:
        return FIRST.get(method, card.learning_rate)
    if task_of(study).own_head:
        return card.learning_rate if card.learning_rate_of_texts is None else card.learning_rate_of_texts
    return RATES.get(method, card.learning_rate) if model == EMBEDDED else card.learning_rate
