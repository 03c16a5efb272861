"""docs/families.md, from what benchmarks/families.py found."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

STORED = Path(__file__).resolve().parents[1] / "benchmarks" / "families.json"
RIGHT, REFUSED, WRONG = "right", "refused", "wrong"
INTRODUCTION = """# Families tested

Written by `make docs` from `benchmarks/families.json`, which `python benchmarks/families.py` makes: every family of
transformers' `AutoModel` ({count} of them) by its own configuration with small sizes and random weights, on a CPU in
float32, by {versions}. Pretrained models were no part of it; what every method does in a few families is in
[methods tested](methods-tested.md).

**right**: logits of padded batches equal, within 1e-5 of the largest, those of the family's own class that reads a text
at a time without padding (LoRA's updates added to its weights; a prefix that begins as tokens put before the text as
tokens); two training steps by the plan equal two of the plain way, in every loss and every logit; for `head_only` and
`full` the losses equal those of a loop written apart. Every matrix of the blocks has its adapter, or the record names
those that have none.

Texts have 30 tokens or so, fewer than sparse attention chooses (DeepSeek's indexer: 2,048), so that choosing is no part
of it. `zamba2` is refused for the sizes of its tiny configuration, which do not go together.

**A number**: refused in one sentence before the first step, for the reason below.
"""


def families_page() -> str:
    """The page's text."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    families: dict[str, Any] = stored["families"]
    versions = ", ".join(f"{name} {number}" for name, number in stored["versions"].items())
    tried = {name: row for name, row in families.items() if "methods" in row}
    methods = list(dict.fromkeys(method for row in tried.values() for method in row["methods"]))
    reasons: list[str] = []
    rows = []
    for name, row in tried.items():
        cells = [_cell(row["methods"][method], name, reasons) for method in methods]
        rows.append(f"| {name} | {row['kind']} | {' | '.join(cells)} |")
    counts = [f"| {word} | {' | '.join(_counts(tried, methods, word))} |" for word in (RIGHT, REFUSED, WRONG)]
    lines = [
        INTRODUCTION.format(count=len(families), versions=versions),
        f"| {len(tried)} families | {' | '.join(methods)} |",
        f"| --- |{' --- |' * len(methods)}",
        *counts,
        "",
        f"| family | kind | {' | '.join(methods)} |",
        f"| --- | --- |{' --- |' * len(methods)}",
        *rows,
        "",
        *[f"{number}. {reason}" for number, reason in enumerate(reasons, 1)],
        "",
        *_others(families),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _counts(tried: dict[str, Any], methods: list[str], word: str) -> list[str]:
    return [str(sum(row["methods"][method]["result"] == word for row in tried.values())) for method in methods]


def _cell(ended: dict[str, str], family: str, reasons: list[str]) -> str:
    """`right`, or the number of the reason, which is added where it is new."""
    if ended["result"] == RIGHT:
        return "right"
    reason = short_reason(ended["said"], family)
    if ended["result"] == WRONG:
        reason = f"**wrong**: {reason}"
    if reason not in reasons:
        reasons.append(reason)
    return str(reasons.index(reason) + 1)


def short_reason(said: str, family: str) -> str:
    """A sentence with the names of the one family taken out, so that families share it."""
    said = re.sub(r"^Settings of '\w+': ", "", said)
    said = said.replace(f"'{family}' ({family})", "the model").replace(f"'{family}'", "the model")
    said = re.sub(r"\b[A-Z]\w+Model\b( \([\w-]+\))?", "the model", said)
    said = re.sub(rf"(?<![\w-]){re.escape(family)}(?![\w-])", "the family", said)
    return said[:1].upper() + said[1:]


def _others(families: dict[str, Any]) -> list[str]:
    """What was said of the families that no method was tried in."""
    lines = []
    both = [name for name, row in families.items() if row["kind"] == REFUSED and "encoder-decoder" in row["said"]]
    neither = [name for name, row in families.items() if row["kind"] == REFUSED and name not in both]
    not_text = [name for name, row in families.items() if row["kind"] == "not of text"]
    bare = [name for name, row in families.items() if row["kind"] == "no configuration"]
    untried = [name for name, row in families.items() if row["kind"] in ("decoder", "encoder") and "said" in row]
    for title, names, words in (
        ("Encoder-decoders", both, "refused whatever the method, because whichtune takes decoders and encoders"),
        (
            "Neither",
            neither,
            "with a vocabulary, but no class for causal or masked language models: refused whatever the method",
        ),
        ("Not of text", not_text, "without a vocabulary (pictures, sound, numbers): refused whatever the method"),
        ("No configuration", bare, "whose class makes none without being given more: not tried"),
        ("No tiny model", untried, "whose sizes the script did not bring together: not tried"),
    ):
        if names:
            lines += [f"**{title}** ({len(names)}), {words}: {', '.join(sorted(names))}.", ""]
    return lines
