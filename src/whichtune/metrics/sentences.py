"""Where sentences end, by a few rules: for baselines that take a text's first sentences, and for ROUGE-Lsum.

No model and no data to download (NLTK's would have to be). Made for English news and abstracts: a sentence ends at a
full stop, question or exclamation mark, or an ellipsis, that is followed by space and something that can begin a
sentence, and always at the end of a line. It does not end after titles and other abbreviations (Mr., Gen., Fig.,
e.g.), after initials (J. Smith), nor after U.S. and its like unless a word that usually begins a sentence follows. In
Chinese and Japanese, the full stop itself ends it. A text wholly in lower case may go on in lower case.
"""

from __future__ import annotations

import re

# Words that a full stop follows without ending the sentence, in lower case.
_ABBREVIATIONS = """
    mr mrs ms mx messrs dr prof rev fr sr jr st mt ft hon pres gov sen rep gen maj col lt cmdr adm capt cpl sgt pvt
    supt det insp atty dist dept univ assn bros
    jan feb mar apr jun jul aug sep sept oct nov dec
    fig figs eq eqs sec secs ref refs tab ch vol vols no nos pp ed eds al cf resp approx ca vs viz
"""
# Dotted abbreviations after which a sentence goes on, whatever follows.
DOTTED = frozenset({"e.g", "i.e", "a.k.a", "w.r.t", "s.t"})
# Words with which a sentence often begins, and a name seldom.
_OPENERS = """
    a an the this that these those he she it they we i you his her its their our my there here
    but and or so yet if when while after before as at by for from in on of with since until although though because
    however meanwhile still then now what who why how where not no some many most all both each another
"""

ABBREVIATIONS, OPENERS = frozenset(_ABBREVIATIONS.split()), frozenset(_OPENERS.split())

_LINES = re.compile(r"[\r\n]+")
# A mark or several, what closes around them, and space; or a full stop of scripts without spaces.
_END = re.compile(r"""[.!?…]+["'”’)\]»]*\s+|[。！？｡]["'”’」』）]*\s*""")
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘]+$")
_NEXT_WORD = re.compile(r"[\"'“‘(\[«]*([^\W_]+)")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text in order, without space around them; empty ones are left out."""
    lower_case = not any(letter.isupper() for letter in text)
    found = []
    for line in _LINES.split(text):
        begin = 0
        for end in _END.finditer(line):
            if _ends_sentence(line[begin : end.start()], end.group(), line[end.end() :], lower_case):
                found.append(line[begin : end.end()].strip())
                begin = end.end()
        found.append(line[begin:].strip())
    return [sentence for sentence in found if sentence]


def _ends_sentence(before: str, mark: str, after: str, lower_case: bool) -> bool:
    """Whether the marks between `before` and `after` end a sentence."""
    if mark[0] in "。！？｡":
        return True
    following = _NEXT_WORD.match(after)
    if following is None:
        return bool(after)  # a dash or a symbol begins what comes next
    word = following.group(1)
    if word[0].islower() and not lower_case:
        return False
    if not mark.startswith(".") or mark.startswith(".."):
        return True
    last = _LAST_WORD.search(before)
    return last is None or not _goes_on_after(last.group(), word)


def _goes_on_after(last: str, following: str) -> bool:
    """Whether the full stop after `last` belongs to the word, so that the sentence goes on with `following`."""
    name = last.lower()
    if name in DOTTED:
        return True
    if name in ABBREVIATIONS:
        # "No. 5" and "vol. 3", but "He said no. The ..."
        return name not in ("no", "sec", "mar", "dec", "ed", "ch") or following[0].isdigit() or last[0].isupper()
    if _ACRONYM.fullmatch(last) or (len(last) == 1 and last.isalpha() and last.isupper() and last != "I"):
        return following.lower() not in OPENERS
    return False
