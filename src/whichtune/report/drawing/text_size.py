"""How much room text takes. Nothing is drawn to find out: the widths are those of a table, rounded up.

The page is shown in the reader's own font, files in DejaVu Sans. Of the fonts that systems show pages in this is the
widest, beside Verdana, which was drawn to the same widths; so what has room in it has room in the others.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

# Advance widths of DejaVu Sans as shares of the font's size, rounded up to twentieths.
ADVANCES = {
    0.30: "'IJijlÌÍÎÏìíîïıł",
    0.35: " ,./:;\\|¦·‘’",
    0.40: "()-[]ft‐",
    0.45: "!r¡²³¹ř",
    0.50: '"*_`§¨ª¯°´¸º–',
    0.55: "?csz¿çćčśšźżž“”",
    0.60: "FLkvxyýÿ",
    0.65: "$0123456789EPSTYabdeghnopqu{}¢£¤¥«µ¶»ÈÉÊËÝÞßàáâãäåèéêëðñòóôõöøùúûüþąęěğŠ€",
    0.70: "ABCKRVXZÀÁÂÃÄÅÇŽ",
    0.75: "NUÑÙÚÛÜ",
    0.80: "&DGHOQÐÒÓÔÕÖØ▲▼",
    0.85: "#+<=>^w~¬±×÷←→−∞≈≤≥",
    0.90: "M",
    1.00: "@Wm©®¼½¾Ææ—…",
    1.05: "œ",
    1.10: "%Œ",  # the percent sign is Verdana's
}
OF_SIGN = {sign: width for width, signs in ADVANCES.items() for sign in signs}
OTHER, IDEOGRAPH, EMOJI = 1.1, 1.0, 1.4  # no Cyrillic sign is wider than the first; the widest emoji are Segoe's
SMALL_LETTER = 0.95  # of Greek and Cyrillic
ASCENT, DESCENT = 0.93, 0.24  # what signs reach above and below the baseline, accents on capitals included


@lru_cache(maxsize=4096)
def advance(sign: str) -> float:
    """Width of one sign as a share of the font's size, rounded up."""
    if (known := OF_SIGN.get(sign)) is not None:
        return known
    if unicodedata.category(sign) in ("Mn", "Me", "Cf"):  # marks and joiners stand on the sign before
        return 0.0
    if unicodedata.east_asian_width(sign) in "WF":
        return EMOJI if unicodedata.category(sign) == "So" else IDEOGRAPH
    if "\u0370" <= sign < "\u0530" and sign.islower():
        return SMALL_LETTER
    return EMOJI if sign >= "\U0001f000" else OTHER


@lru_cache(maxsize=16384)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Pixels that a text takes at most, in a font of `size` pixels."""
    plain = sum(map(advance, text))
    # DejaVu's bold signs are wider by a seventh; narrow ones, such as i, by 0.09 of the size.
    return size * (sum(max(1.14 * width, width + 0.09) for width in map(advance, text) if width) if bold else plain)


def cut_tail(text: str, room: float, size: float, bold: bool = False) -> str:
    """The text, its tail cut for an ellipsis where it is wider than so many pixels."""
    if text_width(text, size, bold) <= room:
        return text
    return _kept(text, room - text_width("…", size, bold), size, bold).rstrip(" \u200d") + "…"


def cut_middle(text: str, room: float, size: float, bold: bool = False) -> str:
    """The text with both ends, cut between them where it is wider than so many pixels."""
    if text_width(text, size, bold) <= room:
        return text
    half = (room - text_width("…", size, bold)) / 2
    tail = _kept(text[::-1], half, size, bold)[::-1]
    return f"{_kept(text, half, size, bold).rstrip()}…{tail.lstrip()}"


def cut_all(texts: Sequence[str], room: float, size: float, bold: bool = False) -> list[str]:
    """Each with its tail cut, or cut in the middle where two would then read the same."""
    short = [cut_tail(text, room, size, bold) for text in texts]
    whole: dict[str, set[str]] = {}
    for text, cut in zip(texts, short, strict=True):
        whole.setdefault(cut, set()).add(text)
    return [
        cut_middle(text, room, size, bold) if len(whole[cut]) > 1 else cut
        for text, cut in zip(texts, short, strict=True)
    ]


def _kept(text: str, room: float, size: float, bold: bool) -> str:
    """As many signs from the start as have room."""
    kept, used = "", 0.0
    for sign in text:
        used += text_width(sign, size, bold)
        if used > room:
            break
        kept += sign
    return kept
