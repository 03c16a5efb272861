"""What of a text run is computed once: the lower blocks' states, or the states that the head reads.

In a causal model a token's state depends on the tokens before it alone, so what frozen blocks make of a text is the
same at every step. Above the boundary all tokens' states are needed, since target tokens attend to the whole text;
where nothing but the head trains, those of the tokens that predict one with a loss are. Before its first use a plan is
compared with the plain way on a few ragged texts, losses and gradients; where they differ, the plain way is taken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from whichtune.data.pair_encoding import EncodedPairs
from whichtune.measure.cost import Timers
from whichtune.models.causality import is_causal
from whichtune.models.language import LanguageModel
from whichtune.models.partition import Partition
from whichtune.shortcuts.boundary import Decision, find_boundary
from whichtune.shortcuts.frozen_blocks import Filled
from whichtune.shortcuts.prepared import CacheSettings, Prepared
from whichtune.shortcuts.self_check import LOGIT_TOLERANCE, gradients_of, ragged_rows
from whichtune.shortcuts.texts import Texts
from whichtune.shortcuts.token_plan import (
    AboveBoundary,
    Outcome,
    TokenPlan,
    Ways,
    frozen_blocks_of,
    how_differs,
    make_token_plan,
    prepare_tokens,
    why_no_plan,
)
from whichtune.study.spec import RunSpec
from whichtune.tasks.text.forward import PlainTextForward, TextForward, operations_of, summed_loss
from whichtune.tasks.text.model import meta_language_model
from whichtune.training.forward import autocast

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def make_text_plan(spec: RunSpec, model: LanguageModel) -> TokenPlan:
    """The plan of a run whose method is attached to `model`; with the model's own causality, which its weights tell."""
    why = _why_off(spec, model)
    if why is None and not is_causal(model.backbone):
        why = "tokens see those after them"
    read = Decision("logits", "of tokens with a loss", "a chunk of them at a time")
    return make_token_plan(spec, model, why, read, causal=True)


def frozen_text_blocks(spec: RunSpec, model: LanguageModel) -> tuple[Partition, int] | None:
    """As `frozen_blocks_of`, taking the model to be causal."""
    return frozen_blocks_of(model, _why_off(spec, model))


def _why_off(spec: RunSpec, model: LanguageModel) -> str | None:
    trains = any(p.requires_grad for p in model.parameters())
    return why_no_plan(spec, model) or (None if trains else "nothing trains")


class PlannedTextForward:
    """Follows a plan; `filled` holds what the cache has of each split. Without it nothing is taken from a cache."""

    def __init__(
        self,
        model: LanguageModel,
        encoded: EncodedPairs,
        device: torch.device,
        precision: str,
        plan: TokenPlan,
        filled: Mapping[str, Filled],
    ) -> None:
        self.model, self.encoded, self.device, self.precision = model, encoded, device, precision
        self.plan, self.filled, self._above = plan, filled, AboveBoundary(model, plan, precision, device)
        self._operations = operations_of(model, encoded, device, self._above.of_length)

    def states(self, split: str, rows: Sequence[int]) -> Tensor:
        if self.plan.cached == "read":
            return self._read(split, rows)
        batch = self.encoded.batch(split, rows)
        ids = batch.input_ids.to(self.device)
        entering = None
        if self.plan.cached == "states":
            entering = self.filled[split].fetch(rows, None, ids.shape[1]).to(self.device)
        with self._above(entering):
            found = self.model.states_of(ids, None)  # causal: no real token sees the padding after it
        return found[batch.rows.to(self.device), batch.columns.to(self.device)]

    def _read(self, split: str, rows: Sequence[int]) -> Tensor:
        """Cached states (N, D), row after row, as the labels of a batch are."""
        filled = self.filled[split]
        numbers = [filled.number[row] for row in rows]
        states = filled.states.padded(numbers)
        real = torch.arange(states.shape[1])[None, :] < filled.states.lengths[numbers][:, None]
        return states[real].to(self.device)

    # -- operations ----------------------------------------------------------------------------------

    def training_flops(self, rows: Sequence[int]) -> int:
        return self._operations.of_head(rows) if self.plan.cached == "read" else self._operations(rows)

    # -- the check -----------------------------------------------------------------------------------

    def difference(self, plain: TextForward) -> str | None:
        """How this differs from the plain way on a few training texts of unlike lengths; None where it does not."""
        rows = ragged_rows([len(ids) for ids in self.encoded.splits["train"].tokens])
        ours, theirs = partial(_loss_and_gradients, self, rows), partial(_loss_and_gradients, plain, rows)
        return how_differs(ours, theirs, LOGIT_TOLERANCE[self.precision], self.precision, "losses")


def _loss_and_gradients(forward: TextForward, rows: Sequence[int]) -> Outcome:
    labels = forward.encoded.batch("train", rows).labels.to(forward.device)
    with autocast(forward.precision, forward.device):
        loss = summed_loss(forward.model, forward.states("train", rows), labels) / len(labels)
    return loss.detach(), gradients_of(loss, forward.model.parameters())


# -- a run -----------------------------------------------------------------------------------------


def prepare_text_forward(
    spec: RunSpec,
    model: LanguageModel,
    encoded: EncodedPairs,
    device: torch.device,
    timers: Timers,
    cache: CacheSettings,
) -> Prepared[TextForward]:
    """As `prepare_tokens`."""
    plain = PlainTextForward(model, encoded, device, spec.precision)

    def planned(plan: TokenPlan, filled: Mapping[str, Filled]) -> tuple[TextForward, Callable[[], str | None]]:
        forward = PlannedTextForward(model, encoded, device, spec.precision, plan, filled)
        return forward, partial(forward.difference, plain)

    def boundary_of(config: PretrainedConfig, method: str, own: Mapping[str, object]) -> int:
        return boundary_of_text_method(spec, method, own, config)

    ways = Ways(partial(make_text_plan, spec, model), lambda plan: texts_of_pairs(encoded), boundary_of)
    return prepare_tokens(spec, model, plain, planned, ways, device, timers, cache)


def boundary_of_text_method(
    spec: RunSpec, method: str, settings: Mapping[str, object], config: PretrainedConfig
) -> int:
    """The boundary of a run like `spec` with another method, found without weights; 0 where nothing trains.

    Raises whatever a model may raise that cannot be built or run without storage.
    """
    sibling = spec.model_copy(update={"method": method, "method_settings": dict(settings)})
    model = meta_language_model(sibling, copy.deepcopy(config))
    if not any(p.requires_grad for p in model.parameters()):
        return 0
    return find_boundary(model, Partition(model.backbone))[0]


def texts_of_pairs(encoded: EncodedPairs) -> dict[str, Texts]:
    """The texts of every split, with the places of the tokens that predict one with a loss."""
    return {split: _texts_of(encoded, split) for split in encoded.splits}


def _texts_of(encoded: EncodedPairs, split: str) -> Texts:
    """Those of one split, with the places of the tokens that predict one with a loss."""
    tokens = encoded.splits[split].tokens
    places = [(encoded.first_with_loss(split, row) - 1, len(ids) - 1) for row, ids in enumerate(tokens)]
    return Texts("unpadded", tokens, [len(ids) for ids in tokens], encoded.pad_id, masked=False, read=places)
