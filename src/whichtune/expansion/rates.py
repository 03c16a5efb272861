"""The learning rate of a method, and the precision, where a study sets none.

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

# Edition 2, where it was another than the card's of today; the embedded model had fewer of its own.
SECOND = {
    "last_two_blocks": 2e-4,
    "last_blocks": 2e-4,
    "dora": 2e-4,
    "oft": 5e-4,
    "hra": 1e-3,
    "loha": 5e-4,
    "lokr": 1e-3,
    "fourierft": 1e-2,
    "c3a": 1e-2,
    "shira": 5e-4,
    "adalora": 5e-4,
    "ia3": 3e-3,
    "vera": 4e-3,
    "ln_tuning": 1e-3,
    "p_tuning": 1e-3,
    "bitfit": 1e-3,
    "norm_only": 1e-3,
    "gradual_unfreezing": 5e-5,
}
SECOND_EMBEDDED = ("last_block", "last_blocks", "last_two_blocks", "full", "lora")
# Edition 1: the embedded model had none of its own.
FIRST = {**SECOND, "head_only": 5e-4, "last_block": 2e-4}


def default_rate(study: Study, method: str, model: str) -> float | None:
    """The rate at which a study's rows of a method train where nothing is set; None for what learns by no steps."""
    card = METHODS[method].card
    if study.defaults == 1:
        return FIRST.get(method, card.learning_rate)
    if task_of(study).own_head:
        return card.learning_rate if card.learning_rate_of_texts is None else card.learning_rate_of_texts
    own = RATES if study.defaults >= 3 else {name: RATES[name] for name in SECOND_EMBEDDED}
    if model == EMBEDDED and method in own:
        return own[method]
    return card.learning_rate if study.defaults >= 3 else SECOND.get(method, card.learning_rate)


def default_precision(study: Study, device: str) -> str:
    """The precision of a study's runs where nothing is set: since edition 4 bf16 on a GPU that computes in it.

    For classes alone, whose runs say how many predictions differ from those of float32.
    """
    wanted = device == "cuda" and study.defaults >= 4 and study.task == "classification"
    return "bf16" if wanted and _has_bf16() else "float32"


def _has_bf16() -> bool:
    """Whether the GPU here computes in bf16 by itself; taken for granted where another machine has the GPU."""
    import torch

    return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)
