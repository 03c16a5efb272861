"""One generic registry, with an error that suggests the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Generic, TypeVar

from whichtune.errors import UnknownNameError

T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the nearest known name, or the list of names when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known are: {', '.join(names)}."


class Registry(Mapping[str, T], Generic[T]):
    """Names to objects of one kind (`kind` is the word used in messages, such as "method").

    `built_in` are modules that register their objects when they are imported, which the first look-up does. They are
    named and not imported here, so that a registry stands below what fills it.
    """

    def __init__(self, kind: str, built_in: Sequence[str] = ()) -> None:
        self.kind, self.built_in = kind, built_in
        self._items: dict[str, T] = {}
        self._filled = False

    @property
    def _all(self) -> dict[str, T]:
        """The items, those of the built-in modules among them."""
        if not self._filled:
            self._filled = True  # before the imports: what is imported may look something up
            for module in self.built_in:
                import_module(module)
        return self._items

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that stores the object under `name`; a name can be taken only once."""

        def store(item: T) -> T:
            if name in self._items:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._items[name] = item
            return item

        return store

    def __getitem__(self, name: str) -> T:
        try:
            return self._all[name]
        except KeyError:
            raise UnknownNameError(f"There is no {self.kind} '{name}': {did_you_mean(name, self._all)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
