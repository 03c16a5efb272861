"""What the head reads of a batch, computed with as little as is exact.

`FeatureComputer` gives the features (B, D) that `Classifier.features` gives, along the route that a plan
has chosen: from a boundary upwards, in packed rows, with the last block at the read positions alone.

Shapes: B texts, T tokens of the longest, R rows of W tokens (packed), P read positions a row, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TypedDict

import torch
from torch import Tensor, nn

from whichtune.data.batch import Batch
from whichtune.models.heads import Classifier, pool
from whichtune.models.partition import Partition
from whichtune.models.sizes import hidden_width, text_part
from whichtune.models.temporary import without_kv_cache
from whichtune.shortcuts.adapter_kernels import AdapterKernels
from whichtune.shortcuts.last_block import LastBlock, Mode
from whichtune.shortcuts.packing import (
    WIDTHS,
    MaskKind,
    PackedInputs,
    Packing,
    packed_cheapest,
    packed_inputs,
    packed_round,
    rounded,
)
from whichtune.study.spec import TokenPosition
from whichtune.training.stage import Stage

Fetch = Callable[["Packing | None"], Tensor]


@dataclass(frozen=True)
class Route:
    """How features are computed. The default is the whole model, padded: the plain way.

    `boundary`: states enter there (0: from the tokens). `pruning`: how the last block is computed at the
    read positions alone. `masks`: how packed texts are kept apart; None: no packing. `twins`: activations
    run as PyTorch's own kernel of the same formula. `adapters`: LoRA's layers are one step of autograd each.
    """

    boundary: int = 0
    pruning: Mode | None = None
    masks: MaskKind | None = None
    twins: bool = False
    adapters: bool = False

    def simpler(self) -> Route | None:
        """The next route to try where this one does not equal the plain way; None after the plain way."""
        if self.pruning == "absorbed":
            return replace(self, pruning="kv")
        if self.pruning is not None:
            return replace(self, pruning=None)
        if self.masks is not None:
            return replace(self, masks=None)
        if self.adapters:
            return replace(self, adapters=False)
        if self.twins:
            return replace(self, twins=False)
        return replace(self, boundary=0) if self.boundary else None


class FeatureComputer:
    """Features of batches of `classifier` along `route`.

    `position` is where the head reads in the batches given here, whose padding may be less than the
    study's. `padding_matters`: batches come padded as the study says and must be computed so.
    `in_few_shapes`: packed rows have round sizes, so that batches of different texts have the same shape.
    """

    def __init__(
        self,
        classifier: Classifier,
        partition: Partition,
        route: Route,
        position: TokenPosition,
        padding_matters: bool,
        in_few_shapes: bool = False,
    ) -> None:
        self.in_few_shapes = in_few_shapes
        self.classifier, self.partition, self.route = classifier, partition, route
        self.position: TokenPosition = position
        self.padding_matters = padding_matters
        self.model = classifier.backbone
        # Some models keep a mask of as many tokens as they have positions: no row may be wider.
        config = text_part(partition.body.config)
        positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        self._widest = min(WIDTHS[-1], positions or WIDTHS[-1])
        self._hidden = hidden_width(config)
        self._last = LastBlock(partition, route.pruning) if route.pruning else None
        self._twins = Twins(self.model) if route.twins else None
        self._adapters = AdapterKernels(self.model) if route.adapters else None

    def __call__(self, batch: Batch, fetch: Fetch | None = None) -> Tensor:
        """Features (B, D) of `batch`, whose tensors lie on the CPU.

        `fetch` gives the states that enter at the boundary, padded (B, T, D) or in the given packing's
        rows (R, W, D); it is needed when the route has a boundary.
        """
        return self.compute(self.staged(batch, fetch).on(self.device))

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.classifier.head.parameters(), next(self.model.parameters())).device

    def arrange(self, lengths: Tensor) -> Packing | None:
        """How texts of these lengths lie in rows; None: one a row, padded."""
        if self.route.masks is None or self.padding_matters or len(lengths) < 2:
            return None
        if self.in_few_shapes:
            return packed_round(lengths, self._widest)
        return packed_cheapest(lengths, self._hidden, self._widest)

    def staged(self, batch: Batch, fetch: Fetch | None = None) -> Stage:
        """All that `compute` takes, still on the CPU but for what `fetch` gives."""
        packing = self.arrange(batch.lengths)
        at = self._reading(batch, packing)
        if packing is None:
            given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
            tensors = {name: tensor for name, tensor in given.items() if tensor is not None}
        else:
            assert self.route.masks is not None
            tensors = named_tensors(packed_inputs(self.model, packing, batch.input_ids, self.route.masks))
        if self.route.boundary:
            assert fetch is not None
            tensors["states"] = fetch(packing)
        width = batch.input_ids.shape[1] if packing is None else packing.width
        at_end = "columns" in at and bool((at["columns"] == width - 1).all())
        return Stage({**tensors, **at}, ("packed" if packing else "padded", at_end))

    def compute(self, stage: Stage) -> Tensor:
        """Features (B, D) of a batch whose tensors lie on the device. Waits for none of its numbers."""
        with ExitStack() as stack:
            if self._twins is not None:
                stack.enter_context(self._twins.in_place())
            if self._adapters is not None:
                stack.enter_context(self._adapters.in_place())
            if self.route.boundary:
                feed = stack.enter_context(self.partition.upper(self.route.boundary))
                feed.hidden_states = stage.tensors["states"]
            else:
                stack.enter_context(without_kv_cache(self.model))
            return self._read(stage)

    def _read(self, stage: Stage) -> Tensor:
        given, (how, at_end) = stage.tensors, stage.facts
        inputs = inputs_of(given)
        if self._last is not None and "columns" in given:
            rows = self._last.rows(given["columns"], lambda: self.model(**inputs), bool(at_end)).flatten(0, 1)
            return rows[given["flat"]] if "flat" in given else rows
        if how == "packed":
            states = self.model(**inputs).last_hidden_state.flatten(0, 1)[given["places"]]
        elif self.route.boundary:
            states = self.model(**inputs).last_hidden_state
        else:
            states = self.classifier.states_of(given["input_ids"], given.get("attention_mask"))
        return pool(states, given["lengths"], self.position)

    def _reading(self, batch: Batch, packing: Packing | None) -> dict[str, Tensor]:
        """Where the head reads, as tensors: `columns` (R, P) of the last block and, in packed rows, which of them each
        text has (`flat`); or the texts' `lengths` and, in packed rows, the `places` of their tokens."""
        place = self._place(batch)
        if self._last is not None and place is not None:
            if packing is None:
                return {"columns": place[:, None]}
            columns, flat = packing.read_positions(place, len(place) if self.in_few_shapes else None)
            return {"columns": columns, "flat": flat}
        lengths = {"lengths": batch.lengths}
        if packing is None:
            return lengths
        width = batch.input_ids.shape[1]
        return {**lengths, "places": packing.places(rounded(width) if self.in_few_shapes else width)}

    def _place(self, batch: Batch) -> Tensor | None:
        """The token (B,) that is read of each text; None for a mean over several."""
        if self.position == "first":
            return torch.zeros_like(batch.lengths)
        if self.position == "last_nonpad":
            return batch.lengths - 1
        if self.position == "last":
            return torch.full_like(batch.lengths, batch.input_ids.shape[1] - 1)
        return None


