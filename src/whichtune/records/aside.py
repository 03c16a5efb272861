"""A study's folder that makes room for another: it is moved, never removed."""

from __future__ import annotations

from pathlib import Path

from whichtune.errors import StoreError
from whichtune.wording import shown_path

MOST = 10_000


def move_aside(place: Path) -> Path:
    """Move a study's folder to the first of NAME.replaced-1, -2, ... that is free, and give where it is now.

    Raises StoreError where it cannot be moved, or a process works in it.
    """
    whole = place.absolute()
    here = Path.cwd()
    if whole == here or whole in here.parents:
        raise StoreError(
            f"The folder '{shown_path(place)}' cannot be moved aside, since this command is given in it: choose "
            "another with --out."
        )
    _refuse_work(place)
    for number in range(1, MOST):
        target = whole.with_name(f"{whole.name}.replaced-{number}")
        if target.exists() or target.is_symlink():
            continue
        try:
            whole.rename(target)
        except OSError as error:
            raise StoreError(
                f"The folder '{shown_path(place)}' cannot be moved aside ({error.strerror}): choose another with --out."
            ) from error
        return place.with_name(target.name)
    raise StoreError(f"The folder '{shown_path(place)}' was moved aside too often: remove some of them.")


def _refuse_work(place: Path) -> None:
    from filelock import FileLock, Timeout

    for lock in sorted((place / "locks").glob("*.lock")):
        if lock.is_symlink() or not lock.is_file():
            continue  # none that a run holds
        try:
            FileLock(lock).acquire(timeout=0).lock.release()
        except Timeout as error:
            raise StoreError(
                f"The folder '{shown_path(place)}' cannot be moved aside, since a command makes runs in it: wait for "
                "it, or choose another with --out."
            ) from error
        except OSError:
            continue
