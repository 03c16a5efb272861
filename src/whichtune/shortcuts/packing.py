"""Compute without padding: several texts in one row, none of which sees another.

A batch of texts of different lengths is padded to the longest. Where nothing that is read depends on
padding, the same texts can stand one after another in fewer rows (`Packing`), or texts of similar length
can share a batch (`within_tokens`). Packing keeps a training batch's composition, and thereby the course of
training; bucketing changes it, so it is only for passes whose order does not matter.

Three things make a packed row equal to separate texts. Positions start again with each text. No text may
see another: most decoders build that mask from the positions alone, but only where they get no 2-D mask
and keep no keys of the past, so both are withheld; other models get an explicit mask. Which of these a
model needs is found by trying (`mask_kind`). And no text is read beyond its end.

Shapes: B texts, T tokens of the longest, R rows, W tokens a row.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypedDict

import torch
from torch import Tensor

from whichtune.measure.flops import UNEVEN
from whichtune.models.temporary import evaluating, without_kv_cache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What keeps packed texts apart: positions that start again, from which the model builds its mask; or an
# explicit mask by which a token sees earlier tokens of its text ("causal") or its whole text ("both").
MaskKind = Literal["positions", "causal", "both"]
_EXPECTED: dict[bool, tuple[MaskKind, ...]] = {True: ("positions", "causal"), False: ("both",)}


Masks = Tensor | dict[str, Tensor]  # (R, 1, W, W), or one for each kind of layer


class PackedInputs(TypedDict):
    """What a model is called with for packed rows (R, W)."""

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Masks | None


@dataclass(frozen=True)
class Packing:
    """Where each text of a batch lies: in row `row[b]`, from token `start[b]`, `lengths[b]` tokens long.

    All three are CPU tensors (B,); `rows` and `width` are the shape of the packed batch.
    """

    row: Tensor
    start: Tensor
    lengths: Tensor
    rows: int
    width: int

    def gather_index(self) -> tuple[Tensor, Tensor, Tensor]:
        """Flat indices of real tokens: into (R, W), into texts (number of the text), into its tokens."""
        text = torch.repeat_interleave(torch.arange(len(self.lengths)), self.lengths)
        begin = torch.cumsum(self.lengths, 0) - self.lengths
        token = torch.arange(len(text)) - begin[text]
        place = self.row[text] * self.width + self.start[text] + token
        return place, text, token

    def pack(self, padded: Tensor, fill: float = 0) -> Tensor:
        """Real tokens of `padded` (B, T, ...) in packed rows (R, W, ...); other places hold `fill`."""
        place, text, token = (index.to(padded.device) for index in self.gather_index())
        packed = padded.new_full((self.rows * self.width, *padded.shape[2:]), fill)
        packed[place] = padded[text, token]
        return packed.view(self.rows, self.width, *padded.shape[2:])

    def unpack(self, packed: Tensor, tokens: int) -> Tensor:
        """Packed rows (R, W, ...) as padded texts (B, `tokens`, ...), zero beyond each text's end."""
        place, text, token = (index.to(packed.device) for index in self.gather_index())
        padded = packed.new_zeros(len(self.lengths), tokens, *packed.shape[2:])
        return padded.index_put((text, token), packed.flatten(0, 1)[place])

    def text_of_place(self) -> Tensor:
        """Which text (1 to B) each place of (R, W) belongs to; 0 where there is none."""
        place, text, _ = self.gather_index()
        owner = torch.zeros(self.rows * self.width, dtype=torch.long)
        owner[place] = text + 1
        return owner.view(self.rows, self.width)

    def places(self, tokens: int) -> Tensor:
        """Flat indices (B, `tokens`) into (R, W) of each text's tokens; beyond its end that of its first one."""
        begin = self.row * self.width + self.start
        token = torch.arange(tokens)
        return begin[:, None] + torch.where(token < self.lengths[:, None], token, 0)

    def read_positions(self, position: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
        """Places of one token a text, for computing only those.

        `position` (B,) counts from each text's start. Gives columns (R, P), where P is `most` or the most texts in
        a row and unused places repeat column 0, and for each text its flat index into (R, P).
        """
        if most is None:
            most = int(torch.bincount(self.row, minlength=self.rows).max())
        columns = torch.zeros(self.rows, most, dtype=torch.long)
        flat = torch.zeros(len(self.lengths), dtype=torch.long)
        used = [0] * self.rows
        for text, row in enumerate(self.row.tolist()):
            columns[row, used[row]] = self.start[text] + position[text]
            flat[text] = row * most + used[row]
            used[row] += 1
        return columns, flat


def pack(lengths: Sequence[int] | Tensor, width: int | None = None) -> Packing:
    """Lay texts of these lengths in rows of at most `width` tokens (the longest text at the least).

    Long texts are placed first, each in the first row with room. Without a width, one row holds all.
    Raises `ValueError` for a length below one.
    """
    counts = torch.as_tensor(lengths, dtype=torch.long).cpu()
    if counts.numel() == 0 or int(counts.min()) < 1:
        raise ValueError("every text to pack needs at least one token")
    limit = int(counts.sum()) if width is None else max(width, int(counts.max()))
    return _laid(counts.tolist(), limit).packing(counts)


@dataclass(frozen=True)
class _Laid:
    """Texts laid in rows, in plain numbers: the row and the first token of each, and the tokens that each row has."""

    row: list[int]
    start: list[int]
    used: list[int]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.used), max(self.used)

    def cost(self, hidden: int) -> int:
        rows, width = self.shape
        return _cost(rows, width, hidden)

    def packing(self, counts: Tensor) -> Packing:
        rows, width = self.shape
        return Packing(torch.tensor(self.row), torch.tensor(self.start), counts, rows, width)