MASK = "attention_mask"


def named_tensors(inputs: PackedInputs) -> dict[str, Tensor]:
    """What a model is called with as tensors by name: masks of several kinds of layer are named after them, too."""
    found = {"input_ids": inputs["input_ids"], "position_ids": inputs["position_ids"]}
    masks = inputs["attention_mask"]
    if isinstance(masks, dict):
        return {**found, **{f"{MASK}.{kind}": mask for kind, mask in masks.items()}}
    return found if masks is None else {**found, MASK: masks}


def inputs_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor | dict[str, Tensor] | None]:
    """What the model is called with, from tensors by name."""
    given: dict[str, Tensor | dict[str, Tensor] | None] = {
        name: tensors[name] for name in ("input_ids", "position_ids") if name in tensors
    }
    kinds = {name.split(".", 1)[1]: mask for name, mask in tensors.items() if name.startswith(f"{MASK}.")}
    return {**given, MASK: kinds or tensors.get(MASK)}


class Twins:
    """GPT-2's GELU, which is written out in single operations, run as PyTorch's kernel of the same formula."""

    def __init__(self, model: nn.Module) -> None:
        from transformers.activations import NewGELUActivation

        self._found: list[tuple[nn.Module, str, nn.Module, nn.Module]] = []
        for parent in model.modules():
            for name, child in parent.named_children():
                if type(child) is NewGELUActivation:
                    self._found.append((parent, name, child, nn.GELU(approximate="tanh")))

    def __len__(self) -> int:
        return len(self._found)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The kernels run instead of the model's own activations inside."""
        for parent, name, _, twin in self._found:
            setattr(parent, name, twin)
        try:
            yield
        finally:
            for parent, name, own, _ in self._found:
                setattr(parent, name, own)


def has_twins(model: nn.Module) -> bool:
    """Whether any activation of `model` has a kernel of the same formula."""
    return len(Twins(model)) > 0


class TextInputs(TypedDict):
    """What a model is called with for texts (B, T)."""

    input_ids: Tensor
    attention_mask: Tensor | None


def keyword_inputs(batch: Batch, device: torch.device) -> TextInputs:
    """What the backbone is called with for `batch`."""
    mask = None if batch.attention_mask is None else batch.attention_mask.to(device)
    return {"input_ids": batch.input_ids.to(device), "attention_mask": mask}
