"""The names of the cache's entries: hashes of everything that their states depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from whichtune.models.partition import Partition
from whichtune.shortcuts.cache import digest, key_of

if TYPE_CHECKING:
    import numpy as np

    from whichtune.shortcuts.texts import Texts, Want


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
    marks: np.ndarray,
    digests: WeightDigests,
    partition: Partition,
    how: Mapping[str, str | bool],
) -> tuple[str, str]:
    """The names of an entry and of its family: of all that its states depend on, with and without the texts.

    `how`: precision, device type, whether the model is causal, kernels."""
    import transformers

    body = partition.body
    config = {k: v for k, v in body.config.to_dict().items() if k not in _OF_NO_MATTER and "drop" not in k}
    family = key_of(
        depth=want.depth,
        position=want.position,
        weights=digests.whole() if want.position else digests.below(want.depth),
        model=type(body).__name__,
        config=config,
        attention=body.config._attn_implementation,
        rule=texts.rule,
        masked=texts.masked,
        torch=torch.__version__,
        transformers=transformers.__version__,
        **how,
    )
    return key_of(family=family, texts=hashlib.sha256(marks.tobytes()).hexdigest()), family


_OF_NO_MATTER = ("_name_or_path", "transformers_version", "use_cache", "dtype", "torch_dtype", "id2label", "label2id")