def _laid(lengths: Sequence[int], limit: int) -> _Laid:
    row, start, used = [0] * len(lengths), [0] * len(lengths), list[int]()
    for text in sorted(range(len(lengths)), key=lambda text: -lengths[text]):
        length = lengths[text]
        place = next((r for r, taken in enumerate(used) if taken + length <= limit), len(used))
        if place == len(used):
            used.append(0)
        row[text], start[text] = place, used[place]
        used[place] += length
    return _Laid(row, start, used)


# Widths of rows that are tried, and what a product of attention costs beside one of a linear layer: its matrices are
# small and its scores pass through memory. Measured on a CPU with MiniLM, where rows of 128 tokens train in 0.73 of the
# time of rows of 512.
WIDTHS = (64, 96, 128, 192, 256, 384, 512)
COST_OF_ATTENTION = 4
# The texts `UNEVEN` stand in rows of this width whatever it costs. Where operations are counted on a few small
# batches, one must have rows that hold unequal numbers of texts.
UNEVEN_WIDTH = 10


def packed_cheapest(lengths: Sequence[int] | Tensor, hidden: int, limit: int) -> Packing | None:
    """The texts in rows of the width that costs least to compute in blocks of `hidden` channels.

    No row is wider than `limit` tokens, but for the longest text. None where one text a row, padded, costs as little.
    """
    counts = torch.as_tensor(lengths, dtype=torch.long).cpu()
    return _cheapest(tuple(counts.tolist()), hidden, limit)


@lru_cache(maxsize=16)  # a step is computed, and then its operations are counted
def _cheapest(lengths: tuple[int, ...], hidden: int, limit: int) -> Packing | None:
    if lengths == UNEVEN:
        return pack(lengths, UNEVEN_WIDTH)
    longest = max(lengths)
    widths = sorted({longest, *(width for width in WIDTHS if longest < width <= limit)})
    best = min((_laid(lengths, width) for width in widths), key=lambda laid: laid.cost(hidden))
    worth = best.cost(hidden) <= (1 - LEAST_SAVING) * _cost(len(lengths), longest, hidden)
    return best.packing(torch.tensor(lengths)) if worth else None


ROUND_TOKENS = 64  # on a GPU, rows of packed texts are as wide as a multiple of this


