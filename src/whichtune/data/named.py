"""Data sets with a name: their address, columns, check sum and usual split."""

from __future__ import annotations

import io
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from whichtune.data.columns import is_empty, label_text, what_is
from whichtune.data.label_cells import LABEL_SETS
from whichtune.data.limits import check_file
from whichtune.data.shown import shown_path
from whichtune.data.sources import (
    LABELLED,
    PAIRED,
    Source,
    Usual,
    make_source,
    read_hub,
    read_table,
    read_tables,
    split_files,
)
from whichtune.data.tag_cells import TAGGED
from whichtune.errors import DataError
from whichtune.registry import Registry
from whichtune.study.data_settings import DataSettings
from whichtune.study.spec import sha256_file

if TYPE_CHECKING:
    import pandas as pd


class NamedSet(ABC):
    """Subclasses read themselves from a local copy, or fetch what they need when `place` is None."""

    title: str
    usual: Usual = LABELLED

    def read_for(self, usual: Usual, place: Path | None, settings: DataSettings) -> Source:
        """The tables for a task that reads such columns. Raises DataError where the set is of another kind."""
        own = self.usual
        if (usual.answer, usual.several, usual.by_word) != (own.answer, own.several, own.by_word):
            if own.by_word:
                raise DataError(f"The data set '{settings.source}' has a tag for each word: say --task tagging.")
            kinds = {"label": "labels, for classification", "target": "target texts, for text_to_text"}
            if own.several:
                raise DataError(f"The data set '{settings.source}' has several labels a text: say --task multilabel.")
            raise DataError(f"The data set '{settings.source}' has {kinds[own.answer]}: choose another.")
        return self.read(place, settings)

    def looks_like_copy(self, path: Path) -> bool:
        """Whether a path given as data is meant as a local copy of this set, and not as data of one's own."""
        return False

    def differs(self, place: Path) -> str | None:
        """Why a local copy is not the set as it was published; None where it is, or where that is not known."""
        return None

    @abstractmethod
    def read(self, place: Path | None, settings: DataSettings) -> Source:
        """The set's tables; raises DataError where they cannot be had."""


NAMED_SETS: Registry[NamedSet] = Registry("named data set", group="whichtune.data")


def user_cache() -> Path:
    """Where downloads and caches go: WHICHTUNE_CACHE, or whichtune in the user's cache directory."""
    if chosen := os.environ.get("WHICHTUNE_CACHE"):
        return Path(os.path.expanduser(chosen))
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "whichtune"
    try:
        return Path.home() / ".cache" / "whichtune"
    except RuntimeError:  # no HOME, and a user without a name: a container's
        return temporary_cache()


@cache
def temporary_cache() -> Path:
    """A folder of this user alone, the same for every process unless somebody else has taken its name."""
    place = Path(tempfile.gettempdir()) / f"whichtune-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    ours = not place.is_symlink() and place.stat().st_uid == os.getuid()
    return place if ours else Path(tempfile.mkdtemp(prefix="whichtune-"))


class SmsSpam(NamedSet):
    """SMS Spam Collection v.1, Almeida et al. 2011, CC BY 4.0."""

    title = "SMS Spam Collection v.1 (5,574 messages, 747 spam)"
    addresses = (
        "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
        "https://f001.backblazeb2.com/file/LLMs-from-scratch/sms%2Bspam%2Bcollection.zip",
    )
    member = "SMSSpamCollection"
    suffixes = ("", ".tsv", ".txt")  # tables of one's own have another, which says what they are
    sha256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"

    def read(self, place: Path | None, settings: DataSettings) -> Source:
        path = place or self.fetch()
        if settings.separator is not None:
            raise DataError("data.separator is for tables of your own, not for sms_spam: leave it out.")
        if path.is_dir():
            raise DataError(f"sms_spam={shown_path(path)} is a folder: give the file SMSSpamCollection.tsv itself.")
        check_file(path)
        files = {"all": path}
        tables = {"all": self.parse(path)}
        columns = settings.model_copy(
            update={
                "text_column": settings.text_column or "Text",
                "label_column": settings.label_column or "Label",
            }
        )
        return make_source("sms_spam", tables, files, columns, split_rule="reference")

    def looks_like_copy(self, path: Path) -> bool:
        return os.path.isfile(path) and path.suffix.lower() in self.suffixes

    def differs(self, place: Path) -> str | None:
        if os.path.isfile(place) and sha256_file(place) != self.sha256:
            return f"{place.name} is not the published file (its sha256 differs)"
        return None

    @staticmethod
    def parse(path: Path) -> pd.DataFrame:
        """Tab-separated without a header, quotes parsed as the published script does: 5,572 rows."""
        import pandas as pd

        try:
            frame = pd.read_csv(path, sep="\t", header=None, names=["Label", "Text"], encoding="utf-8")
        except (ValueError, OSError) as error:
            raise DataError(f"{path.name} is not the SMS Spam Collection: {str(error).splitlines()[0]}") from error
        if not set(frame["Label"]) <= {"ham", "spam"}:
            raise DataError(f"{path.name} is not the SMS Spam Collection: each line is 'ham' or 'spam', a tab, a text.")
        return frame

    def fetch(self) -> Path:
        """Download to the user's cache, from the first address that answers, and check the sha256."""
        target = user_cache() / "data" / self.member
        if target.is_file() and sha256_file(target) == self.sha256:
            return target
        reasons = []
        for address in self.addresses:
            try:
                with urllib.request.urlopen(address, timeout=60) as answer:
                    return self.unpack(answer.read(), target)
            except (urllib.error.URLError, TimeoutError, zipfile.BadZipFile, KeyError) as error:
                reasons.append(str(getattr(error, "reason", error)))
        raise DataError(
            f"The SMS Spam Collection cannot be downloaded ({'; '.join(reasons)}): "
            "give a local copy with --data sms_spam=FILE."
        )

    def unpack(self, archive: bytes, target: Path) -> Path:
        """Write the archive's member to `target` if it has the known sha256; raises DataError if not."""
        content = zipfile.ZipFile(io.BytesIO(archive)).read(self.member)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        partial.write_bytes(content)
        if sha256_file(partial) != self.sha256:
            partial.unlink()
            raise DataError("The downloaded SMS Spam Collection is not the known file (its sha256 differs).")
        partial.replace(target)
        return target


