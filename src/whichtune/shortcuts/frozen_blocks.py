"""States of a split's texts from the cache, computed where they are missing.

One pass over the texts serves every depth that is wanted and missing. Texts that are computed alike are
computed once (`TextIndex`), in batches of similar length.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from whichtune.data.batch import Batch, padding_mask, right_padded
from whichtune.measure.cost import count_flops
from whichtune.measure.flops import FlopModel, padded_cells
from whichtune.models.partition import Partition
from whichtune.models.sizes import feature_width
from whichtune.models.temporary import evaluating
from whichtune.shortcuts.cache import ActivationCache, CacheUnavailable, digest, key_of
from whichtune.shortcuts.entry import Description, States, Writer, stored_bytes
from whichtune.shortcuts.features import Twins, keyword_inputs
from whichtune.shortcuts.packing import Packing, within_tokens

# Tokens in one batch of a lower pass: few enough that its memory stays below that of a training step.
PASS_TOKENS = {"cpu": 1024, "cuda": 16384, "mps": 16384}

READ = "read"  # a position's name: every place that a text is read at
TextRule = Literal["first token", "unpadded", "padded"]


@dataclass(frozen=True)
class Texts:
    """How texts are computed: their tokens as they enter the model, and whether padding is masked.

    `tokens` are the study's texts, cut or padded by `rule`; `lengths` counts their real tokens. `read` are the places,
    from the first to before the second, at which each text is read, where there are several.
    """

    rule: TextRule
    tokens: list[list[int]]
    lengths: list[int]
    pad_id: int
    masked: bool
    read: list[tuple[int, int]] | None = None

    def batch(self, rows: Sequence[int]) -> Batch:
        """Right-padded batch of these texts, on the CPU."""
        input_ids, lengths = right_padded([self.tokens[row] for row in rows], self.pad_id)
        if self.rule == "padded":
            lengths = torch.tensor([self.lengths[row] for row in rows])
        return Batch(input_ids, lengths, padding_mask(lengths, input_ids.shape[1]) if self.masked else None)


@dataclass(frozen=True)
class TextIndex:
    """Distinct texts: `first` is a row of each, `number[row]` says which one a row is."""

    first: list[int]
    number: list[int]

    @classmethod
    def of(cls, texts: Texts) -> TextIndex:
        seen: dict[tuple[int, ...], int] = {}
        first: list[int] = []
        number: list[int] = []
        for row, (tokens, length) in enumerate(zip(texts.tokens, texts.lengths, strict=True)):
            own = () if texts.read is None else texts.read[len(number)]
            place = seen.setdefault((length, *own, *tokens), len(first))
            if place == len(first):
                first.append(row)
            number.append(place)
        return cls(first, number)


@dataclass(frozen=True)
class Want:
    """States at boundary `depth`, or, with `position`, the features that are read there at the model's end.

    The position `READ` stands for all places at which a text is read.
    """

    depth: int
    position: str | None = None


class WeightDigests:
    """sha256 of everything below each boundary, and of the whole; every tensor is read once."""

    def __init__(self, partition: Partition) -> None:
        owned = {id(t) for module in [*partition.blocks, *partition.final_modules] for t in _tensors(module)}
        outside = ((name, t) for name, t in _named(partition.body) if id(t) not in owned)
        self._parts = [digest(outside)]
        self._blocks = iter(partition.blocks)
        self._partition = partition

    def below(self, depth: int) -> str:
        while len(self._parts) <= depth:
            self._parts.append(digest(_named(next(self._blocks))))
        return _joined(self._parts[: depth + 1])

    def whole(self) -> str:
        final = [digest(_named(module)) for module in self._partition.final_modules]
        return _joined([self.below(len(self._partition)), *final])


def _joined(parts: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _named(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return (tensor for _, tensor in _named(module))


def entry_key(
    want: Want,
    texts: Texts,
    index: TextIndex,
    digests: WeightDigests,
    partition: Partition,
    how: Mapping[str, str | bool],
) -> str:
    """The name of an entry. `how`: precision, device type, whether the model is causal, kernels."""
    import transformers

    body = partition.body
    config = {k: v for k, v in body.config.to_dict().items() if k not in _OF_NO_MATTER and "drop" not in k}
    rows: list[object] = [(texts.lengths[row], texts.tokens[row]) for row in index.first]
    if want.position == READ and texts.read is not None:
        rows.append([texts.read[row] for row in index.first])
    return key_of(
        depth=want.depth,
        position=want.position,
        weights=digests.whole() if want.position else digests.below(want.depth),
        model=type(body).__name__,
        config=config,
        attention=body.config._attn_implementation,
        texts=hashlib.sha256(repr(rows).encode()).hexdigest(),
        rule=texts.rule,
        masked=texts.masked,
        torch=torch.__version__,
        transformers=transformers.__version__,
        **how,
    )


_OF_NO_MATTER = ("_name_or_path", "transformers_version", "use_cache", "dtype", "torch_dtype", "id2label", "label2id")


@dataclass(frozen=True)
class Conditions:
    """What a pass is measured under: the process's peak memory so far in bytes, the runs that share the machine, and
    the joules so far where they can be measured."""

    peak_memory: int = 0
    runs_at_once: int = 1
    joules: float | None = None


@dataclass
class Filled:
    """States of one split for one want, with what they cost: as paid now, and alone, whoever made them."""

    states: States
    number: list[int]
    flops: int = 0
    made: bool = False

    @property
    def alone(self) -> Description:
        """What the pass takes that makes these states and no others, as it was measured when they were made."""
        return self.states.description

    def fetch(self, rows: Sequence[int], packing: Packing | None, tokens: int) -> Tensor:
        """States (B, T, D) of split rows, or (R, W, D) in packed rows."""
        numbers = [self.number[row] for row in rows]
        if packing is None:
            return self.states.padded(numbers, tokens)
        return self.states.packed(numbers, packing.row, packing.start, (packing.rows, packing.width))

    def features(self, rows: Sequence[int]) -> Tensor:
        return self.states.single([self.number[row] for row in rows])


@dataclass
class LowerPass:
    """Computes and caches the states of splits.

    `computer_above(boundary)` computes features from states that enter there (0: from the tokens).
    `how` names what else the states depend on: precision, kind of device, kernels. `conditions` are asked for when a
    pass is over.
    """

    partition: Partition
    computer_above: Callable[[int], Callable[..., Tensor]]
    cache: ActivationCache
    how: Mapping[str, str | bool]
    precision: Callable[[], AbstractContextManager[object]]
    device: torch.device
    model_name: str
    twins: bool
    dtype: torch.dtype = torch.float32
    conditions: Callable[[], Conditions] = Conditions
    digests: WeightDigests = field(init=False)
    _twins: Twins | None = field(init=False)
    counting_seconds: float = field(init=False, default=0.0)  # spent on measuring alone, in all
    _flops: dict[frozenset[Want], FlopModel] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.digests = WeightDigests(self.partition)
        self._twins = Twins(self.partition.model) if self.twins else None

    def fill(self, name: str, texts: Texts, want: Want, others: Callable[[], Iterable[Want]] = tuple) -> Filled:
        """States of all `texts` for `want`; a pass that must be made keeps what `others()` names, too.

        Raises `CacheUnavailable`.
        """
        index = TextIndex.of(texts)
        mine = self._key(want, texts, index)
        ready = self.cache.get(mine)
        if ready is not None:
            return Filled(ready, index.number)
        keys = {self._key(w, texts, index): w for w in {want, *others()}}
        wanted = {key: (self._lengths(w, texts, index), self._width(w), self.dtype) for key, w in keys.items()}
        paid: dict[str, float] = {}

        def make(writers: Mapping[str, Writer]) -> dict[str, Description]:
            begin, before = time.perf_counter(), self.conditions().joules
            asked = {keys[key]: writer for key, writer in writers.items()}
            self._compute(texts, index, asked)
            paid["seconds"] = time.perf_counter() - begin
            conditions = self.conditions()
            joules = None if before is None or conditions.joules is None else conditions.joules - before
            made = {key: keys[key] for key in writers}
            return self._describe(name, texts, made, paid, replace(conditions, joules=joules))

        try:
            states, _ = self.cache.get_or_make(wanted, make)
        except CacheUnavailable:
            if len(wanted) == 1:
                raise
            return self.fill(name, texts, want)  # what others want may be too much; this run's own may fit
        return Filled(states[mine], index.number, flops=int(paid.get("flops", 0)), made=bool(paid))

    def _key(self, want: Want, texts: Texts, index: TextIndex) -> str:
        return entry_key(want, texts, index, self.digests, self.partition, self.how)

    def _width(self, want: Want) -> int:
        config = self.partition.body.config
        return feature_width(config) if want.position else int(config.hidden_size)

    def _lengths(self, want: Want, texts: Texts, index: TextIndex) -> Tensor:
        if want.position == READ and texts.read is not None:
            return torch.tensor([texts.read[row][1] - texts.read[row][0] for row in index.first])
        if want.position:
            return torch.ones(len(index.first), dtype=torch.long)
        return torch.tensor([len(texts.tokens[row]) for row in index.first])

    def _batches(self, texts: Texts, index: TextIndex) -> Iterator[Tensor]:
        lengths = [len(texts.tokens[row]) for row in index.first]
        return within_tokens(lengths, PASS_TOKENS.get(self.device.type, PASS_TOKENS["cpu"]))

    def _compute(self, texts: Texts, index: TextIndex, wanted: Mapping[Want, Writer]) -> None:
        for numbers in self._batches(texts, index):
            batch = texts.batch([index.first[number] for number in numbers.tolist()])
            for want, states in self._pass(batch, wanted).items():
                self._put(wanted[want], numbers, states, texts, index, want)

    def _pass(self, batch: Batch, wanted: Iterable[Want]) -> dict[Want, Tensor]:
        """What one pass over `batch` gives for each want: states (B, T, D), features (B, 1, D), or the last states
        (B, T, D) of texts that are read at several places."""
        depths = sorted(want.depth for want in wanted if not want.position)
        found: dict[Want, Tensor] = {}
        with ExitStack() as stack:
            for context in (evaluating(self.partition.model), torch.no_grad(), self.precision()):
                stack.enter_context(context)
            if self._twins is not None:
                stack.enter_context(self._twins.in_place())
            inputs = keyword_inputs(batch, self.device)
            states = self.partition.lower(depths, **inputs) if depths else {}
            for want in wanted:
                if not want.position:
                    found[want] = states[want.depth]
                elif depths and depths[-1]:
                    found[want] = self.computer_above(depths[-1])(batch, _always(states[depths[-1]]))
                else:
                    found[want] = self.computer_above(0)(batch)
                if found[want].ndim == 2:
                    found[want] = found[want][:, None]
        return found

    def _put(self, writer: Writer, numbers: Tensor, states: Tensor, texts: Texts, index: TextIndex, want: Want) -> None:
        for number, rows in zip(numbers.tolist(), states.float().cpu(), strict=True):
            begin, end = 0, 1 if want.position else len(texts.tokens[index.first[number]])
            if want.position == READ and texts.read is not None:
                begin, end = texts.read[index.first[number]]
            writer.put(number, rows[begin:end])

    def stored_bytes(self, want: Want, texts: Texts) -> int:
        """Bytes that the states of `texts` for `want` take in the cache."""
        return stored_bytes(self._lengths(want, texts, TextIndex.of(texts)), self._width(want), self.dtype)

    def operations(self, wanted: Iterable[Want], texts: Texts) -> int:
        """Operations of a pass over `texts` that keeps `wanted`."""
        begin = time.perf_counter()
        index, wants = TextIndex.of(texts), frozenset(wanted)
        if wants not in self._flops:
            self._flops[wants] = FlopModel(lambda lengths: self._count(wants, lengths), padded_cells)
        lengths = [len(texts.tokens[row]) for row in index.first]
        total = sum(self._flops[wants]([lengths[n] for n in batch.tolist()]) for batch in self._batches(texts, index))
        self.counting_seconds += time.perf_counter() - begin
        return total

    def _count(self, wants: frozenset[Want], lengths: list[int]) -> int:
        made_up = Texts("unpadded", [[3] * n for n in lengths], lengths, 0, masked=False)
        return count_flops(lambda: sum_of(self._pass(made_up.batch(range(len(lengths))), wants).values()))

    def _describe(
        self, name: str, texts: Texts, keys: Mapping[str, Want], paid: dict[str, float], conditions: Conditions
    ) -> dict[str, Description]:
        """What each entry takes alone: its share of what was paid. The joules of `conditions` are those of the pass."""
        paid["flops"] = whole = self.operations(keys.values(), texts)
        alone = {key: self.operations([want], texts) for key, want in keys.items()}
        share = {key: alone[key] / whole if whole else 1.0 for key in keys}
        return {
            key: Description(
                model=self.model_name,
                depth=want.depth,
                texts=f"{name}, {want.position or 'all tokens'}",
                seconds=paid["seconds"] * share[key],
                flops=alone[key],
                peak_memory=conditions.peak_memory,
                runs_at_once=conditions.runs_at_once,
                joules=None if conditions.joules is None else conditions.joules * share[key],
            )
            for key, want in keys.items()
        }


def _always(states: Tensor) -> Callable[[Packing | None], Tensor]:
    """A fetch that gives these padded states."""

    def fetch(packing: Packing | None) -> Tensor:
        assert packing is None
        return states

    return fetch


def sum_of(tensors: Iterable[Tensor]) -> Tensor:
    """One number that depends on all of `tensors`."""
    return torch.stack([tensor.float().sum() for tensor in tensors]).sum()
