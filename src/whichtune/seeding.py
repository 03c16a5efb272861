"""Named random streams.

Every source of randomness in a run draws from a stream of its own, derived from the run's seed and the
stream's name and from nothing else. Two runs with one seed therefore see the same data order and start
from the same head whatever their methods are: their difference is a paired difference.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DATA_ORDER = "data_order"
HEAD = "head"
ADAPTER = "adapter"
DROPOUT = "dropout"
WEIGHTS = "weights"
GENERATION = "generation"
BOOTSTRAP = "bootstrap"
SHOTS = "shots"
PAIRS = "pairs"


def stream_seed(seed: int, name: str) -> int:
    """The 63-bit seed of stream `name` in a run with `seed`."""
    digest = hashlib.sha256(f"whichtune/{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator for stream `name`: draws are the same on every device."""
    import torch

    return torch.Generator().manual_seed(stream_seed(seed, name))


def seed_global(seed: int, name: str) -> None:
    """Point torch's global generators at stream `name`, for code that draws from them (dropout, PEFT)."""
    import torch

    torch.manual_seed(stream_seed(seed, name))
