"""What the driver knows of a cluster's slots, and what it asks of whoever has them."""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from whichtune.executors.slot import About

# What a slot's course yields: a reference of Ray's to an answer, or None to be asked again soon.
Course = Generator[Any, Any, None]


class LostError(Exception):
    """A slot has gone with its machine, or failed by itself."""


@dataclass(frozen=True)
class Need:
    """What a slot asks of its machine: CPUs, GPUs, bytes of memory."""

    cpus: float
    gpus: float
    memory: int

    @property
    def resources(self) -> dict[str, float]:
        """By Ray's names, those that are asked for at all."""
        return {name: n for name, n in (("CPU", self.cpus), ("GPU", self.gpus), ("memory", self.memory)) if n}

    def fits_in(self, other: Need) -> bool:
        """Whether a slot with the other need would do."""
        return self.cpus <= other.cpus and self.gpus <= other.gpus and self.memory <= other.memory

    def told(self) -> str:
        """In words."""
        gpus = f", {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.cpus:g} CPU{gpus} and {self.memory / 2**30:.1f} GiB of memory"


@dataclass(eq=False)
class Hand:
    """A slot as the driver has it: the actor, and what is known of it."""

    actor: Any
    need: Need
    about: About | None = None  # None until it has come up
    lost: bool = False
    course: Course | None = None

    @property
    def where(self) -> str:
        """The machine, and the GPUs that are its own."""
        if self.about is None:
            return ""
        gpus = ",".join(gpu.name for gpu in self.about.gpus) if self.need.gpus else ""
        return f"{self.about.host}, GPU {gpus}" if gpus else self.about.host


class Slots(Protocol):
    """The cluster that a shift's slots are on."""

    def hire(self, need: Need) -> Hand:
        """A new slot, which comes up when a machine has room for it."""

    def let_go(self, hand: Hand) -> None:
        """End a slot at once."""

    def answers(self, open_: Collection[Any], seconds: float) -> list[tuple[Any, Any, Exception | None]]:
        """Those references of `open_` that are answered, each with its answer or with how its slot was lost; waits for
        the first for so many seconds at most."""
