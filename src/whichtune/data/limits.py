"""Opening files that may be anything: what is no plain file, is too large, or is another format than its name says."""

from __future__ import annotations

import errno
import io
import stat
import zipfile
import zlib
from pathlib import Path

from whichtune.data.shown import shown, shown_path
from whichtune.errors import DataError

LARGEST_FILE = 4 << 30  # bytes, decompressed
LARGEST_CELL = 5_000_000  # characters
MOST_ROWS = 20_000_000
SWELLS = 200  # times its size: more than texts shrink by gzip
SWELLS_FROM = 64 << 20  # bytes; a smaller file may swell as it likes
PIECE = 1 << 20

SPREADSHEET = "a spreadsheet (xlsx)"
ZIP = "a zip archive"
GZIP = "a gzip file"
PARQUET = "a Parquet file"
MAGIC = {
    b"PAR1": PARQUET,
    b"\x1f\x8b": GZIP,
    b"PK\x03\x04": ZIP,
    b"\xd0\xcf\x11\xe0": "an old spreadsheet or document (xls, doc)",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"7z\xbc\xaf": "a 7-zip archive",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF document",
    b"ARROW1": "an Arrow file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy file",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"{\\rtf": "a rich-text document",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
}
PAGES = (b"<!doctype html", b"<html")
REMEDIES = {
    PARQUET: "name it .parquet",
    GZIP: "add .gz to its name",
    SPREADSHEET: "save it as CSV UTF-8, or name it .xlsx",
    ZIP: "unpack it",
}


def exists(path: Path) -> bool:
    """Whether there is something at a path. Raises DataError where that cannot be told, or no path is like this."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise DataError(f"'{shown_path(path)}' may not be read: no permission on the way to it.") from error
    except OSError as error:
        why = "its name is too long" if error.errno == errno.ENAMETOOLONG else str(error.strerror or error)
        raise DataError(f"'{shown_path(path)}' cannot be opened ({why}): check the path.") from error
    except ValueError as error:
        raise DataError(f"'{shown_path(path)}' is no path, since it holds a character that none can have.") from error
    return True


def expanded(text: str) -> Path:
    """The path with its `~` filled in. Raises DataError for a user that is not there."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise DataError(f"'{shown_path(text)}' names the home of a user that is not there: check the path.") from error


def check_file(path: Path) -> None:
    """Raise DataError for what is no plain file, before it is opened: a pipe would be waited for without end."""
    if not exists(path):
        raise DataError(f"There is no file '{shown_path(path)}': check the path.")
    kind = path.stat().st_mode
    if stat.S_ISDIR(kind):
        raise DataError(f"'{shown_path(path)}' is a folder: give a file.")
    if not stat.S_ISREG(kind):
        raise DataError(f"'{shown_path(path)}' is a pipe, a socket or a device: give a file.")
    if path.stat().st_size > LARGEST_FILE:
        raise DataError(f"{shown(path.name)} is larger than {LARGEST_FILE >> 30} GiB: split it into smaller files.")


def read_bytes(path: Path) -> bytes:
    """A plain file's content, that of a .gz file decompressed. Raises DataError for what cannot be read."""
    check_file(path)
    try:
        content = path.read_bytes()
    except PermissionError as error:
        raise DataError(f"{shown(path.name)} may not be read: no permission.") from error
    except OSError as error:
        raise DataError(f"{shown(path.name)} cannot be read: {error.strerror or error}.") from error
    if path.suffix.lower() != ".gz":
        return content
    if not content:
        raise DataError(f"{shown(path.name)} cannot be read as gzip: it is empty.")
    if not content.startswith(b"\x1f\x8b"):
        really = format_of(content) or "an uncompressed file"
        raise DataError(f"{shown(path.name)} is {really}, not gzip: name it after what it is.")
    return _gunzip(content, shown(path.name))


def _gunzip(content: bytes, place: str) -> bytes:
    """All members of a gzip file, one after the other, piece by piece."""
    found, rest, size = io.BytesIO(), content, 0
    while rest.strip(b"\0"):
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            while not member.eof:
                piece = member.decompress(rest, PIECE)
                if not piece and not member.eof and not member.unconsumed_tail:
                    raise DataError(f"{place} is cut off: its gzip has no end; fetch it again.")
                rest = member.unconsumed_tail
                found.write(piece)
                size += len(piece)
                if size > LARGEST_FILE or (size > SWELLS_FROM and size > SWELLS * len(content)):
                    raise DataError(
                        f"{place} swells to more than {size >> 20:,} MiB, over {SWELLS} times its size, or is too "
                        "large: decompress it yourself and see what it holds."
                    )
        except zlib.error as error:
            raise DataError(f"{place} is damaged gzip ({error}): fetch it again.") from error
        rest = member.unused_data
    return found.getvalue()


def format_of(content: bytes) -> str | None:
    """What a file really is, by its first bytes; None for what may be text."""
    for magic, name in MAGIC.items():
        if content.startswith(magic):
            return SPREADSHEET if name == ZIP and _is_spreadsheet(content) else name
    if content[257:262] == b"ustar":
        return "a tar archive"
    if content[:200].lstrip().lower().startswith(PAGES):
        return "a web page (HTML)"
    return None


def _is_spreadsheet(content: bytes) -> bool:
    try:
        return any(name.startswith("xl/") for name in zipfile.ZipFile(io.BytesIO(content)).namelist())
    except (zipfile.BadZipFile, ValueError, OSError):
        return False


def refuse_other_format(content: bytes, place: str, expected: str) -> None:
    """Raise DataError where the content is another format than the name says."""
    really = format_of(content)
    if really is not None and really != expected:
        raise DataError(f"{place} is {really}: {REMEDIES.get(really, 'give the data as one of the formats read')}.")


def decode(content: bytes, place: str) -> str:
    """UTF-8, or UTF-16 and UTF-32 with their mark. Raises DataError that names what the text seems to be."""
    return _decode(content, place, encoding_of(content, place))


def encoding_of(content: bytes, place: str) -> str:
    """How a text is encoded, by its first bytes. Raises DataError for UTF-16 without its mark."""
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\0\0\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if content.startswith(mark):
            return encoding
    if content[:4000].count(0) > len(content[:4000]) // 4:
        raise DataError(f"{place} is not UTF-8: it seems to be UTF-16 without its mark; save it as UTF-8.")
    return "utf-8"


def _decode(content: bytes, place: str, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        if error.end >= len(content) and "unexpected end" in error.reason:
            raise DataError(f"{place} is not {name} (byte {error.start}): it is cut off inside a letter.") from error
        line = content.count(b"\n", 0, error.start) + 1
        guess = guessed_encoding(content) if encoding == "utf-8" else None
        seems = f", it seems to be {guess}" if guess else ""
        how = f"iconv -f {guess.split()[0]} -t UTF-8" if guess else "an editor"
        raise DataError(
            f"{place} is not {name} (byte {error.start}, line {line}){seems}: save it as UTF-8, "
            f"in a spreadsheet as 'CSV UTF-8', or with {how}."
        ) from error


def guessed_encoding(content: bytes) -> str | None:
    """The eight-bit encoding of western texts where the bytes fit it; None where they tell nothing."""
    high = [byte for byte in content[: 1 << 20] if byte > 127]
    if not high or len(high) > 0.25 * len(content[: 1 << 20]):
        return None
    letters = sum(byte >= 192 for byte in high)
    if any(byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) for byte in high):
        return None
    if any(byte < 160 for byte in high):
        return "WINDOWS-1252"
    return "ISO-8859-1 (Latin-1)" if letters else "WINDOWS-1252"