@dataclass
class SplitFolder(NamedSet):
    """A set of train, validation and test files: in a folder, or from the Hub."""

    title: str
    hub_id: str
    rename: dict[str, str]
    usual: Usual = LABELLED
    examples: tuple[int, int] | None = None  # of the published set: to learn from (train, validation), and test

    def looks_like_copy(self, path: Path) -> bool:
        return os.path.isdir(path)

    def differs(self, place: Path) -> str | None:
        if self.examples is None or not os.path.isdir(place):
            return None
        sizes = {split: len(read_table(file)) for split, file in split_files(place).items()}
        test = sizes.pop("test", 0)
        if (sum(sizes.values()), test) == self.examples:
            return None
        held = " + ".join(f"{count:,}" for count in sizes.values())
        learn, judge = self.examples
        return f"the local copy has {held} training and {test:,} test examples, not {learn:,} and {judge:,}"

    def read(self, place: Path | None, settings: DataSettings) -> Source:
        if place is None:
            return read_hub(settings.model_copy(update={"source": self.hub_id}), self.usual)
        if not place.is_dir():
            raise DataError(f"{shown_path(place)} is a file: give the folder of the train, validation and test files.")
        files = split_files(place)
        read, notes = read_tables(files, settings)
        tables = {split: self._named(frame) for split, frame in read.items()}
        return make_source(place.name, tables, files, settings, split_rule="given", usual=self.usual, notes=notes)

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        if "label" in frame.columns:
            labels: list[object] = [None if is_empty(value) else self._class(value) for value in frame["label"]]
            frame = frame.assign(label=pd.Series(labels, index=frame.index, dtype=object))
        return frame

    def _class(self, label: object) -> object:
        """A class by its published name; what is no text or number stays as it is, to be refused with its row."""
        return label if what_is(label) else self.rename.get(label_text(label), label_text(label))


@dataclass
class Embedded(NamedSet):
    """A generated set inside the package."""

    title: str
    folder: str
    usual: Usual = LABELLED

    def read(self, place: Path | None, settings: DataSettings) -> Source:
        from whichtune.embedded import dataset_path

        folder = place or dataset_path(self.folder)
        if (own := self.usual.own_files(folder, settings)) is not None:
            return own
        files = split_files(folder)
        tables, notes = read_tables(files, settings)
        return make_source(self.folder, tables, files, settings, "given", self.usual, notes)


NAMED_SETS.register("sms_spam")(SmsSpam())
NAMED_SETS.register("imdb")(
    SplitFolder(
        "IMDB reviews (Maas et al. 2011)", "stanfordnlp/imdb", {"0": "neg", "1": "pos"}, examples=(25_000, 25_000)
    )
)
NAMED_SETS.register("cnn_dailymail")(
    SplitFolder(
        "CNN/DailyMail 3.0.0 (Hermann et al. 2015, See et al. 2017)",
        "abisee/cnn_dailymail:3.0.0",
        {},
        usual=PAIRED,
        examples=(300_481, 11_490),
    )
)
NAMED_SETS.register("messages")(Embedded("generated messages, spam or not", "messages"))
NAMED_SETS.register("support_requests")(Embedded("generated support requests, five departments", "support_requests"))
NAMED_SETS.register("open_matters")(
    Embedded("generated messages by the matters that are still open, several labels a text", "open_matters", LABEL_SETS)
)
NAMED_SETS.register("booked_trips")(
    Embedded("generated messages to a travel agency, a tag for each word of the trip", "booked_trips", TAGGED)
)
