"""Real data beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


def shared(place: str) -> Path:
    """A file or folder of real data beside the checkout; the test skips where it is absent."""
    path = SHARED / place
    if not path.exists():
        pytest.skip(f"the real data {place} are not beside this checkout")
    return path
