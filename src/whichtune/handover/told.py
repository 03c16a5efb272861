"""`selftest.json`: what an exported folder holds, and the answers that it must give.

Everything that loading the folder takes stands here, so that it is read without the study, and without whichtune.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whichtune.errors import ExportError
from whichtune.study.fields import FIELD_END
from whichtune.wording import listing

FILE = "selftest.json"
VERSIONS = (1, 2, 3)
INPUTS = ["input_ids", "attention_mask"]


class SelfTest(BaseModel):
    """What an exported folder is, and what it must answer to a few texts."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    version: int = Field(
        1, description="2 where texts have several fields, or answers are no classes, 3 where words are tagged"
    )
    whichtune: str = Field(description="the version that wrote the folder")
    row: str
    seed: int | None
    run_id: str
    form: Literal["transformers", "peft", "onnx"]
    kind: Literal["classes", "words", "texts"] = Field(
        description="`classes`: tokens to logits; `words`: tokens to a written text; `texts`: texts to probabilities"
    )
    answers: Literal["classes", "numbers", "labels", "tags"] = Field(
        "classes",
        description="what a logit stands for: a class of which one is given, a number, a label of many, a tag",
    )
    tag_token: Literal["first", "last"] | None = Field(None, description="the token at which a word is tagged")
    loader: str = Field(description="the class that loads the folder")
    base_class: (
        Literal["AutoModelForSequenceClassification", "AutoModelForTokenClassification", "AutoModelForCausalLM"] | None
    ) = Field(None, description="the class that loads the pretrained model below an adapter")
    reading: str | None = Field(None, description="what is read of the logits of tokens: a position, or their mean")
    virtual_tokens: int = Field(0, description="states that come before the text's own")
    opset: int | None = None
    context_length: int = Field(description="tokens that a text may have")
    fields: list[str] = Field([], description="the names of a text's fields, where it has several")
    template: str | None = Field(
        None, description="how fields are joined, {0} for the first; null: the tokenizer is given both as a pair"
    )
    inputs: list[str] = Field(INPUTS, description="what the model is given of what the tokenizer makes")
    max_new_tokens: int = Field(0, description="tokens that a written text may have")
    labels: list[str] = Field(description="names of the logits, of a number that of its column")
    thresholds: list[float] = Field([], description="of each label, the probability from which on it is given")
    ordered: list[str] = Field([], description="classes from the lowest on, of which a rounded number is the place")
    texts_from: Literal["study", "invented"] = Field(description="test texts of the study, or texts made up here")
    answers_from: Literal["record", "again"] = Field(
        description="the recorded predictions, or those of the same weights computed again, in float32"
    )
    tolerance: float = Field(description="how much a logit, or a probability, may differ")
    texts: list[str | list[str]] = Field(description="a text, or its fields in their order")
    input_ids: list[list[int]] = Field([], description="the tokens of each text as the study read them")
    logits: list[list[float]] = Field(
        [], description="of each text, or of each word of the texts, in the order of the labels"
    )
    probabilities: list[list[float]] = []
    predictions: list[str] = Field(description="of each text; tags have blanks between")
    threshold: float | None = Field(
        None, description="of two classes, the second's probability from which on it is the answer; null: the likelier"
    )

    @property
    def asked(self) -> list[str]:
        """The texts as whichtune holds them."""
        return [text if isinstance(text, str) else FIELD_END.join(text) for text in self.texts]


def write_told(told: SelfTest, folder: Path) -> None:
    text = json.dumps(told.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    (folder / FILE).write_text(text, encoding="utf-8")


def read_told(folder: Path) -> SelfTest:
    """What an exported folder says of itself. Raises ExportError where it is none, or of another version."""
    path = folder / FILE
    if not folder.is_dir():
        raise ExportError(f"There is no folder '{folder}': give one that whichtune export wrote.")
    if not path.is_file():
        raise ExportError(f"'{folder}' holds no {FILE}: give a folder that whichtune export wrote.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ExportError(f"'{path}' cannot be read: export the row again.") from error
    version = found.get("version") if isinstance(found, dict) else None
    known = listing([str(each) for each in VERSIONS])
    if version not in VERSIONS:
        raise ExportError(
            f"'{path}' has version {version}, and this whichtune reads versions {known}: use the version that wrote "
            "it, or export the row again."
        )
    try:
        return SelfTest.model_validate(found)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ExportError(f"'{path}' is not as it was written ('{place}' is wrong): export the row again.") from error
