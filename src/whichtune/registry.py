"""One generic registry: what is built in, what installed packages add, and what a program adds to it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from whichtune.errors import PluginError, UnknownNameError
from whichtune.wording import LONGEST_NAME, listed, shown

T = TypeVar("T")

BUILT_IN = "built in"
PROGRAM = "this program"
# What an installed plugin may say it was written for (`whichtune_api = 1` in its module).
API = 1

_source: ContextVar[str | None] = ContextVar("source", default=None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the nearest known name, or the list of names when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:LONGEST_NAME], names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{shown(near[0])}'?"
    return f"known are: {listed(names)}." if names else "none is known."


def modules_of_folders(package: str, module: str) -> list[str]:
    """The modules of that name in the folders of a package, so that a folder is all that a new one of its kind is."""
    from importlib.util import find_spec

    found = find_spec(package)
    places = [Path(place) for place in (found.submodule_search_locations or [])] if found else []
    folders = sorted(file.parent.name for place in places for file in place.glob(f"*/{module}.py"))
    return [f"{package}.{folder}.{module}" for folder in folders]


@dataclass(frozen=True)
class Origin:
    """Where a registered object comes from: in words, and the module that registered it."""

    source: str
    module: str


class Registry(Mapping[str, T], Generic[T]):
    """Names to objects of one kind (`kind` is the word used in messages, such as "method").

    `built_in` are modules that register their objects when they are imported, which the first look-up does; so do the
    modules that installed packages name under the entry points of `group`. Neither is imported here, so that a registry
    stands below what fills it.
    """

    def __init__(self, kind: str, built_in: Sequence[str] = (), group: str | None = None) -> None:
        self.kind, self.built_in, self.group = kind, built_in, group
        self._items: dict[str, T] = {}
        self._origins: dict[str, Origin] = {}
        self._filled = False
        REGISTRIES.append(self)

    @property
    def _all(self) -> dict[str, T]:
        """The items, those of the built-in modules and of installed packages among them."""
        if not self._filled:
            self._filled = True  # before the imports: what is imported may look something up
            try:
                self._fill()
            except BaseException:
                self._filled = False
                raise
        return self._items

    def _fill(self) -> None:
        with registering(BUILT_IN):
            for module in self.built_in:
                import_module(module)
        if self.group is not None:
            load_entry_points(self.group)

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that stores the object under `name`. Raises PluginError for a name that is taken."""

        def store(item: T) -> T:
            module = _caller()
            origin = Origin(_source.get() or _source_of(module), module)
            if origin.source != BUILT_IN:
                self._all  # noqa: B018 - what is built in comes first, so that its names are its own
            if name in self._items:
                taken = self._origins[name].source
                raise PluginError(
                    f"The {self.kind} '{name}' from {origin.source} cannot be added, because one of that name is "
                    f"{taken if taken == BUILT_IN else f'there from {taken}'}: give it another name."
                )
            self._items[name], self._origins[name] = item, origin
            return item

        return store

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Within, objects may be added and taken away; after it all is as it was. For tests and notebooks."""
        items, origins = dict(self._all), dict(self._origins)
        try:
            yield
        finally:
            self._items, self._origins = items, origins

    def origin(self, name: str) -> Origin:
        """Where the object of that name comes from. Raises UnknownNameError where there is none."""
        self[name]
        return self._origins[name]

    @property
    def origins(self) -> dict[str, Origin]:
        """Those that are registered so far, without looking for more."""
        return dict(self._origins)

    def __getitem__(self, name: str) -> T:
        try:
            return self._all[name]
        except KeyError:
            raise UnknownNameError(
                f"There is no {self.kind} '{shown(name)}': {did_you_mean(name, self._all)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


REGISTRIES: list[Registry[Any]] = []


@contextmanager
def registering(source: str) -> Iterator[None]:
    """Within, what is registered is said to come from `source`; within another, the inner one counts."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def load_entry_points(group: str) -> None:
    """Import what installed packages name in a group. Raises PluginError that names the package that breaks."""
    from importlib.metadata import entry_points

    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        package = "an installed package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
        with registering(package):
            import_plugin(entry.load, f"'{entry.name}' of {package}", f"uninstall or mend {package}")


def import_plugin(load: Callable[[], object], name: str, remedy: str) -> object:
    """Import a plugin and check that it is for this version. Raises PluginError for whatever it raises."""
    try:
        found = load()
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())[:300]
        raise PluginError(
            f"The plugin {name} cannot be loaded ({type(error).__name__}: {reason}): {remedy}."
        ) from error
    module = found if hasattr(found, "__spec__") else sys.modules.get(getattr(found, "__module__", ""))
    wanted = getattr(module, "whichtune_api", API)
    if wanted != API:
        raise PluginError(
            f"The plugin {name} is for plugin interface {wanted}, and this whichtune has {API}: {remedy}."
        )
    return found


def _caller() -> str:
    """The name of the module that registers something: the nearest one up the stack that is not the machinery's."""
    frame = sys._getframe(1)
    machinery = {__name__, "contextlib"}
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name not in machinery and not _is_decorator(name, frame.f_code.co_name):
            return name
        frame = frame.f_back  # type: ignore[assignment]
    return "__main__"


def _is_decorator(module: str, function: str) -> bool:
    """The decorators and functions of the package that enter things for others."""
    return module.startswith("whichtune.") and function in ("register", "add_metric", "store")


def _source_of(module: str) -> str:
    return BUILT_IN if module == "whichtune" or module.startswith("whichtune.") else PROGRAM
