"""States of a split's texts from the cache, computed where they are missing.

One pass over the texts serves every depth that is wanted and missing. Texts that are computed alike are
computed once (`TextIndex`), in batches of similar length.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from whichtune.data.batch import Batch
from whichtune.measure.cost import count_flops
from whichtune.measure.flops import FlopModel, padded_cells
from whichtune.models.partition import Partition
from whichtune.models.sizes import feature_width, hidden_width
from whichtune.models.temporary import evaluating
from whichtune.shortcuts.cache import ActivationCache, CacheUnavailable
from whichtune.shortcuts.entry import Description, Layout, States, Writer, stored_bytes
from whichtune.shortcuts.entry_names import WeightDigests, entry_key
from whichtune.shortcuts.features import Twins, keyword_inputs
from whichtune.shortcuts.loans import Loan, loans_of, marks_of, not_lent, shares_of
from whichtune.shortcuts.packing import Packing, within_tokens
from whichtune.shortcuts.resident import Resident, fits
from whichtune.shortcuts.texts import READ, TextIndex, Texts, Want

# Tokens in one batch of a lower pass: few enough that its memory stays below that of a training step.
PASS_TOKENS = {"cpu": 1024, "cuda": 16384, "mps": 16384}


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
    resident: Resident | None = None  # the same states on the run's device

    @property
    def alone(self) -> Description:
        """What the pass takes that makes these states and no others, as it was measured when they were made."""
        return self.states.description

    def fetch(self, rows: Sequence[int], packing: Packing | None, tokens: int) -> Tensor:
        """States (B, T, D) of split rows in float32, or (R, W, D) in packed rows."""
        numbers = [self.number[row] for row in rows]
        if packing is None:
            return self._held.padded(numbers, tokens).float()
        return self._held.packed(numbers, packing.row, packing.start, (packing.rows, packing.width)).float()

    def features(self, rows: Sequence[int]) -> Tensor:
        return self._held.single([self.number[row] for row in rows]).float()

    @property
    def _held(self) -> States | Resident:
        return self.states if self.resident is None else self.resident


def keep_on(device: torch.device, filled: Iterable[Filled]) -> None:
    """Hold the states of all splits on `device`, where it is a GPU with room for them."""
    each = list(filled)
    if fits([one.states for one in each], device):
        for one in each:
            one.resident = Resident(one.states, device)


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
        mine, own = self._layout(want, texts, index)
        ready = self.cache.get(mine)
        if ready is not None:
            return Filled(ready, index.number)
        layouts, keys = {mine: own}, {mine: want}
        for each in {*others()} - {want}:
            key, layouts[key] = self._layout(each, texts, index)
            keys[key] = each
        paid = _Paid()

        def make(writers: Mapping[str, Writer]) -> dict[str, Description]:
            asked = {keys[key]: _Asked(key, writer, layouts[key], self.cache) for key, writer in writers.items()}
            self._take_over(asked)
            begin, before = time.perf_counter(), self.conditions().joules
            self._compute(texts, index, asked)
            paid.seconds = time.perf_counter() - begin
            paid.flops = self.operations(asked, texts, sorted(set().union(*(a.open for a in asked.values()))))
            conditions = self.conditions()
            joules = None if before is None or conditions.joules is None else conditions.joules - before
            return self._describe(name, texts, asked, paid, replace(conditions, joules=joules))

        try:
            states, _ = self.cache.get_or_make(layouts, make, name)
        except CacheUnavailable:
            if len(layouts) == 1:
                raise
            return self.fill(name, texts, want)  # what others want may be too much; this run's own may fit
        return Filled(states[mine], index.number, flops=paid.flops, made=bool(paid.flops))

    def _layout(self, want: Want, texts: Texts, index: TextIndex) -> tuple[str, Layout]:
        """The name of the entry of `want`, and what it holds."""
        read = texts.read if want.position == READ else None
        marks = marks_of((texts.lengths[row], read and read[row], texts.tokens[row]) for row in index.first)
        key, family = entry_key(want, texts, marks, self.digests, self.partition, self.how)
        return key, Layout(self._lengths(want, texts, index), self._width(want), self.dtype, family, marks)

    @staticmethod
    def _take_over(asked: Mapping[Want, _Asked]) -> None:
        """Copy what other entries hold."""
        for each in asked.values():
            for loan in each.loans:
                for theirs, ours in zip(loan.theirs, loan.ours, strict=True):
                    each.writer.put(ours, loan.states.of(theirs))

    def _width(self, want: Want) -> int:
        config = self.partition.body.config
        return feature_width(config) if want.position else hidden_width(config)

    def _lengths(self, want: Want, texts: Texts, index: TextIndex) -> Tensor:
        if want.position == READ and texts.read is not None:
            return torch.tensor([texts.read[row][1] - texts.read[row][0] for row in index.first])
        if want.position:
            return torch.ones(len(index.first), dtype=torch.long)
        return torch.tensor([len(texts.tokens[row]) for row in index.first])

    def _batches(self, texts: Texts, index: TextIndex, among: Sequence[int] | None = None) -> Iterator[list[int]]:
        """Numbers of distinct texts, all or `among` them, of similar length."""
        numbers = range(len(index.first)) if among is None else among
        lengths = [len(texts.tokens[index.first[number]]) for number in numbers]
        for places in within_tokens(lengths, PASS_TOKENS.get(self.device.type, PASS_TOKENS["cpu"])):
            yield [numbers[place] for place in places.tolist()]

    def _compute(self, texts: Texts, index: TextIndex, asked: Mapping[Want, _Asked]) -> None:
        last: Future[None] | None = None
        with ThreadPoolExecutor(1) as aside:
            for numbers in self._batches(texts, index, sorted(set().union(*(each.open for each in asked.values())))):
                batch = texts.batch([index.first[number] for number in numbers])
                for want, states in self._pass(batch, asked).items():
                    put = partial(self._put, asked[want], numbers, fetched(states), texts, index, want)
                    if self.device.type != "cuda":
                        put()
                        continue
                    if last is not None:  # a GPU computes the next batch while one is written, and no more wait
                        last.result()
                    last = aside.submit(put)
            if last is not None:
                last.result()

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

    def _put(
        self,
        asked: _Asked,
        numbers: Sequence[int],
        states: Callable[[], Tensor],
        texts: Texts,
        index: TextIndex,
        want: Want,
    ) -> None:
        for number, rows in zip(numbers, states(), strict=True):
            if number not in asked.open:
                continue
            begin, end = 0, 1 if want.position else len(texts.tokens[index.first[number]])
            if want.position == READ and texts.read is not None:
                begin, end = texts.read[index.first[number]]
            asked.writer.put(number, rows[begin:end])

    def stored_bytes(self, want: Want, texts: Texts) -> int:
        """Bytes that the states of `texts` for `want` take in the cache."""
        return stored_bytes(self._lengths(want, texts, TextIndex.of(texts)), self._width(want), self.dtype)

    def operations(self, wanted: Iterable[Want], texts: Texts, among: Sequence[int] | None = None) -> int:
        """Operations of a pass over `texts`, all or the distinct ones of these numbers, that keeps `wanted`."""
        begin = time.perf_counter()
        index, wants = TextIndex.of(texts), frozenset(wanted)
        if wants not in self._flops:
            self._flops[wants] = FlopModel(lambda lengths: self._count(wants, lengths), padded_cells)
        lengths = [len(texts.tokens[row]) for row in index.first]
        total = sum(self._flops[wants]([lengths[n] for n in batch]) for batch in self._batches(texts, index, among))
        self.counting_seconds += time.perf_counter() - begin
        return total

    def _count(self, wants: frozenset[Want], lengths: list[int]) -> int:
        made_up = Texts("unpadded", [[3] * n for n in lengths], lengths, 0, masked=False)
        return count_flops(lambda: sum_of(self._pass(made_up.batch(range(len(lengths))), wants).values()))

    def _describe(
        self, name: str, texts: Texts, asked: Mapping[Want, _Asked], paid: _Paid, conditions: Conditions
    ) -> dict[str, Description]:
        """What each entry takes alone: its share of what was paid, and of what its lenders' passes took.

        The joules of `conditions` are those of the pass.
        """
        described = {}
        for want, each in asked.items():
            share = self.operations([want], texts, sorted(each.open)) / paid.flops if paid.flops else 0.0
            lent = shares_of(each.loans)
            joules = [(conditions.joules, share), *((lender.joules, part) for lender, part in lent)]
            known = [amount * part for amount, part in joules if amount is not None]
            described[each.key] = Description(
                model=self.model_name,
                depth=want.depth,
                texts=f"{name}, {want.position or 'all tokens'}",
                seconds=paid.seconds * share + sum(lender.seconds * part for lender, part in lent),
                flops=self.operations([want], texts),
                peak_memory=max([conditions.peak_memory, *(lender.peak_memory for lender, _ in lent)]),
                runs_at_once=max([conditions.runs_at_once, *(lender.runs_at_once for lender, _ in lent)]),
                joules=sum(known) if len(known) == len(joules) else None,
            )
        return described


def fetched(states: Tensor) -> Callable[[], Tensor]:
    """What gives `states` in float32 on the CPU; from a GPU they are on their way when this returns."""
    if states.device.type != "cuda":
        return states.float().cpu
    there = torch.empty(states.shape, dtype=torch.float32, pin_memory=True)
    there.copy_(states.float(), non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> Tensor:
        arrived.synchronize()
        return there

    return wait


@dataclass
class _Paid:
    """What a pass has taken."""

    seconds: float = 0.0
    flops: int = 0


class _Asked:
    """An entry that is being made: what other entries lend it, and the numbers of the texts that are `open`."""

    def __init__(self, key: str, writer: Writer, layout: Layout, cache: ActivationCache) -> None:
        assert layout.marks is not None
        self.key, self.writer = key, writer
        self.loans: list[Loan] = loans_of(cache.lenders(layout.family), layout.marks)
        self.open = frozenset(not_lent(self.loans, len(layout.lengths)))


def _always(states: Tensor) -> Callable[[Packing | None], Tensor]:
    """A fetch that gives these padded states."""

    def fetch(packing: Packing | None) -> Tensor:
        assert packing is None
        return states

    return fetch


def sum_of(tensors: Iterable[Tensor]) -> Tensor:
    """One number that depends on all of `tensors`."""
    return torch.stack([tensor.float().sum() for tensor in tensors]).sum()
