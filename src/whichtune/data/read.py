"""What a study's data setting names, whatever it is: a file, a folder, a named set, a data set of the Hub."""

from __future__ import annotations

from pathlib import Path

from whichtune.data.named import NAMED_SETS
from whichtune.data.sources import LABELLED, SUFFIXES, Source, Usual, make_source, read_hub, read_table, split_files
from whichtune.errors import DataError, UnknownNameError
from whichtune.registry import did_you_mean
from whichtune.study.spec import DataSettings


def read_source(settings: DataSettings, usual: Usual = LABELLED) -> Source:
    """Read what `settings.source` names. Raises DataError with one sentence for whatever is wrong with it."""
    text = settings.source
    name, _, place = text.partition("=")
    if place and not Path(text).exists():
        return NAMED_SETS[name].read_for(usual, _existing(place), settings)
    if Path(text).expanduser().exists():
        return _read_path(Path(text).expanduser(), settings, usual)
    if text in NAMED_SETS:
        return NAMED_SETS[text].read_for(usual, None, settings)
    if text.endswith((*SUFFIXES, ".gz")) or text.startswith((".", "/", "~")):
        raise DataError(f"There is no data file '{text}': check the path.")
    if "/" in text:
        return read_hub(settings, usual)
    raise UnknownNameError(f"There is no file, folder or named data set '{text}': {did_you_mean(text, NAMED_SETS)}")


def _existing(place: str) -> Path:
    path = Path(place).expanduser()
    if not path.exists():
        raise DataError(f"There is no data file '{place}': check the path after the '='.")
    return path


def _read_path(path: Path, settings: DataSettings, usual: Usual) -> Source:
    if path.is_dir():
        files = split_files(path)
        tables = {split: read_table(file) for split, file in files.items()}
    else:
        files = {"all": path}
        tables = {"all": read_table(path)}
    return make_source(path.name, tables, files, settings, usual=usual)