def rounded(tokens: int) -> int:
    """The least round width that has room for so many tokens."""
    return -(-tokens // ROUND_TOKENS) * ROUND_TOKENS


def packed_round(lengths: Sequence[int] | Tensor, limit: int) -> Packing:
    """The texts in one row of a round width, or in as few as may be no wider than `limit` tokens: few shapes in all.

    For devices that compute rows as fast as they come, where what takes time is to tell them what to do.
    """
    counts = torch.as_tensor(lengths, dtype=torch.long).cpu()
    width = max(min(rounded(int(counts.sum())), limit), int(counts.max()))
    laid = pack(counts, width)
    return Packing(laid.row, laid.start, laid.lengths, laid.rows, width)


# Packing is worth its gathering only where it saves at least this share.
LEAST_SAVING = 0.1


def _cost(rows: int, width: int, hidden: int) -> int:
    """Multiplications of a block over rows of this width, a channel: 12 hidden a token in linear layers, 2 width in
    attention."""
    return rows * width * (12 * hidden + COST_OF_ATTENTION * 2 * width)


def packed_inputs(
    model: PreTrainedModel, packing: Packing, input_ids: Tensor, masks: MaskKind, fill: int = 0
) -> PackedInputs:
    """What to call `model` with for `input_ids` (B, T) in packed rows.

    The model must not keep keys and values of the past meanwhile (`without_kv_cache`).
    """
    device = input_ids.device
    positions = _own_positions(model, packing, input_ids)
    inputs: PackedInputs = {
        "input_ids": packing.pack(input_ids, fill),
        "position_ids": positions.to(device),
        "attention_mask": None,
    }
    if masks != "positions":
        inputs["attention_mask"] = _explicit_masks(model, packing.text_of_place(), positions, masks, device)
    return inputs


@torch.no_grad()
def mask_kind(model: PreTrainedModel, causal: bool) -> MaskKind | None:
    """How `model` keeps packed texts apart, found by packing three short ones; None where it cannot.

    `causal`: tokens see only earlier ones. Weights other than float32 are not tried: rounding would hide
    an error.
    """
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return None
    if any(p.dtype != torch.float32 for p in model.parameters()):
        return None
    lengths = torch.tensor([4, 2, 3])
    packing = pack(lengths)
    device = next(model.parameters()).device
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0], [9, 3, 6, 0]], device=device)
    with evaluating(model), without_kv_cache(model):
        apart = [_states(model, input_ids=ids[b : b + 1, :n])[0] for b, n in enumerate(lengths.tolist())]
        tolerance = 1e-5 * max(1.0, max(float(states.abs().max()) for states in apart))
        for kind in _EXPECTED[causal]:
            if kind == "causal" and _has_windows(model):
                continue
            try:
                packed = _states(model, **packed_inputs(model, packing, ids, kind))
            except torch.OutOfMemoryError:
                raise
            except Exception:  # whatever a family's code says to a kind of mask that it does not take
                continue
            together = packing.unpack(packed, ids.shape[1])
            differences = [float((together[b, : len(states)] - states).abs().max()) for b, states in enumerate(apart)]
            if max(differences) <= tolerance:
                return kind
    return None


def _states(model: PreTrainedModel, **inputs: object) -> Tensor:
    states: Tensor = model(**inputs)["last_hidden_state"]
    return states


def _has_windows(model: PreTrainedModel) -> bool:
    config = model.config
    return bool(getattr(config, "sliding_window", None) or getattr(config, "window_size", None))


def _own_positions(model: PreTrainedModel, packing: Packing, input_ids: Tensor) -> Tensor:
    """Position ids (R, W) that start again with each text, as `model` itself would number its tokens.

    Every place beyond a row's last text has position zero: a text of its own, which nobody reads.
    """
    numbering = _numbering(model, input_ids)
    place, text, token = packing.gather_index()
    positions = torch.zeros(packing.rows, packing.width, dtype=torch.long)
    positions.view(-1)[place] = numbering[text, token]
    return positions


def _numbering(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """Position ids (B, T) of separate texts; RoBERTa's kind counts on from its padding token."""
    for module in model.modules():
        create = getattr(module, "create_position_ids_from_input_ids", None)
        if create is not None and hasattr(module, "padding_idx"):
            return create(input_ids, module.padding_idx).cpu()
    batch, tokens = input_ids.shape
    return torch.arange(tokens).expand(batch, tokens)


def _explicit_masks(
    model: PreTrainedModel, owner: Tensor, positions: Tensor, masks: MaskKind, device: torch.device
) -> Masks:
    """Mask (R, 1, W, W) by which each text sees itself alone, one for each kind of layer if there are kinds.

    Boolean for PyTorch's own attention; added to the scores elsewhere.
    """
    config = model.config
    seen = owner[:, None, :, None] == owner[:, None, None, :]
    distance = positions[:, None, :, None] - positions[:, None, None, :]
    if masks == "causal":
        seen = seen & (distance >= 0)
    if "sliding_attention" not in (getattr(config, "layer_types", None) or []):
        return _as_mask(model, seen, device)
    return {
        "full_attention": _as_mask(model, seen, device),
        "sliding_attention": _as_mask(model, seen & (distance.abs() <= config.sliding_window), device),
    }


def _as_mask(model: PreTrainedModel, seen: Tensor, device: torch.device) -> Tensor:
    config = model.config
    seen = seen.contiguous().to(device)
    if config._attn_implementation == "sdpa":
        return seen
    hidden = torch.zeros(seen.shape, device=device)
    return hidden.masked_fill(~seen, torch.finfo(hidden.dtype).min)


def within_tokens(lengths: Sequence[int] | Tensor, tokens: int) -> Iterator[Tensor]:
    """Batches (CPU indices) of texts of similar length, longest first, of at most `tokens` padded tokens.

    Each index comes once; a text longer than `tokens` is a batch of its own. The first batch is the
    largest in memory, so that a lack of it shows at once.
    """
    counts = torch.as_tensor(lengths, dtype=torch.long).cpu()
    order = torch.argsort(counts, descending=True, stable=True)
    begin = 0
    while begin < len(order):
        size = max(1, tokens // max(1, int(counts[order[begin]])))
        yield order[begin : begin + size]
        begin += size
