"""Training the rows of a word embedding that training texts have, and no others.

A row of which no training text has the token never gets a gradient: AdamW's moments of it stay 0, and all that happens
to it is weight decay, one factor a step. So gradients, moments and clipping are of the rows that occur alone, and the
others are multiplied once by the product of their factors, when they are read: where the model is evaluated, and at the
end. Rounding apart that is what training all rows comes to.

Shapes: V rows of the vocabulary, U of them in use, D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.models.course import Course
from whichtune.shortcuts.boundary import Decision
from whichtune.shortcuts.planned import PlannedForward, word_embedding
from whichtune.shortcuts.self_check import note_or_error, ragged_rows

if TYPE_CHECKING:
    from whichtune.measure.cost import Timers
    from whichtune.study.spec import RunSpec

# Where more of the rows are in use, little is saved.
MOST_USED = 0.75


class UsedRows(nn.Module):
    """In the place of a word embedding: its rows in use, which train, over all of them, which are evaluated."""

    def __init__(self, own: nn.Embedding, used: Tensor) -> None:
        super().__init__()
        self.whole, self.used = own.weight.detach(), used  # (V, D), in the same memory and no parameter; (U,)
        self.weight = nn.Parameter(own.weight.detach()[used].clone())
        self.row_of = torch.full((len(own.weight),), len(used), device=used.device)  # beyond the end: must not come
        self.row_of[used] = torch.arange(len(used), device=used.device)
        self.padding_idx = None
        if own.padding_idx is not None and bool((used == own.padding_idx).any()):
            self.padding_idx = int(self.row_of[own.padding_idx])
        self.decayed, self.moved = 1.0, False  # what the other rows are still to be multiplied by

    def forward(self, ids: Tensor) -> Tensor:
        if self.training:
            return nn.functional.embedding(self.row_of[ids], self.weight, self.padding_idx)
        self.write()
        return nn.functional.embedding(ids, self.whole)

    @torch.no_grad()
    def write(self) -> None:
        """Bring all rows to where the steps so far have taken them."""
        if not self.moved:
            return
        if self.decayed != 1.0:
            self.whole.mul_(self.decayed)
        self.whole[self.used] = self.weight
        self.decayed, self.moved = 1.0, False

    def after_step(self, optimiser: torch.optim.Optimizer, *_: object) -> None:
        """A hook of the optimiser: called after each of its steps."""
        for group in optimiser.param_groups:
            if any(parameter is self.weight for parameter in group["params"]):
                self.decayed *= 1.0 - float(group["lr"]) * group["weight_decay"]
        self.moved = True


@contextmanager
def used_rows(
    spec: RunSpec, model: nn.Module, forward: object, course: Course | None, timers: Timers, notes: list[str]
) -> Iterator[UsedRows | None]:
    """Inside, the rows of the word embedding that training texts use are trained alone; None where all are.

    What checking takes is timed as phase `check`. Where that comes to something else `notes` says so. Raises
    ShortcutError where such is asked to be an error.
    """
    place = _place(spec, model, forward, course) if isinstance(forward, PlannedForward) else None
    if place is None or not isinstance(forward, PlannedForward):
        yield None
        return
    model.train()  # as the steps will have it; whoever evaluates puts the model into that mode
    rows = ragged_rows(forward.texts["train"].lengths)
    with timers.phase("check"):
        expected = forward.logits_and_gradients(rows, of=[place.own.weight])
    narrow = UsedRows(place.own, place.used)
    with _in_place_of(place, narrow):
        with timers.phase("check"):
            differing = forward.difference(rows, expected, of=[narrow.weight])
        if differing is None:
            yield narrow
            narrow.write()
    if differing is not None:
        notes.append(note_or_error(f"Self-check: all rows of the vocabulary are trained ({differing.text})."))
        yield None


@dataclass(frozen=True)
class _Place:
    """A word embedding, in its module under its name, and the rows of it (U,) that are in use, in order."""

    parent: nn.Module
    name: str
    own: nn.Embedding
    used: Tensor


@contextmanager
def _in_place_of(place: _Place, narrow: UsedRows) -> Iterator[None]:
    """Inside, `narrow` stands where the embedding did, whose weight does not train."""
    place.parent.add_module(place.name, narrow)
    place.own.weight.requires_grad_(False)
    try:
        yield
    finally:
        place.parent.add_module(place.name, place.own)
        place.own.weight.requires_grad_(True)


def vocabulary_decision(
    spec: RunSpec, model: nn.Module, forward: PlannedForward, course: Course | None
) -> list[Decision]:
    """What a plan says of the vocabulary, where not all of it is to be trained."""
    place = _place(spec, model, forward, course)
    if place is None:
        return []
    rows = f"{len(place.used):,} of {len(place.own.weight):,} rows"
    return [Decision("vocabulary", rows, "no training text has the others, which only decay")]


def _place(spec: RunSpec, model: nn.Module, forward: PlannedForward, course: Course | None) -> _Place | None:
    """The word embedding of which some rows are trained alone; None where all or none are, or in steps or with pauses
    that must see all of it."""
    if forward.route.boundary or forward.features_cached:
        return None
    if type(course) is not Course or spec.early_stopping != "none" or spec.part is not None or spec.goes_on_from:
        return None
    own = word_embedding(forward.classifier.backbone)
    if type(own) is not nn.Embedding or not own.weight.requires_grad or own.max_norm is not None or own.sparse:
        return None
    if own.scale_grad_by_freq or own._forward_hooks or own._forward_pre_hooks or "forward" in vars(own):
        return None
    used, rows = _used(forward, own), len(own.weight)
    tells_segments = int(used[-1]) >= rows  # some tokens do, too, where texts have two
    if tells_segments or len(used) > MOST_USED * rows:
        return None
    holders = [
        (parent, name)
        for parent in model.modules()
        for name, child in parent.named_children()
        if any(weight is own.weight for weight in child.parameters(recurse=False))
    ]
    return _Place(*holders[0], own, used) if len(holders) == 1 else None  # more than one: the weight is tied


def _used(forward: PlannedForward, own: nn.Embedding) -> Tensor:
    """The rows (U,) that training texts have, and what fills up their batches and packed rows, in order."""
    texts = forward.texts["train"]
    ids = {0, texts.pad_id, forward.encoded.pad_id}.union(*texts.tokens)
    return torch.tensor(sorted(ids), device=own.weight.device)
