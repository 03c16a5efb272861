"""Whether a model reads texts as a head needs it: a state of the told width for every token, whatever stands beside.

Asked of the model itself, by a few tokens, once it is loaded: what a family does not say of itself is a sentence
before the first step, and no traceback in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from whichtune.errors import ModelError
from whichtune.models.sizes import feature_width
from whichtune.models.temporary import evaluating
from whichtune.models.weights import first_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS = (3, 4, 5, 6)
# Largest difference that is rounding, of the largest number of a state.
ROUNDING = 1e-4


def refuse_unreadable(backbone: PreTrainedModel, name: str, pad_id: int | None) -> None:
    """Raise ModelError for a model that cannot be run on token ids alone, that gives other states than its tokens' own,
    or, with a `pad_id`, whose answer to a text depends on masked padding beside it."""
    kind = backbone.config.model_type
    ids = torch.tensor([TOKENS[:2]], device=next(backbone.parameters()).device)
    with torch.random.fork_rng(devices=[]), evaluating(backbone), torch.no_grad():
        alone = _states(backbone, name, ids, torch.ones_like(ids))
        refuse_shape(alone, backbone, 2)
        if pad_id is None:
            return
        padded = torch.tensor([[*TOKENS[:2], pad_id, pad_id], TOKENS], device=ids.device)
        mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]], device=ids.device)
        beside = _states(backbone, name, padded, mask)[:1, :2]
    if differ(beside, alone):
        raise ModelError(
            f"'{name}' ({kind}) answers a text otherwise when padding stands behind it, though it is masked, or texts "
            "beside it: use padding=right, one width for all, or none, which computes each text alone."
        )


def differ(found: Tensor, told: Tensor) -> bool:
    """Whether states differ by more than rounding from what they should be; where that is no number, a run says so."""
    if not bool(told.isfinite().all()):
        return False
    return not float((found - told).abs().max()) <= ROUNDING * max(1.0, float(told.abs().max()))


def refuse_shape(states: Tensor, backbone: PreTrainedModel, tokens: int) -> None:
    """Raise ModelError where states (B, T, D) are not one for each of so many tokens, as wide as a head expects."""
    kind, width = backbone.config.model_type, feature_width(backbone.config)
    if states.ndim != 3 or states.shape[1] != tokens:
        raise ModelError(f"{type(backbone).__name__} ({kind}) does not give one state for each token: choose another.")
    if states.shape[2] != width:
        raise ModelError(
            f"The states of {type(backbone).__name__} ({kind}) have {states.shape[2]} numbers where its configuration "
            f"says {width}: choose another model."
        )


def _states(backbone: PreTrainedModel, name: str, ids: Tensor, mask: Tensor) -> Tensor:
    """Last hidden states (B, T, D)."""
    try:
        found = getattr(backbone(input_ids=ids, attention_mask=mask), "last_hidden_state", None)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of a family's own code
        raise ModelError(
            f"'{name}' ({backbone.config.model_type}) cannot be run on token ids alone "
            f"({type(error).__name__}: {first_line(error)}): choose another model."
        ) from error
    if not isinstance(found, Tensor):
        kind = backbone.config.model_type
        raise ModelError(f"{type(backbone).__name__} ({kind}) gives no hidden states of its tokens: choose another.")
    return found
