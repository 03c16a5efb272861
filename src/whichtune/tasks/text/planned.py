"""What of a text run is computed once: the lower blocks' states, or the states that the head reads.

In a causal model a token's state depends on the tokens before it alone, so what frozen blocks make of a text is the
same at every step. Above the boundary all tokens' states are needed, since target tokens attend to the whole text;
where nothing but the head trains, those of the tokens that predict one with a loss are. Before its first use a plan is
compared with the plain way on a few ragged texts, losses and gradients; where they differ, the plain way is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from whichtune.data.batch import Batch
from whichtune.data.pair_encoding import EncodedPairs
from whichtune.errors import ModelError
from whichtune.measure.cost import Timers
from whichtune.models.causality import is_causal
from whichtune.models.language import LanguageModel
from whichtune.models.partition import Partition, without_kv_cache
from whichtune.shortcuts.boundary import Decision, find_boundary, largest_dropout, reasons_of
from whichtune.shortcuts.cache import CacheUnavailable
from whichtune.shortcuts.features import Twins, has_twins, keyword_inputs
from whichtune.shortcuts.frozen_blocks import READ, Filled, LowerPass, Texts, Want
from whichtune.shortcuts.prepared import CacheSettings, Prepared
from whichtune.shortcuts.self_check import (
    LOGIT_TOLERANCE,
    gradient_difference,
    gradients_of,
    note_of_failure,
    ragged_rows,
)
from whichtune.study.spec import RunSpec
from whichtune.tasks.text.forward import Operations, PlainTextForward, TextForward, summed_loss
from whichtune.training.forward import autocast


@dataclass(frozen=True)
class TextPlan:
    """`boundary`: the first block that trains. `cached`: "states" there, those that the head "read"s, or "nothing".
    A plan without a partition is off."""

    decisions: list[Decision]
    partition: Partition | None = None
    boundary: int = 0
    cached: str = "nothing"
    twins: bool = False

    @property
    def reasons(self) -> dict[str, str]:
        """Each decision with its reason, for the record."""
        return reasons_of(self.decisions)


def make_text_plan(spec: RunSpec, model: LanguageModel) -> TextPlan:
    """The plan of a run whose method is attached to `model`."""
    off = _why_off(spec, model)
    if off:
        return TextPlan([Decision("plan", "off", off)])
    try:
        partition = Partition(model.backbone)
    except ModelError as error:
        return TextPlan([Decision("plan", "off", str(error))])
    boundary, why = find_boundary(model, partition)  # type: ignore[arg-type]
    cached, why_cached = "states", f"blocks below {boundary} never change"
    if boundary == 0:
        cached, why_cached = "nothing", "the first block trains, or what stands before it"
    elif not any(p.requires_grad for p in model.backbone.parameters()):
        cached, why_cached = "read", "nothing below the head trains"
    twins = has_twins(model.backbone)
    decisions = [
        Decision("boundary", f"block {boundary} of {len(partition)}", why),
        Decision("logits", "of tokens with a loss", "a chunk of them at a time"),
        Decision("cache", cached, why_cached),
        Decision("activations", "one kernel" if twins else "as they are", "the same formula" if twins else ""),
    ]
    return TextPlan(decisions, partition, boundary, cached, twins)


def _why_off(spec: RunSpec, model: LanguageModel) -> str | None:
    if spec.plan == "off":
        return "asked for"
    if not any(p.requires_grad for p in model.parameters()):
        return "nothing trains"
    if model.prompt is not None:
        return "the prompt stands before the first block"
    if not is_causal(model.backbone):
        return "tokens see those after them"
    probability = largest_dropout(model)
    if probability > 0:
        return f"dropout {probability:g} draws anew at every step"
    return None


class PlannedTextForward:
    """Follows a plan; `filled` holds what the cache has of each split. Without it nothing is taken from a cache."""

    def __init__(
        self,
        model: LanguageModel,
        encoded: EncodedPairs,
        device: torch.device,
        precision: str,
        plan: TextPlan,
        filled: Mapping[str, Filled],
    ) -> None:
        assert plan.partition is not None
        self.model, self.encoded, self.device, self.precision = model, encoded, device, precision
        self.plan, self.filled, self.partition = plan, filled, plan.partition
        self._twins = Twins(model.backbone) if plan.twins else None
        self._operations = Operations(model, encoded, device, self._of_length)

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

    @contextmanager
    def _above(self, entering: Tensor | None) -> Iterator[None]:
        """Inside, the backbone computes what lies above the boundary, from the states (B, T, D) that enter there."""
        with ExitStack() as stack:
            if self._twins is not None:
                stack.enter_context(self._twins.in_place())
            if entering is None:
                stack.enter_context(without_kv_cache(self.partition.model))
            else:
                stack.enter_context(self.partition.upper(self.plan.boundary)).hidden_states = entering
            yield

    # -- operations ----------------------------------------------------------------------------------

    def training_flops(self, rows: Sequence[int]) -> int:
        return self._operations.of_head(rows) if self.plan.cached == "read" else self._operations(rows)

    def _of_length(self, length: int) -> Tensor:
        ids = torch.full((1, length), self.encoded.pad_id, device=self.device)
        weight: Any = self.model.head.weight
        entering = torch.zeros(1, length, weight.shape[1], device=self.device) if self.plan.cached == "states" else None
        with autocast(self.precision, self.device), self._above(entering):
            return self.model.states_of(ids, None).float().sum()

    # -- the check -----------------------------------------------------------------------------------

    def difference(self, plain: TextForward) -> str | None:
        """How this differs from the plain way on a few training texts of unlike lengths; None where it does not."""
        rows = ragged_rows([len(ids) for ids in self.encoded.splits["train"].tokens])
        try:
            (loss, found), (right, expected) = _loss_and_gradients(self, rows), _loss_and_gradients(plain, rows)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        off = abs(loss - right) / max(1.0, abs(right))
        if not off <= LOGIT_TOLERANCE[self.precision]:
            return f"losses differ by {off:.1e}"
        return gradient_difference(found, expected, self.precision)


def _loss_and_gradients(forward: TextForward, rows: Sequence[int]) -> tuple[float, list[Tensor]]:
    labels = forward.encoded.batch("train", rows).labels.to(forward.device)
    with autocast(forward.precision, forward.device):
        loss = summed_loss(forward.model, forward.states("train", rows), labels) / len(labels)
    return float(loss.detach()), gradients_of(loss, forward.model.parameters())


# -- a run -----------------------------------------------------------------------------------------


@dataclass
class _Cache:
    """What the lower blocks gave, and why not, where they could not be kept."""

    filled: dict[str, Filled] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def prepare_text_forward(
    spec: RunSpec,
    model: LanguageModel,
    encoded: EncodedPairs,
    device: torch.device,
    timers: Timers,
    settings: CacheSettings,
) -> Prepared:
    """The forward pass that the run's plan allows. The training split's lower blocks count as phase `cache`, those of
    the other splits as `evaluate`. torch's random streams are left where they were."""
    from dataclasses import replace

    plain = PlainTextForward(model, encoded, device, spec.precision)
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        with timers.phase("load"):
            plan = make_text_plan(spec, model)
        shortcuts: dict[str, Any] = {"plan": spec.plan, "decisions": plan.reasons}
        if plan.partition is None:
            return Prepared(plain, shortcuts)
        cache = _Cache()
        if plan.cached != "nothing":
            cache = _fill(spec, plan, model, encoded, device, timers, settings)
        if plan.cached != "nothing" and not cache.filled:
            plan = replace(plan, cached="nothing", boundary=0)
        forward = PlannedTextForward(model, encoded, device, spec.precision, plan, cache.filled)
        with timers.phase("load"):
            why = forward.difference(plain)
    if why is not None:
        cache.notes.append(note_of_failure("no shortcut is used", why))
        return Prepared(plain, {**shortcuts, "used": {"plain": True}}, cache.notes)
    train = cache.filled.get("train")
    used = {
        "cached": plan.cached,
        "cache_made": train is not None and train.made,
        "boundary": plan.boundary,
        "activation_kernel": plan.twins,
        "fused_optimiser": True,
    }
    prepared = Prepared(forward, {**shortcuts, "used": used}, cache.notes)
    if train is not None:
        prepared.charge(train)
    return prepared


