"""What the head reads of a batch, computed with as little as is exact.

`FeatureComputer` gives the features (B, D) that `Classifier.features` gives, along the route that a plan
has chosen: from a boundary upwards, in packed rows, with the last block at the read positions alone.

Shapes: B texts, T tokens of the longest, R rows of W tokens (packed), P read positions a row, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor, nn

from whichtune.data.batch import Batch
from whichtune.models.heads import Classifier, pool
from whichtune.models.partition import Partition
from whichtune.models.sizes import hidden_width, text_part
from whichtune.models.temporary import without_kv_cache
from whichtune.shortcuts.adapter_kernels import AdapterKernels
from whichtune.shortcuts.last_block import LastBlock, Mode
from whichtune.shortcuts.packing import WIDTHS, MaskKind, Packing, packed_cheapest, packed_inputs
from whichtune.study.spec import TokenPosition

if TYPE_CHECKING:
    from transformers.modeling_outputs import BaseModelOutput

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
    """

    def __init__(
        self,
        classifier: Classifier,
        partition: Partition,
        route: Route,
        position: TokenPosition,
        padding_matters: bool,
    ) -> None:
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
        device = next(self.classifier.head.parameters(), next(self.model.parameters())).device
        packing = self.arrange(batch.lengths)
        with self._prepared(fetch, packing, device):
            return self._read(batch, packing, device)

    def arrange(self, lengths: Tensor) -> Packing | None:
        """How texts of these lengths lie in rows; None: one a row, padded."""
        if self.route.masks is None or self.padding_matters or len(lengths) < 2:
            return None
        return packed_cheapest(lengths, self._hidden, self._widest)

    @contextmanager
    def _prepared(self, fetch: Fetch | None, packing: Packing | None, device: torch.device) -> Iterator[None]:
        with ExitStack() as stack:
            if self._twins is not None:
                stack.enter_context(self._twins.in_place())
            if self._adapters is not None:
                stack.enter_context(self._adapters.in_place())
            if self.route.boundary:
                assert fetch is not None
                feed = stack.enter_context(self.partition.upper(self.route.boundary))
                feed.hidden_states = fetch(packing).to(device, non_blocking=True)
            else:
                stack.enter_context(without_kv_cache(self.model))
            yield

    def _read(self, batch: Batch, packing: Packing | None, device: torch.device) -> Tensor:
        place = self._place(batch)
        if self._last is not None and place is not None:
            columns, flat = packing.read_positions(place) if packing else (place[:, None], None)
            rows = self._last.rows(columns, lambda: self._run(batch, packing, device)).flatten(0, 1)
            return rows if flat is None else rows[flat.to(device)]
        if packing is None and not self.route.boundary:
            states = self.classifier.states_of(**keyword_inputs(batch, device))
        else:
            states = self._run(batch, packing, device).last_hidden_state
        if packing is not None:
            states = packing.unpack(states, batch.input_ids.shape[1])
        return pool(states, batch.lengths.to(device), self.position)

    def _run(self, batch: Batch, packing: Packing | None, device: torch.device) -> BaseModelOutput:
        """The backbone's own output for the batch, in packed rows or padded."""
        if packing is None:
            return self.model(**keyword_inputs(batch, device))
        assert self.route.masks is not None
        return self.model(**packed_inputs(self.model, packing, batch.input_ids.to(device), self.route.masks))

    def _place(self, batch: Batch) -> Tensor | None:
        """The token (B,) that is read of each text; None for a mean over several."""
        if self.position == "first":
            return torch.zeros_like(batch.lengths)
        if self.position == "last_nonpad":
            return batch.lengths - 1
        if self.position == "last":
            return torch.full_like(batch.lengths, batch.input_ids.shape[1] - 1)
        return None


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
