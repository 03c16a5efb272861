"""The files that runs read, as they travel to another machine: each once, and only where it has not got them.

A parcel is a model's folder, a file of data or a folder of them, or a plugin's file, named by its content. A machine
that has the same content at the same path, as with a shared file system, or by the same revision of the Hub, reads it
there; else it is sent in pieces and kept in the machine's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from whichtune.data.limits import exists, expanded
from whichtune.data.named import user_cache
from whichtune.data.sources import split_files
from whichtune.errors import DataError, ModelError
from whichtune.plugins import Import
from whichtune.study.spec import EMBEDDED, RunSpec, sha256_file

PIECE_BYTES = 16 << 20
KEPT_SECONDS = 14 * 24 * 3600  # that a parcel which no study uses stays on a machine
# Weights in forms that are never read, which repositories keep beside the safetensors.
NOT_READ = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".ot", ".tflite")


class Parcel(BaseModel):
    """Files under one path: `files` has each one's sha256 by its name, `single` says that the path is the file itself.

    `hub` has a model's id, revision and kind of weights, where it is one of the Hub's.
    """

    model_config = ConfigDict(frozen=True)
    place: str
    files: dict[str, str]
    single: bool = False
    hub: tuple[str, str | None, str] | None = None

    @property
    def digest(self) -> str:
        """24 hex digits of the sha256 of names and contents; the last part of the path is one of the names, since
        data are called after it."""
        named = [Path(self.place).name, *(f"{name}:{sha}" for name, sha in sorted(self.files.items()))]
        return hashlib.sha256("\n".join(named).encode()).hexdigest()[:24]

    def file(self, name: str) -> Path:
        """One of the files where the parcel was made."""
        return Path(self.place) if self.single else Path(self.place) / name

    def pieces(self) -> Iterator[tuple[str, bytes]]:
        """The files' content in order, in pieces of at most PIECE_BYTES; an empty file is one empty piece."""
        for name in sorted(self.files):
            with self.file(name).open("rb") as handle:
                piece = handle.read(PIECE_BYTES)
                yield name, piece
                while piece := handle.read(PIECE_BYTES):
                    yield name, piece


class Packer:
    """Makes the parcels of runs on the machine that has the study; each path is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Parcel] = {}

    def model_of(self, spec: RunSpec) -> Parcel | None:
        """The folder of the run's model; None for one that is part of whichtune, or that cannot be had."""
        from whichtune.models.loading import locate

        if spec.model == EMBEDDED:
            return None
        key = ("model", spec.model, spec.revision, spec.weights)
        if key not in self._known:
            try:
                folder = locate(spec.model, spec.revision, spec.weights)
            except ModelError:
                return None  # the run will say so
            own = Path(os.path.expanduser(spec.model)).is_dir()
            files = [file for file in folder.iterdir() if file.is_file() and not _unread(file, spec.weights)]
            hub = None if own else (spec.model, spec.revision, spec.weights)
            self._known[key] = _parcel(folder.absolute(), files, hub=hub)
        return self._known[key]

    def data_of(self, spec: RunSpec) -> Parcel | None:
        """The file or folder of the run's data; None where they are no path, or are not there."""
        path = _path_of(spec.data.source)
        if path is None:
            return None
        key = ("data", str(path))
        if key not in self._known:
            try:
                files = list(split_files(path).values()) if path.is_dir() else [path]
            except DataError:
                return None  # the run will say so
            self._known[key] = _parcel(path.absolute(), files)
        return self._known[key]

    def plugin_of(self, wanted: Import) -> Parcel | None:
        """The file of a plugin; None for a module, which must be installed on every machine or lie at the same path."""
        if wanted.file is None:
            return None
        key = ("plugin", wanted.file)
        if key not in self._known:
            self._known[key] = _parcel(Path(wanted.file), [Path(wanted.file)])
        return self._known[key]


def _parcel(place: Path, files: list[Path], hub: tuple[str, str | None, str] | None = None) -> Parcel:
    shas = {file.name: sha256_file(file) for file in files}
    return Parcel(place=str(place), files=shas, single=files == [place], hub=hub)


def _unread(file: Path, weights: str) -> bool:
    return file.name.endswith(NOT_READ) or (weights != "pretrained" and file.suffix == ".safetensors")


def _path_of(source: str) -> Path | None:
    """The path that a study's data setting has, alone or as a copy of a named set."""
    if exists(path := expanded(source)):
        return path
    _, _, place = source.partition("=")
    return path if place and exists(path := expanded(place)) else None


def moved(spec: RunSpec, model: str | None, data: str | None) -> RunSpec:
    """The run reading its model and its data from where another machine has them; its id stays."""
    changed: dict[str, object] = {}
    if model is not None:
        changed |= {"model": model, "revision": None}
    if data is not None:
        name, sign, _ = spec.data.source.partition("=")
        copy_of_set = sign and not exists(expanded(spec.data.source))
        changed["data"] = spec.data.model_copy(update={"source": f"{name}={data}" if copy_of_set else data})
    return spec.model_copy(update=changed)


class Store:
    """Parcels on the machine that makes runs."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or user_cache() / "parcels"
        self._arriving: dict[str, Path] = {}

    def find(self, parcel: Parcel) -> str | None:
        """Where the same content is on this machine; None where it must be sent."""
        for place in self._candidates(parcel):
            if _same(parcel, place):
                return str(place)
        kept = self._kept(parcel)
        if not os.path.lexists(kept):
            return None
        os.utime(kept.parent)
        return str(kept)

    def take(self, parcel: Parcel, name: str, piece: bytes) -> None:
        """Add a piece to a file of a parcel that is arriving. Raises ValueError for a file that is not of it."""
        if name not in parcel.files or Path(name).name != name:
            raise ValueError(f"'{name}' is no file of the parcel")
        if parcel.digest not in self._arriving:
            self._arriving[parcel.digest] = self.root / f".{parcel.digest}.{uuid.uuid4().hex[:8]}"
        folder = self._arriving[parcel.digest] / Path(parcel.place).name
        target = folder if parcel.single else folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab") as handle:
            handle.write(piece)

    def finish(self, parcel: Parcel) -> str:
        """Where the parcel lies now that all of it has arrived. Raises ValueError where it is not what was sent."""
        partial = self._arriving.pop(parcel.digest)
        try:
            if not _same(parcel, partial / Path(parcel.place).name):
                raise ValueError(f"what arrived of '{parcel.place}' is not what was sent")
            try:
                partial.replace(self.root / parcel.digest)
            except OSError:  # another study's arrived first
                if not self._kept(parcel).exists():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return str(self._kept(parcel))

    def sweep(self) -> None:
        """Remove what no study has used for long."""
        for folder in self.root.glob("*"):
            try:
                if time.time() - folder.stat().st_mtime > KEPT_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue  # somebody else has removed it

    def _kept(self, parcel: Parcel) -> Path:
        return self.root / parcel.digest / Path(parcel.place).name

    def _candidates(self, parcel: Parcel) -> Iterator[Path]:
        from whichtune.models.loading import locate

        yield Path(parcel.place)
        if parcel.hub is not None:
            try:
                yield locate(*parcel.hub)
            except ModelError:
                return  # this machine cannot reach the Hub


def _same(parcel: Parcel, place: Path) -> bool:
    """Whether the path holds exactly these files' contents; others may lie beside them."""
    try:
        files = {name: place if parcel.single else place / name for name in parcel.files}
        return all(file.is_file() and sha256_file(file) == parcel.files[name] for name, file in files.items())
    except OSError:
        return False
