"""An epoch's training rows in batches: shuffled, or shuffled within batches of similar length.

Both orders are drawn from the stream that they are given and depend on nothing else but the texts' lengths, so
that all methods with one seed see the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from whichtune.study.spec import RunSpec

Batches = list[list[int]]
# Rows are sorted by length within pools of so many batches, and an epoch has at least so many pools: what shares
# a batch changes from epoch to epoch.
POOL_BATCHES = 50
LEAST_POOLS = 4


def epoch_batches(
    n: int, size: int, drop_last: bool, order: torch.Generator, lengths: Sequence[int] | None = None
) -> Batches:
    """One epoch's rows in batches of `size`, drawn from `order`; of similar length where `lengths` are given."""
    import torch

    rows = torch.randperm(n, generator=order).tolist()
    if drop_last:
        rows = rows[: n - n % size]
    if lengths is None:
        return _cut(rows, size)
    pool = size * max(1, min(POOL_BATCHES, n // (size * LEAST_POOLS)))
    batches = []
    for start in range(0, len(rows), pool):
        batches += _cut(sorted(rows[start : start + pool], key=lambda row: -lengths[row]), size)
    return [batches[place] for place in torch.randperm(len(batches), generator=order).tolist()]


def _cut(rows: list[int], size: int) -> Batches:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def by_length(lengths: Sequence[int], size: int) -> Batches:
    """Rows in batches of similar length, longest first, so that little is padding. For evaluation: nothing is drawn."""
    return _cut(sorted(range(len(lengths)), key=lambda row: -lengths[row]), size)


def first_epoch(spec: RunSpec, lengths: Sequence[int], bucketed: bool | None = None) -> Batches:
    """The batches of a run's first epoch, by its own setting or as `bucketed` says."""
    from whichtune.seeding import DATA_ORDER, generator

    wanted = spec.batching == "bucketed" if bucketed is None else bucketed
    order = generator(spec.seed or 0, DATA_ORDER)
    return epoch_batches(len(lengths), spec.batch_size, spec.drop_last, order, lengths if wanted else None)


def padding_share(batches: Batches, lengths: Sequence[int]) -> float:
    """Share of the tokens that is padding where every batch is padded to its longest text."""
    padded = sum(len(rows) * max(lengths[row] for row in rows) for rows in batches)
    return 1 - sum(lengths[row] for rows in batches for row in rows) / padded if padded else 0.0


def bucketing_note(spec: RunSpec, lengths: Sequence[int], why_not: str | None) -> str:
    """How much padding the first epoch's batches have, beside shuffled ones of the same seed.

    `why_not` says why this run computes no padding in any case; None where it does.
    """
    ours, plain = (padding_share(first_epoch(spec, lengths, bucketed), lengths) for bucketed in (True, False))
    text = (
        f"Batches of similar length: in the first epoch {100 * ours:.1f} % of the tokens are padding, in shuffled "
        f"batches {100 * plain:.1f} %"
    )
    if why_not is None:
        return f"{text}: {100 * (1 - (1 - plain) / (1 - ours)):.0f} % fewer tokens are computed."
    return f"{text}; here nothing is saved, since {why_not}."
