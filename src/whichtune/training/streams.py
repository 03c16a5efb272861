"""Where each random draw of a run comes from, and in which order.

`NamedStreams` is the default: every source of randomness has a stream of its own, so that two runs with one
seed share what they have in common. `ReferenceStreams` repeats the published SMS-spam script, in which all
draws come from torch's global generator one after another:

1. the seed is set, then random weights are drawn (where the weights are random);
2. the seed is set, then the head is drawn, then LoRA's matrices, layer by layer, the head's last;
3. the seed is set, then training begins. Each pass over a split, in training or for an evaluation, draws
   what a torch DataLoader draws when it is iterated: the order of the shuffled training split among it.

An evaluation therefore changes the order of every later epoch. DataLoaders of row numbers are really
iterated here, so the draws are torch's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from whichtune.seeding import DATA_ORDER, DROPOUT, HEAD, WEIGHTS, generator, seed_global
from whichtune.training.batching import Batches, epoch_batches

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from whichtune.models.heads import Classifier
    from whichtune.study.spec import RunSpec


class Streams(Protocol):
    """The draws of a run outside the method's own, in the order in which they are asked for."""

    def seed_weights(self) -> None:
        """Point torch's global generator at the stream of random weights."""

    def head(self, hidden_size: int, classes: int) -> nn.Linear:
        """The head with its first weights."""

    def draw_adapters(self, classifier: Classifier) -> None:
        """Draw again what the method's inserted layers start from, where the stream has an order for it."""

    def begin_training(self) -> None:
        """Called once before the first epoch."""

    def train_batches(self, n: int, lengths: Sequence[int] | None = None) -> Batches:
        """The next pass over `n` shuffled training rows, whose `lengths` batches of similar length need."""

    def final_train_rows(self, n: int) -> list[int]:
        """The training rows on which the finished model is judged, in the data set's order."""

    def state(self) -> dict[str, Tensor]:
        """Where the streams are that are not torch's global generator."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken."""


def streams_of(spec: RunSpec) -> Streams:
    """The streams that a run's settings ask for."""
    return ReferenceStreams(spec) if spec.random_streams == "reference" else NamedStreams(spec)


class NamedStreams:
    """A stream for each source of randomness; see `whichtune.seeding`."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec, self.seed = spec, spec.seed or 0
        self.order = generator(self.seed, DATA_ORDER)

    def seed_weights(self) -> None:
        seed_global(self.seed, WEIGHTS)

    def head(self, hidden_size: int, classes: int) -> nn.Linear:
        from whichtune.models.heads import new_head

        return new_head(hidden_size, classes, generator(self.seed, HEAD))

    def draw_adapters(self, classifier: Classifier) -> None:
        return None  # the method has drawn them from its own stream

    def begin_training(self) -> None:
        seed_global(self.seed, DROPOUT)

    def train_batches(self, n: int, lengths: Sequence[int] | None = None) -> Batches:
        used = lengths if self.spec.batching == "bucketed" else None
        return epoch_batches(n, self.spec.batch_size, self.spec.drop_last, self.order, used)

    def final_train_rows(self, n: int) -> list[int]:
        return list(range(n))

    def state(self) -> dict[str, Tensor]:
        return {"order": self.order.get_state()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.order.set_state(state["order"])


class ReferenceStreams:
    """The published script's order of draws from the global generator."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec, self.seed = spec, spec.seed or 0
        self._after_head: Tensor | None = None

    def seed_weights(self) -> None:
        torch.manual_seed(self.seed)

    def head(self, hidden_size: int, classes: int) -> nn.Linear:
        torch.manual_seed(self.seed)
        head = nn.Linear(hidden_size, classes)
        self._after_head = torch.get_rng_state()
        return head

    def draw_adapters(self, classifier: Classifier) -> None:
        """LoRA's A matrices, each drawn as (width, rank) in +-1/sqrt(rank), in the order of the layers."""
        if self.spec.method_settings.get("lora_initialisation") != "reference":
            return
        from peft.tuners.lora import LoraLayer

        assert self._after_head is not None  # the head comes first
        torch.set_rng_state(self._after_head)
        layers = [module for module in classifier.modules() if isinstance(module, LoraLayer)]
        with torch.no_grad():
            for layer in layers:
                for down in layer.lora_A.values():
                    drawn = torch.empty(down.in_features, down.out_features)
                    down.weight.copy_(nn.init.kaiming_uniform_(drawn, a=math.sqrt(5)).T)

    def begin_training(self) -> None:
        torch.manual_seed(self.seed)

    def train_batches(self, n: int, lengths: Sequence[int] | None = None) -> Batches:
        return self._pass(n, shuffle=True, drop_last=self.spec.drop_last)

    def validation_batches(self, n: int) -> Batches:
        """A pass over a split in its own order. Iterating draws from the generator all the same."""
        return self._pass(n, shuffle=False, drop_last=False)

    def final_train_rows(self, n: int) -> list[int]:
        return sorted(row for batch in self.train_batches(n) for row in batch)

    def state(self) -> dict[str, Tensor]:
        return {}  # all draws are the global generator's

    def restore(self, state: Mapping[str, Tensor]) -> None:
        return None

    def _pass(self, n: int, shuffle: bool, drop_last: bool) -> Batches:
        from torch.utils.data import DataLoader

        rows = cast("Dataset[int]", range(n))  # a Dataset is anything with a length and items
        return list(
            DataLoader(rows, batch_size=self.spec.batch_size, shuffle=shuffle, drop_last=drop_last, collate_fn=list)
        )
