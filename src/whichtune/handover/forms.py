"""The forms in which a row can be handed over, and what was written of one."""

from __future__ import annotations

from dataclasses import dataclass

FORMS = ("transformers", "peft", "onnx")


@dataclass(frozen=True)
class Form:
    """What a folder holds. `loader` is the class that loads it, `base_class` the one that loads the pretrained
    model below an adapter. `reading` is what the user has to read of a token
    classifier's logits, `virtual_tokens` how many of them come before the text's own; None and 0 where a class reads
    by itself. `opset` of an ONNX graph. `template` joins the fields of a text, {0} its first, and `inputs` is what
    the model is given of what the tokenizer makes."""

    name: str
    loader: str
    base_class: str | None = None
    reading: str | None = None
    virtual_tokens: int = 0
    opset: int | None = None
    template: str | None = None
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
