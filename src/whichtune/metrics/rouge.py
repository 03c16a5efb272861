"""ROUGE of written texts against references, by Google's `rouge-score`.

F-measures of shared words (ROUGE-1), word pairs (ROUGE-2), the longest common subsequence of the texts (ROUGE-L) and
of their sentences (ROUGE-Lsum). Three choices that change the numbers are made here:

- Words of more than three letters are stemmed (Porter), as in the original script's usual call and in most published
  figures.
- `rouge-score` takes every character but a-z and 0-9 for a space, so that texts in other scripts score 0. Here words
  may hold any letters and digits; in scripts without spaces each character is a word. Of ASCII texts the words, and
  so the figures, are `rouge-score`'s own.
- Sentences for ROUGE-Lsum are those of `metrics.sentences`, in references and written texts alike: `rouge-score` splits
  at line ends alone, or by a model of NLTK that would have to be downloaded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from whichtune.metrics.sentences import split_sentences

if TYPE_CHECKING:
    import numpy as np

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
SHORT = 3  # letters of a word that is not stemmed

_ASCII_WORD = re.compile("[a-z0-9]+")
# Scripts that are written without spaces: Thai to Khmer, kana, Chinese characters.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


def rouge_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, np.ndarray]:
    """F-measures (n,) float64 in 0..1 of each written text against its reference, by kind of ROUGE.

    A text without a word scores 0. Raises ValueError where there are more of one than of the other.
    """
    import numpy as np

    scorer = _scorer()
    rows = [
        scorer.score("\n".join(split_sentences(reference)), "\n".join(split_sentences(prediction)))
        for prediction, reference in zip(predictions, references, strict=True)
    ]
    return {kind: np.array([row[kind].fmeasure for row in rows], dtype=np.float64) for kind in KINDS}


@lru_cache(maxsize=4)
def scores_of(written: tuple[str, ...], references: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The same, kept for the next kind that is asked for of the same texts."""
    return rouge_scores(written, references)


def words_of(text: str) -> list[str]:
    """The words that ROUGE compares: lower case, stemmed where they are of ASCII letters and digits."""
    text = text.lower()
    words = _ASCII_WORD.findall(text) if text.isascii() else _words_of_any_script(text)
    return [_stem(word) for word in words]


def _words_of_any_script(text: str) -> list[str]:
    """Runs of letters, digits and the marks upon them; single characters in scripts without spaces."""
    words: list[str] = []
    open_word = False  # whether the next letter goes on with the last word
    for character in unicodedata.normalize("NFC", text):
        is_mark = unicodedata.category(character).startswith("M")
        if is_mark and words:
            words[-1] += character
        elif character.isalnum():
            alone = _UNSPACED.match(character) is not None
            if open_word and not alone:
                words[-1] += character
            else:
                words.append(character)
            open_word = not alone
        else:
            open_word = False
    return words


@lru_cache(maxsize=2**17)
def _stem(word: str) -> str:
    if len(word) <= SHORT or not word.isascii():
        return word
    stemmed: str = _stemmer().stem(word)
    return stemmed


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


@lru_cache(maxsize=1)
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class Words(Tokenizer):
        def tokenize(self, text: str) -> list[str]:
            return words_of(text)

    return RougeScorer(list(KINDS), tokenizer=Words())
