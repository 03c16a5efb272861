"""What tasks whose loss is at several tokens of a text share: how its operations are counted, and told beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.measure.cost import count_flops
from whichtune.measure.flops import flops_of_length
from whichtune.models.adaptable import Adaptable
from whichtune.models.partition import without_values
from whichtune.shortcuts.prepared import CacheSettings
from whichtune.shortcuts.token_plan import TokenPlan, token_lower_pass
from whichtune.tasks.estimates import Preview, training_batches, training_operations

if TYPE_CHECKING:
    from whichtune.shortcuts.texts import Texts
    from whichtune.study.spec import RunSpec
    from whichtune.training.objective import EncodedData, TrainingForward


def states_sum(model: Adaptable, batch: int, width: int, device: torch.device) -> Tensor:
    """A number that depends on all states of `batch` made-up texts, also of a model without storage."""
    ids = torch.full((batch, width), 3, device=device)
    if device.type != "meta":
        return model.states_of(ids, None).float().sum()
    return without_values(model.backbone, batch, width, lambda mask: model.states_of(ids, mask).float().sum())


class Operations:
    """Operations of a training step: those of the transformer by the texts' width, those of the head by the number of
    tokens with a loss.

    `with_loss(row)` is how many of a training text's tokens have a loss, `of_length(length)` a number that depends on
    all states of a made-up text, and `of_token(states, label)` the loss of states (1, D) that the head reads and a
    label (1,).
    """

    def __init__(
        self,
        model: Adaptable,
        encoded: EncodedData,
        device: torch.device,
        with_loss: Callable[[int], int],
        of_length: Callable[[int], Tensor],
        of_token: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        self.model, self.encoded, self.device = model, encoded, device
        self._with_loss, self._loss_of_token = with_loss, of_token
        self._curve = flops_of_length(of_length, limit=encoded.context_length)

    def __call__(self, rows: Sequence[int]) -> int:
        tokens = self.encoded.splits["train"].tokens
        lengths = [len(tokens[row]) for row in rows]
        if self.encoded.padding == "none":
            return sum(map(self._curve, lengths)) + self.of_head(rows)
        width = self.encoded.context_length if self.encoded.padding == "right" else max(lengths)
        return len(rows) * self._curve(width) + self.of_head(rows)

    def of_head(self, rows: Sequence[int]) -> int:
        """Operations of the rows' losses and their gradients, from the states that the head reads on."""
        return self._of_token * sum(map(self._with_loss, rows))

    @cached_property
    def _of_token(self) -> int:
        prompt = [] if not isinstance(self.model.prompt, nn.Module) else list(self.model.prompt.parameters())
        below = any(p.requires_grad for p in [*self.model.backbone.parameters(), *prompt])
        width = next(self.model.head.parameters()).shape[-1]
        states = torch.zeros(1, width, device=self.device, requires_grad=below)
        label = torch.zeros(1, dtype=torch.long, device=self.device)
        return count_flops(lambda: self._loss_of_token(states, label))


def preview_tokens(
    spec: RunSpec,
    model: Adaptable,
    plan: TokenPlan,
    plain: TrainingForward,
    planned: Callable[[], TrainingForward],
    texts: Callable[[], Mapping[str, Texts]],
    device: torch.device,
) -> Preview:
    """The plan of one run with its predicted operations and cache size. `planned` is the forward pass of the plan
    without states, `texts` are those of every split."""
    batches = training_batches(spec, [len(ids) for ids in plain.encoded.splits["train"].tokens])
    trains = any(p.requires_grad for p in model.parameters())
    whole = training_operations(spec, plain, batches) if trains else 0
    if plan.partition is None:
        return Preview(spec.label, plan.decisions, 0, whole, whole, whole)
    shared = training_operations(spec, planned(), batches)
    if plan.cached == "nothing":
        return Preview(spec.label, plan.decisions, 0, whole, shared, shared)
    lower, parts = token_lower_pass(spec, plan, model, device, CacheSettings()), texts()
    size = sum(lower.stored_bytes(plan.want, part) for part in parts.values())
    made = lower.operations([plan.want], parts["train"])
    return Preview(spec.label, plan.decisions, size, whole, shared + made, shared)
