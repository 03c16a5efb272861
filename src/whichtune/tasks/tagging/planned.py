"""What of a tagger's run is computed once: the lower blocks' states, or those at which words are read.

What frozen blocks make of a sentence is the same at every step. Above the boundary all tokens' states are needed, since
tokens attend to each other; where nothing but the head trains, those that words are read at are. Before its first use a
plan is compared with the plain way on a few ragged sentences, logits and gradients; where they differ, the plain way is
taken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from whichtune.data.tag_encoding import EncodedSentences
from whichtune.measure.cost import Timers
from whichtune.models.causality import is_causal
from whichtune.models.partition import Partition
from whichtune.models.tagger import Tagger
from whichtune.shortcuts.boundary import Decision, find_boundary
from whichtune.shortcuts.features import keyword_inputs
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
from whichtune.tasks.tagging.forward import PlainTagForward, TagForward, logits_of, operations_of, read_states
from whichtune.tasks.tagging.model import meta_tagger

if TYPE_CHECKING:
    import numpy as np
    from transformers import PretrainedConfig


def make_tag_plan(spec: RunSpec, model: Tagger) -> TokenPlan:
    """The plan of a run whose method is attached to `model`."""
    read = Decision("logits", "of words", "one token of each")
    return make_token_plan(spec, model, _why_off(spec, model), read, is_causal(model.backbone))


def frozen_tag_blocks(spec: RunSpec, model: Tagger) -> tuple[Partition, int] | None:
    """As `frozen_blocks_of`."""
    return frozen_blocks_of(model, _why_off(spec, model))


def _why_off(spec: RunSpec, model: Tagger) -> str | None:
    known = {id(p) for module in (model.backbone, model.head) for p in module.parameters()}
    outside = any(id(p) not in known for p in model.parameters())
    return why_no_plan(spec, model) or (
        "the method trains something outside the model and its head" if outside else None
    )


class PlannedTagForward:
    """Follows a plan; `filled` holds what the cache has of each split. Without it nothing is taken from a cache."""

    def __init__(
        self,
        model: Tagger,
        encoded: EncodedSentences,
        device: torch.device,
        precision: str,
        plan: TokenPlan,
        filled: Mapping[str, Filled],
    ) -> None:
        self.model, self.encoded, self.device, self.precision = model, encoded, device, precision
        self.plan, self.filled, self._above = plan, filled, AboveBoundary(model, plan, precision, device)
        self._texts = texts_of_tags(plan, encoded)
        unpadded = replace(encoded, padding="dynamic")  # padding is seen by no word
        self._operations = operations_of(model, unpadded, device, self._above.of_length)

    def states(self, split: str, rows: Sequence[int]) -> Tensor:
        if self.plan.cached == "read":
            return self._read(split, rows)
        batch = self._texts[split].batch(rows)
        entering = None
        if self.plan.cached == "states":
            entering = self.filled[split].fetch(rows, None, batch.input_ids.shape[1]).to(self.device)
        with self._above(entering):
            found = self.model.states_of(**keyword_inputs(batch, self.device))
        return read_states(found, self.encoded, split, rows)

    def _read(self, split: str, rows: Sequence[int]) -> Tensor:
        """Cached states (W, D), which begin at the first token that is read of a sentence."""
        filled, part = self.filled[split], self.encoded.splits[split]
        found = [filled.states.of(filled.number[row])[part.read(row) - _span(part.read(row))[0]] for row in rows]
        return torch.cat(found).to(self.device)

    # -- operations ----------------------------------------------------------------------------------

    def training_flops(self, rows: Sequence[int]) -> int:
        return self._operations.of_head(rows) if self.plan.cached == "read" else self._operations(rows)

    # -- the check -----------------------------------------------------------------------------------

    def difference(self, plain: TagForward) -> str | None:
        """How this differs from the plain way on a few training sentences of unlike lengths; None where it does not."""
        rows = ragged_rows([len(ids) for ids in self.encoded.splits["train"].tokens])
        ours, theirs = partial(_logits_and_gradients, self, rows), partial(_logits_and_gradients, plain, rows)
        return how_differs(ours, theirs, LOGIT_TOLERANCE[self.precision], self.precision, "logits")


def _logits_and_gradients(forward: TagForward, rows: Sequence[int]) -> Outcome:
    train = forward.encoded.splits["train"]
    tags = torch.cat([torch.as_tensor(train.known_tags(row), device=forward.device) for row in rows])
    logits = logits_of(forward, "train", rows)
    loss = torch.nn.functional.cross_entropy(logits, tags)
    return logits.detach(), gradients_of(loss, forward.model.parameters())


# -- a run -----------------------------------------------------------------------------------------


def prepare_tag_forward(
    spec: RunSpec,
    model: Tagger,
    encoded: EncodedSentences,
    device: torch.device,
    timers: Timers,
    cache: CacheSettings,
) -> Prepared[TagForward]:
    """As `prepare_tokens`."""
    plain = PlainTagForward(model, encoded, device, spec.precision)

    def planned(plan: TokenPlan, filled: Mapping[str, Filled]) -> tuple[TagForward, Callable[[], str | None]]:
        forward = PlannedTagForward(model, encoded, device, spec.precision, plan, filled)
        return forward, partial(forward.difference, plain)

    def boundary_of(config: PretrainedConfig, method: str, own: Mapping[str, object]) -> int:
        return boundary_of_tag_method(spec, method, own, config)

    ways = Ways(partial(make_tag_plan, spec, model), lambda plan: texts_of_tags(plan, encoded), boundary_of)
    return prepare_tokens(spec, model, plain, planned, ways, device, timers, cache)


def boundary_of_tag_method(spec: RunSpec, method: str, settings: Mapping[str, object], config: PretrainedConfig) -> int:
    """The boundary of a run like `spec` with another method, found without weights.

    Raises whatever a model may raise that cannot be built or run without storage.
    """
    sibling = spec.model_copy(update={"method": method, "method_settings": dict(settings)})
    model = meta_tagger(sibling, copy.deepcopy(config), 2)
    return find_boundary(model, Partition(model.backbone))[0]


def texts_of_tags(plan: TokenPlan, encoded: EncodedSentences) -> dict[str, Texts]:
    """The sentences of every split, with the tokens from the first that is read to the last."""
    return {split: _texts_of(plan, encoded, split) for split in encoded.splits}


def _texts_of(plan: TokenPlan, encoded: EncodedSentences, split: str) -> Texts:
    """Those of one split, with the tokens from the first that is read to the last."""
    part = encoded.splits[split]
    spans = [_span(part.read(row)) for row in range(len(part))]
    lengths = [len(ids) for ids in part.tokens]
    return Texts("unpadded", part.tokens, lengths, encoded.pad_id, masked=not plan.causal, read=spans)


def _span(places: np.ndarray) -> tuple[int, int]:
    """From the first of the places to behind the last; the first token of a sentence of which nothing is read."""
    return (int(places.min()), int(places.max()) + 1) if len(places) else (0, 1)
