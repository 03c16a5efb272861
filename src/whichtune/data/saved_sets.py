"""Folders of data sets: those that `datasets.save_to_disk` wrote, and those laid out as on the Hugging Face Hub."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from whichtune.data.given import SPLIT_ALIASES, SPLITS
from whichtune.data.shown import shown, shown_path
from whichtune.data.sources import (
    LABELLED,
    Source,
    Usual,
    frame_fingerprint,
    from_datasets,
    load_from_hub,
    make_source,
    named_classes,
)
from whichtune.errors import DataError
from whichtune.study.data_settings import DataSettings

WHOLE, BY_SPLIT = "dataset_info.json", "dataset_dict.json"
STATE = "state.json"
SHARD = re.compile(r".*-\d{5}-of-\d{5}\.parquet")  # one of the files of a split


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / BY_SPLIT).is_file() or ((folder / WHOLE).is_file() and (folder / STATE).is_file())


def read_saved(folder: Path, settings: DataSettings, usual: Usual = LABELLED) -> Source:
    """Its tables, class labels as their names. Raises DataError where it cannot be read."""
    import datasets

    if settings.separator is not None:
        raise DataError(f"data.separator is for CSV and TSV files, not for {shown_path(folder)}: leave it out.")
    try:
        loaded = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = shown((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        raise DataError(f"{shown_path(folder)} cannot be read as a saved data set: {reason}.") from error
    if not isinstance(loaded, datasets.Dataset):
        known = {str(name): part for name, part in loaded.items()}
        if len(known) > 1 or any(SPLIT_ALIASES.get(name, name) in SPLITS for name in known):
            return from_datasets(known, settings, usual)
        loaded = next(iter(known.values()))
    if not len(loaded):
        raise DataError(f"{shown_path(folder)} has no rows.")
    table = named_classes(loaded)
    name = folder.name or folder.resolve().name
    source = make_source(name, {"all": table}, {"all": folder / STATE}, settings, usual=usual)
    place = dict.fromkeys(source.places, shown(name))
    return replace(source, fingerprint=frame_fingerprint(table), places=place)


def has_shards(folder: Path) -> bool:
    """Whether a folder has its splits in pieces, as a data set fetched from the Hub has: data/train-00000-of-00001."""
    try:
        places = (folder, *(place for place in (folder / "data",) if place.is_dir()))
        return any(SHARD.fullmatch(file.name) for place in places for file in place.iterdir())
    except OSError as error:
        raise DataError(f"The folder '{shown_path(folder)}' may not be read: {error.strerror or error}.") from error


def read_shards(folder: Path, settings: DataSettings, usual: Usual = LABELLED) -> Source:
    """Its splits, with what its README says of configurations and classes. Raises DataError where it cannot be read."""
    if settings.separator is not None:
        raise DataError(f"data.separator is for CSV and TSV files, not for {shown_path(folder)}: leave it out.")
    loaded = load_from_hub(str(folder.resolve()), None, None, shown_path(folder), "be read")
    return replace(from_datasets(loaded, settings, usual), name=folder.name or folder.resolve().name)