def _fill(
    spec: RunSpec,
    plan: TextPlan,
    model: LanguageModel,
    encoded: EncodedPairs,
    device: torch.device,
    timers: Timers,
    settings: CacheSettings,
) -> _Cache:
    """States of every split from the cache; none, with a note, where the cache cannot hold them."""
    with timers.phase("cache"):
        lower = text_lower_pass(spec, plan, model, device, settings)
    found = _Cache()
    try:
        for name in encoded.splits:
            phase, counting = "cache" if name == "train" else "evaluate", lower.counting_seconds
            with timers.phase(phase):
                found.filled[name] = lower.fill(name, texts_of_pairs(encoded, name), want_of(plan))
            timers.seconds[phase] -= lower.counting_seconds - counting
    except CacheUnavailable as error:
        return _Cache(notes=[f"The cache is not used: {error}; lower blocks are computed at every step."])
    return found


def want_of(plan: TextPlan) -> Want:
    """What a plan keeps of each text."""
    return Want(plan.boundary, READ if plan.cached == "read" else None)


def texts_of_pairs(encoded: EncodedPairs, split: str) -> Texts:
    """The texts of a split, with the places of the tokens that predict one with a loss."""
    tokens = encoded.splits[split].tokens
    places = [(encoded.first_with_loss(split, row) - 1, len(ids) - 1) for row, ids in enumerate(tokens)]
    return Texts("unpadded", tokens, [len(ids) for ids in tokens], encoded.pad_id, masked=False, read=places)


def text_lower_pass(
    spec: RunSpec, plan: TextPlan, model: LanguageModel, device: torch.device, settings: CacheSettings
) -> LowerPass:
    """What computes and caches the states of a plan."""
    assert plan.partition is not None
    partition = plan.partition
    body: Any = partition.body

    def computer_above(boundary: int) -> Any:
        def final_states(batch: Batch, fetch: Any = None) -> Tensor:
            if not boundary:
                return model.states_of(**keyword_inputs(batch, device))
            with partition.upper(boundary) as feed:
                feed.hidden_states = fetch(None)
                return model.states_of(**keyword_inputs(batch, device))

        return final_states

    return LowerPass(
        partition=partition,
        computer_above=computer_above,
        cache=settings.open(),
        how={"precision": spec.precision, "device": device.type, "causal": True, "twins": plan.twins},
        precision=lambda: autocast(spec.precision, device),
        device=device,
        width=int(body.config.hidden_size),
        twins=plan.twins,
        model_name=spec.model if spec.weights == "pretrained" else f"{spec.model} ({spec.weights})",
    )
