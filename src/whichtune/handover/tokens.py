"""The tokenizer of an exported row: it cuts and pads texts as the study did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichtune.data.tag_encoding import NOWHERE, placed
from whichtune.handover.families import NotExactError
from whichtune.handover.inputs import numbered_template
from whichtune.models.loading import load_tokenizer

if TYPE_CHECKING:
    from whichtune.handover.trained import Trained


def save_tokenizer(trained: Trained, folder: Path) -> None:
    """Write the tokenizer with the row's context length and the end that is cut. `tokenizer.json` says both, too, for
    who reads it without transformers."""
    tokenizer: Any = load_tokenizer(trained.base, trained.spec.remote_code)
    tokenizer.model_max_length = trained.context_length
    tokenizer.truncation_side = "left" if trained.spec.long_texts_keep == "tail" else "right"
    tokenizer.padding_side = "left" if trained.writes else "right"  # what is written comes after the text
    if getattr(tokenizer, "is_fast", False) and not trained.writes:
        own = tokenizer.backend_tokenizer
        own.enable_truncation(trained.context_length, direction=tokenizer.truncation_side)
        if tokenizer.pad_token is not None:
            own.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    tokenizer.save_pretrained(folder)


def refuse_ends_like_padding(trained: Trained) -> None:
    """Raise NotExactError where every text ends with the token that pads, too: the family's class would skip it."""
    tokenizer: Any = trained.tokenizer
    ids = tokenizer("a")["input_ids"]
    if ids and ids[-1] == tokenizer.pad_token_id:
        raise NotExactError(
            "its tokenizer ends every text with the token that pads, too, and the family's class takes that for "
            "padding",
            "onnx",
        )


def cuts_otherwise(trained: Trained) -> bool:
    """Whether the study cut long texts where no tokenizer does: in their middle, or in one field of a template."""
    return trained.spec.long_texts_keep == "both" or numbered_template(trained.fields) is not None


def lengths_of(trained: Trained, texts: list[str]) -> list[int]:
    """Tokens of each text, whole."""
    tokenizer: Any = trained.tokenizer
    ids = tokenizer(texts, verbose=False)["input_ids"] if trained.fields is None else trained.fields.whole(texts)
    return [len(each) for each in ids]


def whole_rows(trained: Trained, texts: list[str]) -> list[int]:
    """Those of the texts that are not cut and, where words are tagged, have a token for each word."""
    rows = [row for row, length in enumerate(lengths_of(trained, texts)) if length <= trained.context_length]
    if trained.tag_token is None:
        return rows
    words = placed([texts[row] for row in rows], trained.tokenizer, trained.tag_token)
    return [row for row, sentence in zip(rows, words, strict=True) if NOWHERE not in sentence.places]


def cut_sentence(trained: Trained, texts: list[str]) -> str | None:
    """A sentence where long texts are cut otherwise than a tokenizer does by itself; None where they are not."""
    if not cuts_otherwise(trained):
        return None
    long = sum(length > trained.context_length for length in lengths_of(trained, texts))
    both = trained.spec.long_texts_keep == "both"
    lost = "their middle in the study (long_texts_keep both)" if both else "tokens of their longest field in the study"
    return (
        f"Texts of more than {trained.context_length} tokens lost {lost}, and a tokenizer cuts the end of the whole: "
        "cut them yourself." + (f" {long} of the texts of the self-test were left out for that." if long else "")
    )
