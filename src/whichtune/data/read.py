"""What a study's data setting names, whatever it is: a file, a folder, a named set, a data set of the Hub."""

from __future__ import annotations

from pathlib import Path

from whichtune.data.conll import refuse_conll
from whichtune.data.limits import exists, expanded
from whichtune.data.named import NAMED_SETS
from whichtune.data.saved_sets import has_shards, is_saved_dataset, read_saved, read_shards
from whichtune.data.shown import LONGEST_NAME, shown, shown_path
from whichtune.data.sources import LABELLED, Source, Usual, make_source, read_hub, read_tables, split_files
from whichtune.data.tables import SUFFIXES
from whichtune.errors import DataError, UnknownNameError
from whichtune.registry import did_you_mean
from whichtune.study.data_settings import DataSettings


def read_source(settings: DataSettings, usual: Usual = LABELLED) -> Source:
    """Read what `settings.source` names. Raises DataError with one sentence for whatever is wrong with it."""
    text = settings.source
    if not text.strip():
        raise DataError("data.source is empty: name a file, a folder, a named data set or one of the Hub.")
    path = expanded(text)
    if exists(path):
        return _read_path(path, settings, usual)
    name, _, place = text.partition("=")
    if place and not _looks_like_path(name):
        return NAMED_SETS[name].read_for(usual, _existing(place), settings)
    if text in NAMED_SETS:
        return NAMED_SETS[text].read_for(usual, None, settings)
    if text.lower().endswith((*SUFFIXES, ".gz")) or (_looks_like_path(text) and (place or not _may_be_hub(text))):
        raise DataError(f"There is no data file '{shown_path(text)}': check the path.")
    if "/" in text:
        return read_hub(settings, usual)
    known = did_you_mean(text[:LONGEST_NAME], NAMED_SETS)
    raise UnknownNameError(f"There is no file, folder or named data set '{shown(text)}': {known}")


def _looks_like_path(text: str) -> bool:
    return "/" in text or text.startswith((".", "~"))


def _may_be_hub(text: str) -> bool:
    return not text.startswith((".", "/", "~"))


def _existing(place: str) -> Path:
    path = expanded(place)
    if not exists(path):
        raise DataError(f"There is no data file '{shown_path(place)}': check the path after the '='.")
    return path


def _read_path(path: Path, settings: DataSettings, usual: Usual) -> Source:
    if path.is_dir() and is_saved_dataset(path):
        return read_saved(path, settings, usual)
    if (own := usual.own_files(path, settings)) is not None:
        return own
    if path.is_dir() and has_shards(path):
        return read_shards(path, settings, usual)
    refuse_conll(path)
    files = split_files(path) if path.is_dir() else {"all": path}
    tables, notes = read_tables(files, settings, usual)
    name = path.name or path.resolve().name  # of "." and ".."
    return make_source(name, tables, files, settings, usual=usual, notes=notes)
